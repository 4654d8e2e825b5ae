"""A far side that plays InfluxDB's /api/v2/write as 1.8 and later, 2 and 3 answer it, and reads line protocol.

The reader is a second one, written from the syntax
(https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/), so that what the sink escapes wrongly is
seen. The real InfluxDB 1.13 is in tests/real; the answers of 2 and 3 are played as they are documented:

- 2: https://docs.influxdata.com/influxdb/v2/write-data/troubleshoot/
- 3: https://docs.influxdata.com/influxdb3/core/write-data/troubleshoot/
"""

from __future__ import annotations

import gzip
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from tests.helpers.farside import Answer, FarSide, Request

__all__ = ["Influx", "Point", "parse"]


@dataclass
class Point:
    """One point."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, Any]
    time: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes it that point, and no other."""
        return self.measurement, tuple(sorted(self.tags.items())), self.time


class Influx(FarSide):
    """One server with one bucket. `version` is 1, 2 or 3."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, version: int = 2, at: tuple[str, int] = ("127.0.0.1", 0)):
        super().__init__(tls, at=at)
        self.version = version
        self.bucket = "events"
        self.authorization: str | None = None
        """What the header must be; None takes everything."""
        self.refuse: Callable[[Point], str | None] = lambda _: None
        """Asked for each point: why it is dropped."""
        self.points: dict[tuple[Any, ...], Point] = {}
        """In order of arrival; a second one with the same key takes the place of the first."""
        self.writes: list[Request] = []

    def respond(self, request: Request) -> Answer:
        target = urlsplit(request.target)
        query = parse_qs(target.query)
        assert (request.method, target.path) == ("POST", "/api/v2/write")
        assert query["precision"] == ["ns"]
        if self.authorization is not None and request.headers.get("authorization") != self.authorization:
            return self._error(401, "unauthorized access")
        if query["bucket"] != [self.bucket]:
            return self._error(404, f'bucket "{query["bucket"][0]}" not found')
        body = gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
        if not body:
            return Answer(204) if self.version == 1 else self._error(400, "writing requires points")
        self.writes.append(request)
        refused: dict[int, str] = {}
        for place, point in enumerate(parse(body.decode())):
            if (words := self.refuse(point)) is not None:
                refused[place] = words
            elif point.key in self.points:
                self.points[point.key].fields |= point.fields
            else:
                self.points[point.key] = point
        if not refused:
            return Answer(204)
        words = next(iter(refused.values()))
        if self.version == 1:
            return self._error(400, f"partial write: {words} dropped={len(refused)}")
        if self.version == 2:
            return self._error(
                422, f"failure writing points to database: partial write: {words} dropped={len(refused)}"
            )
        data = [
            {"original_line": "events...", "line_number": place + 1, "error_message": told}
            for place, told in refused.items()
        ]
        return _json(400, {"error": "partial write of line protocol occurred", "data": data})

    def _error(self, status: int, message: str) -> Answer:
        if self.version == 2:
            return _json(status, {"code": "invalid", "message": message})
        return _json(status, {"error": message})


def _json(status: int, value: Any) -> Answer:
    return Answer(status, msgspec.json.encode(value), {"Content-Type": "application/json"})


def parse(text: str) -> list[Point]:
    """Read line protocol.

    Raises:
        AssertionError: it is none.
    """
    points = []
    at = 0
    while at < len(text):
        measurement, at = _word(text, at, ", ")
        tags: dict[str, str] = {}
        while text[at] == ",":
            key, at = _word(text, at + 1, "=")
            value, at = _word(text, at + 1, ", ")
            assert key
            assert value
            assert key not in tags
            tags[key] = value
        assert list(tags) == sorted(tags)
        fields: dict[str, Any] = {}
        while text[at] in ", ":
            key, at = _word(text, at + 1, "=")
            assert key
            assert key not in fields
            assert key not in tags
            fields[key], at = _value(text, at + 1)
            if text[at] == " ":
                break
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        points.append(Point(measurement, tags, fields, int(text[at + 1 : end])))
        at = end + 1
    return points


def _word(text: str, at: int, stop: str) -> tuple[str, int]:
    """Read up to a mark that is not escaped; a backslash before anything else is itself."""
    found = ""
    while text[at] not in stop:
        assert text[at] != "\n"
        if text[at] == "\\" and text[at + 1] in ",= ":
            at += 1
        found += text[at]
        at += 1
    return found, at


def _value(text: str, at: int) -> tuple[Any, int]:
    if text[at] != '"':
        end = min(place for mark in ", " if (place := text.find(mark, at)) > 0)
        word = text[at:end]
        return (int(word[:-1]) if word.endswith("i") else float(word)), end
    found: list[str] = []
    at += 1
    while text[at] != '"':
        if text[at] == "\\" and text[at + 1] in '"\\':
            at += 1
        found.append(text[at])
        at += 1
    return "".join(found), at + 1
