"""What the catalog says, in the language of whoever reads it and with the names of the event in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Final

import msgspec

from eventer.catalog.types import PLACEHOLDERS, Condition, Language, Reason, Unknown
from eventer.event import Event

__all__ = ["Advice", "advice", "fill", "language"]

_PLACE: Final = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is told of an event; empty where the catalog does not say."""

    means: str = ""
    """One sentence: what has happened, and what follows from it."""
    causes: tuple[str, ...] = ()
    """What is likely behind it, the likeliest first."""
    remedy: str = ""
    """What to do first, where a command cannot say it."""
    command: str = ""
    """What to look at first, with the names of the event in it."""
    runbook: str = ""
    """Address of a page that helps."""


def language(environ: Mapping[str, str]) -> Language:
    """Return the language that a terminal asks for: Chinese where the locale is Chinese, else English.

    LC_ALL goes before LC_MESSAGES and that before LANG
    (https://pubs.opengroup.org/onlinepubs/9699919799/basedefs/V1_chap08.html).
    """
    locale = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    return "zh" if locale.lower().startswith("zh") else "en"


def advice(known: Reason | Condition | None, event: Event, language: Language) -> Advice:
    """Return what a person is told of an event.

    Nothing where the catalog speaks of trouble and the event of its end.

    Args:
        known: what the catalog knows about it, from `Catalog.of`.
        event: with the names for the command.
        language: of the text; what is written in the other one only comes in that.
    """
    if known is None or _over(known, event):
        return Advice()
    said: Reason | Condition | Unknown | None = known
    if isinstance(known, Condition) and event.status not in {known.bad, ""}:
        said = known.unknown if event.status == "Unknown" else None
    text = said and ((said.zh or said.en) if language == "zh" else (said.en or said.zh))
    look = Advice(command=fill(known.command, event), runbook=known.runbook)
    if not text:
        return look
    return msgspec.structs.replace(look, means=text.means, causes=text.causes, remedy=text.remedy)


def _over(known: Reason | Condition, event: Event) -> bool:
    """Whether the catalog tells of trouble that the event tells the end of."""
    if isinstance(known, Reason):
        return event.state == "resolved" and known.severity != "info"
    return event.state == "resolved" or (not event.state and event.type == "Normal")


def fill(command: str, event: Event) -> str:
    """Put the names of an event into a command, so that it can be pasted into a shell.

    They are quoted where they need it: whoever may create Events can put anything into them. What the event does
    not say is left as a word in capitals.
    """
    of_node = event.kind == "Node"
    names = {
        "namespace": event.namespace,
        "name": event.name,
        "node": event.name if of_node else event.node,
        "kind": event.kind.lower(),
    }
    return _PLACE.sub(lambda place: shlex.quote(names[place[1]]) if names[place[1]] else place[1].upper(), command)
