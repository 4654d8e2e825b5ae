"""`kind: stdout`: events to standard output, as JSON lines or as one readable line each.

For a first look, and for platforms that collect a container's output. The daemon's own log goes to
standard error, so the two never mix.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import threading
from collections.abc import Sequence
from datetime import UTC
from typing import Final, Literal

import msgspec

from eventer.errors import Blocked, Rejected, Retry
from eventer.event import Event
from eventer.sink import Batch, Sent, SinkConfig, SinkContext
from eventer.text import escape

__all__ = ["Config", "Sink", "readable"]

STDOUT: Final = 1
"""File descriptor of standard output."""
PIECE: Final = 4096
"""Bytes of one write: a pipe that says it is writable takes this many without blocking
(PIPE_BUF, https://man7.org/linux/man-pages/man7/pipe.7.html)."""
PATIENCE: Final = 100
"""Milliseconds after which a thread that waits for a slow reader looks whether to give up."""


class Config(SinkConfig, kw_only=True):
    """Options of `kind: stdout`."""

    format: Literal["json", "line"] = "json"
    """`json`: one JSON object a line, as other sinks get it. `line`: one line for people, coloured
    on a terminal unless the variable NO_COLOR is set."""


class Sink:
    """See `eventer.sink.Sink`. It writes in a thread: a reader that stops reading blocks only it."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        self._config = config
        self._stop = threading.Event()
        self._job: asyncio.Future[None] | None = None
        self._torn = False
        self._colour = False

    async def open(self, state: bytes | None) -> None:
        """Look whether standard output is a terminal that wants colour (https://no-color.org)."""
        environment = os.environ
        plain = environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
        self._colour = not plain and os.isatty(STDOUT)

    async def send(self, batch: Batch) -> Sent:
        """Write the events; they are confirmed when the kernel has taken them all.

        Raises:
            Retry: the disk behind standard output is full, or writing failed for another reason.
            Rejected: an event cannot be decoded.
            Blocked: nobody reads standard output any more.
        """
        await self._finish()
        if self._config.format == "json":
            lines: Sequence[bytes] = batch.lines
        else:
            try:
                lines = [readable(event, colour=self._colour).encode() for event in batch.events]
            except (msgspec.MsgspecError, ValueError):
                raise Rejected("An event in the batch cannot be decoded.", reason="decode") from None
        data = b"\n".join(lines) + b"\n"
        if self._torn:
            # The rest of a line that was given up goes on a line of its own, not into the next.
            data = b"\n" + data
        self._stop.clear()
        self._job = asyncio.ensure_future(asyncio.to_thread(self._write, data))
        try:
            await asyncio.shield(self._job)
        except asyncio.CancelledError:
            self._stop.set()
            raise
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.EBADF, errno.EIO):
                raise Blocked("Standard output is closed; nobody reads it.", reason="closed") from None
            raise Retry(f"Standard output cannot be written: {error.strerror}.", reason="disk") from None
        except Exception as error:  # noqa: BLE001 - nothing undocumented gets out of a sink
            raise Retry(f"Writing to standard output failed with {type(error).__name__}.", reason="unknown") from None
        return Sent()

    async def close(self) -> None:
        """Stop a write that still waits for its reader."""
        self._stop.set()
        await self._finish()

    async def _finish(self) -> None:
        """Wait for the write of a send that was cancelled."""
        if self._job is not None:
            await asyncio.wait([self._job])
            if not self._job.cancelled():
                self._job.exception()  # marks it as seen; the send that began it is over
            self._job = None

    def _write(self, data: bytes) -> None:
        """Write everything, or up to where `_stop` was set; runs in a thread."""
        poll = select.poll()
        poll.register(STDOUT, select.POLLOUT)
        view = memoryview(data)
        done = 0
        try:
            while done < len(view) and not self._stop.is_set():
                if not poll.poll(PATIENCE):
                    continue
                try:
                    done += os.write(STDOUT, view[done : done + PIECE])
                except BlockingIOError:
                    continue  # somebody made it non-blocking, and another writer was quicker
        finally:
            if done:
                self._torn = data[done - 1] != ord("\n")


_YELLOW: Final = "\x1b[33m"
_BOLD: Final = "\x1b[1m"
_DIM: Final = "\x1b[2m"
_PLAIN: Final = "\x1b[0m"


def readable(event: Event, *, colour: bool) -> str:
    """Write an event as one line for people; nothing in it can move a terminal's cursor."""
    kind, reason = f"{event.type:<7}", event.reason
    where = f"{event.namespace}/{event.name}" if event.namespace else event.name
    times = f" (x{event.count})" if event.count > 1 else ""
    when = event.time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    head, mark, tail = (
        escape(part) for part in (kind, reason, f"{event.cluster} {event.kind} {where}{times}: {event.message}")
    )
    if not colour:
        return f"{when} {head} {mark} {tail}"
    paint = "" if event.type == "Normal" else _YELLOW
    return f"{_DIM}{when}{_PLAIN} {paint}{head}{_PLAIN} {_BOLD}{mark}{_PLAIN} {tail}"
