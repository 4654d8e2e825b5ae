"""Events out of files, to be explained or sent again: whatever people have recorded of them.

    Eventer's own lines      what `file` and `stdout` write, and `eventer tail --output json`
    dead letters             `eventer dead-letters export`
    lines of a watch         `kubectl get events --watch --output-watch-events -o json`, or the API's own
    Events, lists of them    `kubectl get events -o json`

One value a line, or one value in the whole file; plain, or compressed with gzip. A line is read at a time.
"""

from __future__ import annotations

import gzip
import io
import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from eventer.errors import EventerError
from eventer.event import Event
from eventer.text import escape

__all__ = ["Found", "Home", "NotReadableError", "read"]

LONGEST: Final = 64 << 20
"""Bytes of one line, or of a file that is one value: about 100,000 Events."""
_GZIP: Final = b"\x1f\x8b"
_UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_own = msgspec.json.Decoder(Event)


class NotReadableError(EventerError):
    """A file cannot be read on; the message says why."""


class Home(NamedTuple):
    """What a Kubernetes Event does not say of itself."""

    cluster: str | None
    """None where it is not known, so that a Kubernetes Event cannot be read."""
    labels: Mapping[str, str]


class Found(NamedTuple):
    """One value of a file."""

    event: Event | None
    why: str = ""
    """Why there is none; empty where none was to be expected (the deletion of an Event, a bookmark)."""
    place: str = ""
    """Where that is, with a colon, if `why` does not say it."""


def read(file: io.BufferedReader, home: Home) -> Iterator[Found]:
    """Yield the events of a file, in its order.

    Args:
        file: read to its end.
        home: for Kubernetes Events.

    Raises:
        NotReadableError: it ends within its compression, or has a line beyond all bounds.
        OSError: as the system says.
    """
    packed = file.peek(2)[:2] == _GZIP
    lines = _lines(gzip.GzipFile(fileobj=file) if packed else file)
    first = next(lines, None)
    if first is None:
        return
    number, text = first
    value = _decode(text)
    if value is None and not _is_json(text):
        # No value by itself: it may be the first line of one that goes over many.
        held, size = [first], len(text)
        for each in lines:
            held.append(each)
            size += len(each[1])
            if size > LONGEST:
                break
        else:
            whole = b"".join(line for _, line in held)
            if _is_json(whole):
                yield from _values(msgspec.json.decode(whole), "", home)
                return
        lines = itertools.chain(held, lines)
    else:
        lines = itertools.chain([first], lines)
    for number, text in lines:
        own = _decode(text)
        if own is not None:
            yield Found(own)
        elif _is_json(text):
            yield from _values(msgspec.json.decode(text), f"line {number}: ", home)
        else:
            yield Found(None, f"line {number} is no JSON; give events as JSON, such as kubectl prints with -o json")


def _lines(file: io.BufferedReader | gzip.GzipFile) -> Iterator[tuple[int, bytes]]:
    """Yield lines with their numbers, but for blank ones."""
    for number in itertools.count(1):
        try:
            text = file.readline(LONGEST + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise NotReadableError(
                f"the file is cut or damaged within its compression, after line {number - 1}"
            ) from None
        if not text:
            return
        if len(text) > LONGEST:
            raise NotReadableError(f"line {number} is longer than {LONGEST >> 20} MiB; give one event a line")
        if text.strip():
            yield number, text


def _decode(text: bytes) -> Event | None:
    """Read one of Eventer's own lines, the usual case."""
    try:
        return _own.decode(text)
    except _UNDECODABLE:
        return None


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except _UNDECODABLE:
        return False
    return True


def _values(value: Any, place: str, home: Home) -> Iterator[Found]:
    for item in _unwrap(value):
        try:
            yield Found(None if item is None else _event(item, home))
        except _NoEventError as error:
            yield Found(None, str(error), place)


def _unwrap(value: Any) -> Sequence[Any]:
    """Take events out of a list, a line of a watch, or a dead letter; None for what stands for no event."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return [value]
    if isinstance(value.get("items"), list):
        return list(value["items"])
    if isinstance(value.get("object"), dict):
        return [None if value.get("type") in {"DELETED", "BOOKMARK", "ERROR"} else value["object"]]
    if "sink" in value and "number" in value:
        return [value.get("event")]
    return [value]


class _NoEventError(Exception):
    """A value is no event."""


def _event(value: Any, home: Home) -> Event:
    """Read one event, of Kubernetes or of Eventer.

    Raises:
        _NoEventError: it is neither.
    """
    if not isinstance(value, dict):
        raise _NoEventError("what was given is JSON, but no event; give an object or a list of them")
    if "entity" in value or not (value.get("kind") == "Event" or "involvedObject" in value or "regarding" in value):
        try:
            return msgspec.convert(value, Event)
        except msgspec.ValidationError as error:
            message = "this is neither a Kubernetes Event (which has involvedObject or regarding) nor one of Eventer's"
            raise _NoEventError(f"{message}: {escape(str(error))}") from None
    if home.cluster is None:
        raise _NoEventError("a Kubernetes Event does not say of which cluster it is; name that with --cluster")
    # Not at the top: Eventer's own lines need none of it.
    from eventer.source.wire import Decoder

    newer = "regarding" in value or str(value.get("apiVersion", "")).startswith("events.k8s.io/")
    decoder = Decoder("events" if newer else "core", home.cluster, 0, home.labels)
    try:
        arrivals = decoder.items([msgspec.Raw(msgspec.json.encode(value))])
    except EventerError as error:
        raise _NoEventError(str(error)) from None
    if not arrivals.events:
        raise _NoEventError(
            "this object cannot be read as an Event, and would be kept as a dead letter; "
            "it needs metadata with uid and resourceVersion, and a time"
        )
    return arrivals.events[0]
