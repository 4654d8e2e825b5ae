"""Following the file of events: whole lines only, each once, over rotations and over the cut after a crash."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventer.demo.tail import Tail


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def tail(file: Path) -> Iterator[Tail]:
    tail = Tail(file)
    yield tail
    tail.close()


def line(id_: str) -> str:
    return json.dumps({"id": id_, "origin": "event", "time": "2026-03-01T12:00:00Z", "reason": "BackOff"}) + "\n"


def ids(tail: Tail) -> list[str]:
    return [each.id for each in tail.read()]


def test_each_line_comes_once(tail: Tail, file: Path) -> None:
    assert ids(tail) == []
    file.write_text(line("a"))
    assert ids(tail) == ["a"]
    with file.open("a") as out:
        out.write(line("b") + line("c"))
    assert ids(tail) == ["b", "c"]
    assert ids(tail) == []


def test_half_a_line_is_read_when_the_rest_is_there(tail: Tail, file: Path) -> None:
    file.write_text(line("a")[:12])
    assert ids(tail) == []
    file.write_text(line("a"))
    assert ids(tail) == ["a"]


def test_it_follows_a_rotation(tail: Tail, file: Path) -> None:
    file.write_text(line("a"))
    assert ids(tail) == ["a"]
    with file.open("a") as out:
        out.write(line("b"))
    file.rename(file.with_name("events.jsonl.000001"))
    file.write_text(line("c"))
    assert ids(tail) == ["b", "c"]


def test_what_was_cut_off_after_a_crash_and_comes_again_is_not_read_again(tail: Tail, file: Path) -> None:
    file.write_text(line("a") + line("b"))
    assert ids(tail) == ["a", "b"]
    with file.open("r+") as out:
        out.truncate(len(line("a")))
    assert ids(tail) == []
    with file.open("a") as out:
        out.write(line("b") + line("c"))
    assert ids(tail) == ["c"]
