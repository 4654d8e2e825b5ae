"""Types of the configuration that are written as one word, and carry a unit or a secret."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Final, Self

import msgspec

__all__ = ["Duration", "Rate", "Repeats", "Secret", "Size", "Time"]

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE: Final = re.compile(r"([0-9]{1,6})/([smh])")
_CENTURY: Final = 36_525 * 86_400.0
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)?")
_BYTES: Final = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
}
_LARGEST: Final = float(1 << 62)
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(:\d\d(?:\.\d{1,6})?)?(Z|z|[+-]\d\d:\d\d)?", re.ASCII)


class Duration(float):
    """A length of time, in seconds. Written as `10s`, `1m30s`, `1.5h`, `250ms`, `2d`."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a duration.

        Raises:
            ValueError: the text is no duration; the message says how to write one.
        """
        parts = _DURATION.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise ValueError(f"{text!r} is no duration; write for example 30s, 5m, 1h30m or 250ms")
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
        if seconds > _CENTURY:  # dates that far back do not exist
            raise ValueError(f"{text[:20]!r} is longer than a century; write for example 30s, 5m, 1h30m or 250ms")
        return cls(seconds)


class Time(float):
    """A moment, in seconds since 1970. Written as RFC 3339 has it, with its zone: `2026-12-01T06:00:00+01:00`.

    A zone by name has hours that come twice or never where its clocks change; an offset has not.
    """

    EXPECTED: ClassVar[str] = "a time with its zone such as 2026-12-01T06:00:00+01:00"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a moment (https://www.rfc-editor.org/rfc/rfc3339#section-5.6); seconds may be left out.

        Raises:
            ValueError: the text is none; the message says how to write one.
        """
        match = _TIME.fullmatch(text)
        if match is None:
            raise ValueError(f"{text[:40]!r} is no time; write {cls.EXPECTED}")
        day, minute, second, zone = match.groups()
        if zone is None:
            raise ValueError(f"{text!r} has no zone; write {day}T{minute}{second or ''}Z for UTC, or +01:00 for Z")
        try:
            return cls(datetime.fromisoformat(f"{day}T{minute}{second or ''}{zone.upper()}").timestamp())
        except ValueError as error:
            raise ValueError(f"{text!r} is no time: {error}; write {cls.EXPECTED}") from None

    def __str__(self) -> str:
        return datetime.fromtimestamp(self, UTC).isoformat().replace("+00:00", "Z")


class Size(int):
    """A number of bytes. Written as `512KiB`, `1GiB`, `10MB`, or a plain number."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a size.

        Raises:
            ValueError: the text is no size; the message says how to write one.
        """
        match = _SIZE.fullmatch(text)
        if match is None:
            like_kubernetes = _SIZE.fullmatch(f"{text}B")  # 1Gi
            remedy = f"{text}B" if like_kubernetes else "for example 64MiB, 1GiB or 500kB"
            raise ValueError(f"{text!r} is no size; write {remedy}")
        size = float(match[1]) * _BYTES[match[2] or "B"]
        if size > _LARGEST:
            raise ValueError(f"{text[:20]!r} is larger than any disk; write for example 64MiB, 1GiB or 500kB")
        return cls(size)


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """At most so many in any stretch of time of this length. Written as `20/m`."""

    EXPECTED: ClassVar[str] = "a number per second, minute or hour such as 20/m"

    count: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a rate.

        Raises:
            ValueError: the text is none; the message says how to write one.
        """
        match = _RATE.fullmatch(text)
        if match is None or not int(match[1]):
            raise ValueError(f"{text[:20]!r} is no rate; write {cls.EXPECTED}")
        return cls(count=int(match[1]), unit=match[2])

    @property
    def seconds(self) -> float:
        """Length of the stretch of time."""
        return _SECONDS[self.unit]

    def __str__(self) -> str:
        return f"{self.count}/{self.unit}"


class Repeats(msgspec.Struct, frozen=True, kw_only=True):
    """Which updates of an Event that is known already are sent. Written as `all`, `changes` or `5m`."""

    EXPECTED: ClassVar[str] = "all, changes, or a duration such as 5m"

    window: float | None = None
    """Seconds for which repeats are held back; None: they are not."""
    changes: bool = False
    """Send only what says something else than before."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what to do with repeats.

        Raises:
            ValueError: the text is none; the message says how to write one.
        """
        if text in {"all", "changes"}:
            return cls(changes=text == "changes")
        try:
            window = Duration.parse(text)
        except ValueError:
            window = Duration(0)
        if window <= 0:
            raise ValueError(f"{text[:20]!r} says nothing of repeats; write {cls.EXPECTED}")
        return cls(window=window)

    def __str__(self) -> str:
        return f"{self.window:g}s" if self.window else "changes" if self.changes else "all"


class Secret:
    """A value that must not be shown: `str`, `repr` and encoders all give `<secret>`.

    `reveal` returns the current value. A secret from a file is read again at each `reveal`, so
    that a rotated file takes effect without a restart (files are mounted Secrets of a few bytes,
    and a send reveals once per batch).
    """

    __slots__ = ("_path", "_read", "source")

    def __init__(self, read: Callable[[], str], source: str, path: Path | None = None) -> None:
        self._read = read
        self._path = path
        self.source = source
        """Where it comes from, in words: `the variable DINGTALK_URL`, `the file /etc/...`."""

    @classmethod
    def literal(cls, value: str, source: str = "the configuration") -> Self:
        """Wrap a value that is already at hand."""
        return cls(lambda: value, source)

    @classmethod
    def file(cls, path: Path) -> Self:
        """Wrap a file's content, trailing line break removed, read at each use."""
        return cls(lambda: path.read_text(encoding="utf-8").rstrip("\r\n"), f"the file {path}", path)

    def reveal(self) -> str:
        """Return the value.

        Raises:
            OSError: the file cannot be read.
        """
        return self._read()

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        """Whether both are the same now and stay it: of two files, whether they are one."""
        if not isinstance(other, Secret) or self._path != other._path:
            return False
        return self._path is not None or self.reveal() == other.reveal()

    def __hash__(self) -> int:
        return hash(self.source)
