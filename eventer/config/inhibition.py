"""Which problems keep others quiet, as it is configured. See `types` for what docstrings are."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from eventer.config.refuse import refusal
from eventer.errors import ConfigError
from eventer.match import LOOKED, Rule

__all__ = ["FIELDS", "NOT_EQUAL", "Inhibit", "InhibitRule"]

FIELDS: Final = ("cluster", "namespace", "kind", "name", "node", "reason", "type", "component")
"""What source and target may have in common; any other name is that of a label of the source."""
NOT_EQUAL: Final = ("severity", "family", "message")
"""What is no part of an object, or is another one with each event."""


class InhibitRule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Problems that are not told while another one lasts."""

    name: Annotated[str, Meta(examples=["network down"])] = ""
    """What the counts call it; left out, `source` as it stands here."""
    source: Annotated[Rule, Meta(examples=["{kind: Node, condition: NetworkUnavailable}"])]
    """Events that keep others quiet: a condition while it is bad; an Event until an opposite one comes, or none
    for as long as `group.resolve_after` says."""
    target: Annotated[Rule, Meta(examples=["{kind: Pod}"])]
    """Problems that are not told meanwhile. They are followed all the same, and told if they go on after it."""
    equal: Annotated[list[str], Meta(min_length=1, max_length=8, examples=["[cluster, node]"])]
    """What source and target must have in common: `cluster`, `namespace`, `kind`, `name`, `node`, `reason`, `type`,
    `component`, or the name of a label of the source. Where a node or a label is not known, nothing is kept quiet."""

    def __post_init__(self) -> None:
        """Refuse what would be asked too early, and what would keep everything quiet."""
        faults = []
        for side in ("source", "target"):
            rule: Rule = getattr(self, side)
            for field in rule.needs:
                faults += refusal(
                    f"{side}.{field}",
                    f"{field} is looked up for some notifiers only, and later",
                    f"match on it in a sink that has enrich: [{LOOKED[field]}], or go by names here",
                ).faults
        if self.source == Rule():
            faults += refusal(
                "source", "any event would keep others quiet", "name a kind, a reason or a condition"
            ).faults
        for at, field in enumerate(self.equal):
            if not field or field in NOT_EQUAL:
                message = f"{field or 'nothing'} says not that two events belong together"
                faults += refusal(f"equal[{at}]", message, "write for example equal: [cluster, node]").faults
        if faults:
            raise ConfigError(faults)


class Inhibit(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which problems keep others quiet."""

    nodes: bool = True
    """Keep quiet what follows from a node: while it is down, what is wrong with its pods; when it is drained or
    removed, that it goes, for 30m at most; when it is new, that it is not ready yet, for 10m (docs/alerting.md)."""
    rules: list[InhibitRule] = []
    """Rules of your own, as those of Alertmanager."""
