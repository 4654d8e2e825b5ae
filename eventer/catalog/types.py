"""The records of the catalog: what stands in its data, checked when it is read.

`eventer/catalog/data` is written by hand, so a field that is misspelt must not pass.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

__all__ = ["PLACEHOLDERS", "Condition", "Family", "Language", "Reason", "Severity", "Status", "Text", "Unknown"]

Severity = Literal["critical", "warning", "info"]
"""`critical`: somebody should look now. `warning`: somebody should look today. `info`: it helps to know."""
Language = Literal["en", "zh"]
Status = Literal["True", "False"]

PLACEHOLDERS: Final = ("namespace", "name", "node", "kind")
"""What a command may name in braces; fields of an Event."""


class Text(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said to a person, in one language."""

    means: Annotated[str, Meta(min_length=1)]
    """One sentence: what has happened, and what follows from it."""
    causes: Annotated[tuple[str, ...], Meta(max_length=4)] = ()
    """What is likely behind it, the likeliest first."""
    remedy: str = ""
    """What to do first, where a command cannot say it."""


class Family(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of fault: its reasons and conditions are told about together."""

    en: Annotated[str, Meta(min_length=1)]
    """Its title, for a message that stands for several reasons."""
    zh: Annotated[str, Meta(min_length=1)]


class Reason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a reason of an Event means, or one of several reasons that mean the same.

    A reason is a word that any component may use for anything. `type`, `components`, `kinds` and `says`
    say which of its uses is meant; where one is left out, any will do.
    """

    names: Annotated[tuple[str, ...], Meta(min_length=1)]
    severity: Severity
    family: str
    type: Literal["", "Normal", "Warning"] = ""
    components: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    """Pieces of a message, one of which must be in it."""
    opposite: tuple[str, ...] = ()
    """Reasons that say of the same object that it is over."""
    patience: Annotated[int, Meta(ge=0, le=3600)] = 0
    """Seconds for which it belongs to normal operation, such as a probe that fails while a pod starts: people are
    told when it lasts longer."""
    command: str = ""
    """What to look at first: a command that changes nothing, with names of `PLACEHOLDERS` in braces."""
    runbook: str = ""
    """Address of the official documentation."""
    en: Text | None = None
    zh: Text | None = None


class Unknown(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it means that the status of a condition is `Unknown`, where that says more than that a check failed."""

    severity: Severity
    en: Text
    zh: Text


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a condition of a Node means, or several that mean the same."""

    names: Annotated[tuple[str, ...], Meta(min_length=1)]
    bad: Status
    """The status that means trouble: `True` for `DiskPressure`, `False` for `Ready`."""
    severity: Severity
    family: str
    en: Text
    zh: Text
    writers: tuple[str, ...] = ()
    """Who sets it."""
    guessed: bool = False
    """Whether nobody described it, so that only its name was there to go by."""
    renewed: bool = True
    """Whether who sets it does so again and again, though nothing changes. If not, an old heartbeat says nothing."""
    unknown: Unknown | None = None
    command: str = ""
    runbook: str = ""

    @property
    def good_when(self) -> Status:
        """The status while all is well."""
        return "False" if self.bad == "True" else "True"
