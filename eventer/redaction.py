"""What must not leave the cluster in a message: taken out before anything is stored.

The messages of Events are written by whatever runs in a cluster, and some hold what nobody should keep:
tokens in URLs, names of customers. What these rules take out is in no journal, no sink and no dead letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Final, Self

import msgspec
from msgspec import Meta

from eventer.event import Event
from eventer.patterns import compile_pattern

__all__ = ["Pattern", "RedactRule", "Redaction"]

_CUT: Final = " <cut: redact looks at no more>"


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """A regular expression, written between slashes."""

    EXPECTED: ClassVar[str] = "a /regular expression/"

    text: str
    """Without the slashes."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one.

        Raises:
            ValueError: it is none, could take for ever, or matches where there is nothing.
        """
        if len(text) < 3 or not text.startswith("/") or not text.endswith("/"):
            raise ValueError(f"{text[:60]!r} stands not between slashes; write for example /token=[^ ]+/")
        pattern = compile_pattern(text[1:-1])
        if pattern.search("") is not None:
            raise ValueError(f"{text[:60]} matches everywhere, also nothing; name at least one character")
        return cls(text=text[1:-1])

    def __str__(self) -> str:
        return f"/{self.text}/"


class RedactRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that is taken out of messages."""

    pattern: Annotated[Pattern, Meta(examples=["/token=[^ &]+/"])]
    """What to look for: a regular expression between slashes, capitals count."""
    replace: str = "<redacted>"
    """What stands there instead, as it is written here."""


class Redaction:
    """Rules, ready for use."""

    def __init__(self, rules: Sequence[RedactRule]) -> None:
        # A backslash would begin a group's name in what `sub` takes.
        self._rules = [(compile_pattern(rule.pattern.text), rule.replace.replace("\\", r"\\")) for rule in rules]

    def __call__(self, events: Sequence[Event]) -> None:
        """Take out of the messages of these events what the rules name, in place.

        `re` backtracks, so it is given no more of a hostile text than each of the rules may see; what
        was not looked at is cut off. Kubernetes itself allows 1,024 bytes
        (https://github.com/kubernetes/kubernetes, pkg/apis/core/validation/events.go).
        """
        if self._rules:
            for event in events:
                event.message = self._cut(event.message)

    def text(self, text: str) -> str:
        """Return a text without what the rules name; of a longer one than they may see, the end.

        What a cut leaves of the first word may be half of what should be taken out, and goes too.
        """
        for pattern, replace in self._rules:
            if len(text) > pattern.cap:
                text = text[-pattern.cap :].partition(" ")[2]
            text = pattern.compiled.sub(replace, text)
        return text

    def raw(self, lines: Sequence[bytes]) -> list[bytes]:
        """Return lines that could not be decoded, without what the rules name: searched as they came, and cut."""
        if not self._rules:
            return list(lines)
        return [self._cut(line.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape") for line in lines]

    def _cut(self, text: str) -> str:
        cut = ""
        for pattern, replace in self._rules:
            # Before each of them: what stands in place of something may be longer than it was.
            if len(text) > pattern.cap:
                text, cut = text[: pattern.cap], _CUT
            text = pattern.compiled.sub(replace, text)
        return text + cut
