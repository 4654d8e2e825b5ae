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


def arrive(tally: Tally, *ids: str) -> None:
    for id_ in ids:
        tally.webhook.came(id_)


def append(file: Path, *ids: str, origin: str = "event") -> None:
    with file.open("a") as out:
        for id_ in ids:
            out.write(json.dumps({"id": id_, "origin": origin, "time": "2026-03-01T12:00:00Z", "message": "x"}) + "\n")


def test_all_is_well_when_each_change_is_in_the_file_once(tally: Tally, file: Path) -> None:
    tally.wrote(change("a", 1))
    tally.wrote(change("a", 2))
    tally.wrote(change("b", 3, type_="Normal", reason="Pulled"))
    append(file, "demo/0/a/1", "demo/0/a/2")
    tally.look()
    assert not tally.well  # the webhook has nothing yet
    arrive(tally, "demo/0/a/1", "demo/0/a/2")
    assert tally.well
    assert (tally.changes, tally.file.found, tally.left_out, tally.file.missing) == (3, 2, 1, 0)


def test_a_change_that_is_not_there_is_missing_until_it_comes(tally: Tally, file: Path) -> None:
    tally.wrote(change("a", 1))
    tally.look()
    assert tally.file.missing == 1
    assert not tally.well
    arrive(tally, "demo/0/a/1")
    assert not tally.well
    append(file, "demo/0/a/1")
    tally.look()
    assert tally.file.missing == 0
    assert tally.well


def test_a_line_that_comes_again_is_twice(tally: Tally, file: Path) -> None:
    tally.wrote(change("a", 1))
    append(file, "demo/0/a/1")
    arrive(tally, "demo/0/a/1")
    tally.look()
    assert tally.well
    append(file, "demo/0/a/1")
    tally.look()
    assert tally.file.twice == 1
    assert not tally.well


@pytest.mark.parametrize("id_", ["demo/0/b/2", "demo/1/a/1", "demo/0/c/9"])
def test_a_line_that_should_not_be_there_is_strange(tally: Tally, file: Path, id_: str) -> None:
    tally.wrote(change("a", 1))
    tally.wrote(change("b", 2, type_="Normal", reason="Pulled"))
    append(file, "demo/0/a/1")
    arrive(tally, "demo/0/a/1")
    tally.look()
    assert tally.well
    append(file, id_)
    tally.look()
    assert tally.file.strange == 1
    assert not tally.well


def test_only_the_filter_s_own_reasons_are_left_out(tally: Tally) -> None:
    tally.wrote(change("a", 1, type_="Warning", reason="Pulled"))
    tally.wrote(change("b", 2, type_="Normal", reason="Killing"))
    assert (tally.left_out, tally.file.missing) == (0, 2)


def test_records_of_eventer_itself_are_not_the_server_s(tally: Tally, file: Path) -> None:
    append(file, "e3/1", origin="eventer")
    tally.look()
    assert tally.well


def test_the_webhook_may_get_one_twice_but_none_that_is_strange(tally: Tally, file: Path) -> None:
    tally.wrote(change("a", 1))
    append(file, "demo/0/a/1")
    tally.look()
    arrive(tally, "demo/0/a/1", "demo/0/a/1")
    assert tally.well
    assert tally.webhook.twice == 1
    arrive(tally, "demo/0/b/1")
    assert not tally.well


def test_what_a_crash_took_out_of_the_file_is_missing_again(tally: Tally, file: Path) -> None:
    tally.wrote(change("a", 1))
    tally.wrote(change("a", 2))
    append(file, "demo/0/a/1", "demo/0/a/2")
    tally.look()
    assert tally.file.missing == 0
    kept = file.read_text().splitlines(keepends=True)[0]
    file.write_text(kept)
    tally.look_anew()
    assert (tally.file.found, tally.file.missing, tally.file.twice) == (1, 1, 0)
