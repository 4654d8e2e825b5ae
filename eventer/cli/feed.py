"""What `eventer replay` sends: events of files or of the daemon's log, in portions, at a pace."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, cast

from eventer.cli.daemon import Daemon
from eventer.cli.figures import plural
from eventer.errors import EventerError
from eventer.event import Event, decode_lines, encode_lines
from eventer.source.replay import Found, Home, NotReadableError, read
from eventer.text import escape

__all__ = ["Feed", "Pace", "Progress", "from_daemon", "from_files"]

PORTION: Final = 1 << 20
"""Bytes of one portion; a single larger event still goes alone."""
MOST: Final = 2_000
"""Events of one portion."""
SHOWN_AFTER: Final = 2.0
SHOWN_EVERY: Final = 0.5
"""Seconds: what takes less needs no progress."""


class Pace:
    """When an event is due, by the times of the events.

    Args:
        speed: how many times as fast as it happened; None: at once.
    """

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._first: datetime | None = None
        self._began = 0.0

    def wait(self, at: datetime) -> float:
        """Return the seconds until an event of this time is due; the first is due at once."""
        if self._speed is None:
            return 0.0
        if self._first is None:
            self._first, self._began = at, time.monotonic()
        return self._began + (at - self._first).total_seconds() / self._speed - time.monotonic()


class Progress:
    """A line on a terminal about what takes long."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._shown = time.monotonic() + SHOWN_AFTER - SHOWN_EVERY
        self._long = 0

    def show(self, text: str) -> None:
        """Show how it stands, if it is time to."""
        if self._stream.isatty() and time.monotonic() - self._shown >= SHOWN_EVERY:
            self._shown = time.monotonic()
            self._stream.write(f"\r{text:<{self._long}}")
            self._stream.flush()
            self._long = len(text)

    def clear(self) -> None:
        """Take the line away."""
        if self._long:
            self._stream.write(f"\r{'':<{self._long}}\r")
            self._stream.flush()
            self._long = 0


class Feed:
    """Events in portions, until they end or `stop` is set.

    Args:
        found: what there is.
        skip: events at the beginning that are not sent.

    Attributes:
        read: events that came, skipped ones among them.
        faults: values that are no events; `fault` says what the first one is.
    """

    def __init__(self, found: Iterator[Found], skip: int, pace: Pace) -> None:
        self._found = found
        self._skip = skip
        self._pace = pace
        self.stop = threading.Event()
        self.read = 0
        self.faults = 0
        self.fault = ""

    def portions(self) -> Iterator[Sequence[bytes]]:
        """Yield encoded events; may wait for their time.

        Raises:
            EventerError, OSError: they cannot be read on.
        """
        lines: list[bytes] = []
        size = 0
        failure: EventerError | OSError | None = None
        try:
            for event in self._events():
                wait = self._pace.wait(event.time)
                (line,) = encode_lines([event])
                if lines and (wait > 0 or size + len(line) > PORTION or len(lines) >= MOST):
                    yield lines
                    lines, size = [], 0
                if wait > 0:
                    self.stop.wait(wait)
                if self.stop.is_set():
                    return
                self.read += 1
                lines.append(line)
                size += len(line)
        except (EventerError, OSError) as error:
            failure = error
        if lines:
            yield lines
        if failure is not None:
            raise failure

    def _events(self) -> Iterator[Event]:
        for event, why, place in self._found:
            if event is None:
                self.faults += bool(why)
                self.fault = self.fault or f"{place}{why}"
            elif self.read < self._skip:
                self.read += 1
            else:
                yield event

    def left_out(self) -> str:
        """Say what was no event; empty if there was nothing of the kind."""
        if not self.faults:
            return ""
        return f"{plural(self.faults, 'value')} left out, for {escape(self.fault)}"


def from_files(names: Sequence[str], home: Home) -> Iterator[Found]:
    """Yield what files hold, one after the other; `-` is standard input.

    Raises:
        NotReadableError: one cannot be read on; the message names it.
    """
    for name in names:
        where = "standard input" if name == "-" else escape(name)
        try:
            with _opened(name) as file:
                for found in read(file, home):
                    several = found.why and len(names) > 1
                    yield found._replace(place=f"{where}: {found.place}") if several else found
        except OSError as error:
            raise NotReadableError(f"{where} cannot be read: {error.strerror or error}") from None
        except NotReadableError as error:
            raise NotReadableError(f"{where}: {error}") from None


def _opened(name: str) -> io.BufferedReader:
    if name == "-":
        return io.BufferedReader(cast("io.RawIOBase", sys.stdin.buffer))
    return Path(name).open("rb")


def from_daemon(daemon: Daemon, seconds: float) -> Iterator[Found]:
    """Yield what the daemon has stored in the last so many seconds, as far as it keeps it.

    Raises:
        EventerError: nobody answers.
    """
    for line in daemon.lines("/v1/events", since=time.time() - seconds):
        yield Found(decode_lines([line])[0])
