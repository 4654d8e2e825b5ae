"""Files of events in every form that people have them in."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import msgspec
import pytest

from eventer.control.dead import encode
from eventer.event import Event, Outcome, encode_lines
from eventer.journal import Letter
from eventer.source import replay
from eventer.source.replay import Found, Home, NotReadableError, read
from tests.helpers.sinks import make_event

CORE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "web-0.17", "namespace": "shop", "uid": "u-1", "resourceVersion": "7"},
    "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-0"},
    "type": "Warning",
    "reason": "BackOff",
    "message": "Back-off",
    "lastTimestamp": "2026-03-01T12:00:00Z",
}
HOME = Home("prod", {"team": "shop"})
OWN = [make_event(1), make_event(2)]
LINES = encode_lines(OWN)


def found(data: bytes, home: Home = HOME) -> list[Found]:
    return list(read(io.BufferedReader(io.BytesIO(data)), home))  # type: ignore[arg-type]


def events(data: bytes) -> list[Event]:
    got = found(data)
    assert not [each for each in got if each.why]
    return [each.event for each in got if each.event is not None]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "data", [b"\n".join(LINES), b"\n\n" + b"\n".join(LINES) + b"\n\n", b"\r\n".join(LINES) + b"\r\n"]
)
def test_lines_of_eventer(data: bytes, packed: bool) -> None:
    assert events(gzip.compress(data) if packed else data) == OWN


def test_files_that_were_joined() -> None:
    assert events(gzip.compress(LINES[0] + b"\n") + gzip.compress(LINES[1])) == OWN


def letter(**changes: Any) -> bytes:
    made = Letter(number=7, reader="archive", state=Outcome.DEAD, reason="mapping", at=1.0, event=LINES[0])
    return encode(msgspec.structs.replace(made, **changes))


def test_dead_letters() -> None:
    assert events(letter() + b"\n" + letter(event=LINES[1])) == OWN
    raw = letter(reader="intake:prod/events", event=b"\xff{")
    assert json.loads(raw)["line"] == "\\xff{"
    assert found(raw + b"\n" + letter(event=b"")) == [Found(None), Found(None)]


@pytest.mark.parametrize(
    "value",
    [
        CORE,
        [CORE],
        {"kind": "List", "items": [CORE]},
        {"type": "ADDED", "object": CORE},
        {"type": "MODIFIED", "object": CORE},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_what_kubectl_prints(value: Any, indent: int | None) -> None:
    (event,) = events(json.dumps(value, indent=indent).encode())
    assert (event.cluster, event.labels, event.reason, event.entity) == ("prod", {"team": "shop"}, "BackOff", "u-1")


@pytest.mark.parametrize("kind", ["DELETED", "BOOKMARK", "ERROR"])
def test_lines_of_a_watch_that_are_no_event_are_no_fault(kind: str) -> None:
    lines = [{"type": kind, "object": CORE}, {"type": "ADDED", "object": CORE}]
    assert len(events("\n".join(map(json.dumps, lines)).encode())) == 1


def test_what_is_no_event_is_named_and_the_rest_is_read() -> None:
    got = found(LINES[0] + b'\nnope\n{"a": 1}\n7\n' + LINES[1][:-5])
    assert [each.event is None for each in got] == [False, True, True, True, True]
    said = [each.place + each.why for each in got[1:]]
    assert [text.partition(" ")[0] for text in said] == ["line"] * 4
    assert [text.split(":")[0].split(" is")[0] for text in said] == ["line 2", "line 3", "line 4", "line 5"]


def test_a_kubernetes_event_of_no_known_cluster() -> None:
    (only,) = found(json.dumps(CORE).encode(), Home(None, {}))
    assert only.why == "a Kubernetes Event does not say of which cluster it is; name that with --cluster"


def test_what_is_cut_within_its_compression_is_read_up_to_there() -> None:
    many = b"".join(line + b"\n" for line in encode_lines([make_event(n) for n in range(2000)]))
    values = read(io.BufferedReader(io.BytesIO(gzip.compress(many)[:-2000])), HOME)  # type: ignore[arg-type]
    assert [next(values).event for _ in range(100)] == [make_event(n) for n in range(100)]
    with pytest.raises(NotReadableError, match=r"cut or damaged within its compression, after line \d+$"):
        list(values)
    with pytest.raises(NotReadableError, match="after line 0"):
        found(b"\x1f\x8bnonsense")


def test_a_line_beyond_all_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "LONGEST", 2000)
    with pytest.raises(NotReadableError, match="line 2 is longer than"):
        found(LINES[0] + b"\n" + b"x" * 3000)
    # A file that goes over many lines and is too long for one value is taken line by line.
    assert found(b"[\n" + b"1,\n" * 2000)[0].why.startswith("line 1 is no JSON")


def test_nothing() -> None:
    assert found(b"") == found(b"\n \n") == found(gzip.compress(b"")) == []
