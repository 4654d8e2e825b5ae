"""The demo's proof must be able to fail: each kind of fault in the file is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventer.demo.tally import Tally


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def tally(file: Path) -> Iterator[Tally]:
    tally = Tally("demo", file, ["Pulled"])
    yield tally
    tally.close()


def change(uid: str, version: int, *, type_: str = "Warning", reason: str = "BackOff") -> dict[str, Any]:
    return {"type": type_, "reason": reason, "metadata": {"uid": uid, "resourceVersion": str(version)}}


def append(file: Path, *ids: str, origin: str = "event") -> None:
    with file.open("a") as out:
        for id_ in ids:
            out.write(json.dumps({"id": id_, "origin": origin, "message": "x"}) + "\n")


def test_all_is_well_when_each_change_is_in_the_file_once(tally: Tally, file: Path) -> None:
    tally.wrote(change("a", 1))
    tally.wrote(change("a", 2))
    tally.wrote(change("b", 3, type_="Normal", reason="Pulled"))
    append(file, "demo/0/a/1", "demo/0/a/2")
    tally.look()
    assert tally.well
    assert (tally.changes, tally.found, tally.left_out, tally.missing) == (3, 2, 1, 0)


def test_a_change_that_is_not_there_is_missing_until_it_comes(tally: Tally, file: Path) -> None:
    tally.wrote(change("a", 1))
    tally.look()
    assert tally.missing == 1
    assert not tally.well
    append(file, "demo/0/a/1")
    tally.look()
    assert tally.missing == 0
    assert tally.well


def test_a_line_that_comes_again_is_twice(tally: Tally, file: Path) -> None:
    tally.wrote(change("a", 1))
    append(file, "demo/0/a/1", "demo/0/a/1")
    tally.look()
    assert tally.twice == 1
    assert not tally.well


@pytest.mark.parametrize("id_", ["demo/0/b/2", "demo/1/a/1", "demo/0/c/9"])
def test_a_line_that_should_not_be_there_is_strange(tally: Tally, file: Path, id_: str) -> None:
    tally.wrote(change("a", 1))
    tally.wrote(change("b", 2, type_="Normal", reason="Pulled"))
    append(file, "demo/0/a/1", id_)
    tally.look()
    assert tally.strange == 1
    assert not tally.well


def test_only_the_filter_s_own_reasons_are_left_out(tally: Tally) -> None:
    tally.wrote(change("a", 1, type_="Warning", reason="Pulled"))
    tally.wrote(change("b", 2, type_="Normal", reason="Killing"))
    assert (tally.left_out, tally.missing) == (0, 2)


def test_records_of_eventer_itself_are_not_the_server_s(tally: Tally, file: Path) -> None:
    append(file, "e3/1", origin="eventer")
    tally.look()
    assert tally.well


def test_half_a_line_is_read_when_the_rest_is_there(tally: Tally, file: Path) -> None:
    tally.wrote(change("a", 1))
    line = '{"id":"demo/0/a/1","origin":"event"}\n'
    file.write_text(line[:12])
    tally.look()
    assert tally.missing == 1
    file.write_text(line)
    tally.look()
    assert tally.well


def test_it_follows_a_rotation(tally: Tally, file: Path) -> None:
    for version in (1, 2, 3):
        tally.wrote(change("a", version))
    append(file, "demo/0/a/1")
    tally.look()
    append(file, "demo/0/a/2")
    file.rename(file.with_name("events.jsonl.000001"))
    append(file, "demo/0/a/3")
    tally.look()
    assert tally.well
    assert tally.found == 3
