"""Silences of the configuration. See `types` for what docstrings are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from eventer.config.refuse import refusal
from eventer.errors import Fault
from eventer.match import LOOKED, Rule
from eventer.sink import SinkConfig
from eventer.values import Time

__all__ = ["SilenceConfig", "looked_up", "silence_faults"]

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class SilenceConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Problems of which nobody is told for a while."""

    name: Annotated[str, Meta(examples=["registry-moves"])]
    """What `eventer silence list` and the counts call it: small letters, digits and hyphens."""
    match: Annotated[list[Rule], Meta(min_length=1, examples=["[{namespace: shop, reason: BackOff}]"])]
    """Which problems: those that any of the rules matches. A field that is looked up and not known matches nothing."""
    until: Annotated[Time | None, Meta(examples=["2026-12-01T06:00:00+01:00"])] = None
    """When it ends, with the zone: a silence must have an end. A problem that is not over by then is told."""
    start: Annotated[Time | None, Meta(examples=["2026-11-30T22:00:00+01:00"])] = msgspec.field(
        name="from", default=None
    )
    """When it begins; left out, it is on already."""
    owner: Annotated[str, Meta(min_length=1, max_length=100, examples=["ann"])]
    """Whom to ask about it."""
    reason: Annotated[str, Meta(min_length=1, max_length=500, examples=["the registry moves to another machine"])]
    """Why nobody is to be told."""

    def __post_init__(self) -> None:
        """Refuse what silences nothing, or everything."""
        if not _NAME.fullmatch(self.name):
            raise refusal("name", "this is no name for a silence", "use at most 63 small letters, digits and hyphens")
        for index, rule in enumerate(self.match):
            if rule == Rule():
                message = "this silences everything"
                raise refusal(f"match[{index}]", message, "name a field, such as cluster, namespace or severity")
        if self.until is None:
            remedy = "add until: with a time such as 2026-12-01T06:00:00+01:00; what nobody ever wants to be told "
            remedy += "belongs in match of the sinks that notify, what nobody needs at all in filter"
            raise refusal("until", "this silence has no end", remedy)
        if self.start is not None and self.start >= self.until:
            raise refusal("until", "the silence ends before it begins", "write a later time than that of from")


def looked_up(sinks: Iterable[SinkConfig]) -> frozenset[str]:
    """Return what any sink that notifies has under `enrich`."""
    return frozenset(want for sink in sinks if sink.notifies is not None for want in sink.enrich)


def silence_faults(silences: list[SilenceConfig], sinks: Iterable[SinkConfig]) -> Iterator[Fault]:
    """Yield what is wrong with silences beside each other, and with what they ask for.

    Args:
        silences: each good by itself.
        sinks: all of them.
    """
    names = Counter(silence.name for silence in silences)
    looked = looked_up(sinks)
    for at, silence in enumerate(silences):
        if names[silence.name] > 1:
            message = "another silence has this name"
            yield Fault(path=f"silences[{at}].name", message=message, remedy="give each a name of its own")
        for index, rule in enumerate(silence.match):
            for field in rule.needs:
                if LOOKED[field] not in looked:
                    yield Fault(
                        path=f"silences[{at}].match[{index}].{field}",
                        message=f"no notifier looks {field} up, so this silences nothing",
                        remedy=f"write enrich: [{LOOKED[field]}] in the sinks that notify",
                    )
