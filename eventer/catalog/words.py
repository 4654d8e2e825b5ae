"""What the catalog says, in the language of whoever reads it and with the names of the event in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Final

from eventer.catalog.types import PLACEHOLDERS, Language
from eventer.event import Event

__all__ = ["fill", "language"]

_PLACE: Final = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")


def language(environ: Mapping[str, str]) -> Language:
    """Return the language that a terminal asks for: Chinese where the locale is Chinese, else English.

    LC_ALL goes before LC_MESSAGES and that before LANG
    (https://pubs.opengroup.org/onlinepubs/9699919799/basedefs/V1_chap08.html).
    """
    locale = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    return "zh" if locale.lower().startswith("zh") else "en"


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
