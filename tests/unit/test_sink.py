"""The contract's own parts: batches, and how sinks are found."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventer import sink
from eventer.event import encode_lines
from eventer.sink import GROUP, Batch, BatchConfig, GroupConfig, NotifierConfig, Sent, SinkConfig, kinds, load
from eventer.values import Duration, Repeats
from tests.helpers.sinks import batch_of, make_event

EVENTS = [make_event(number) for number in range(5)]


def test_a_batch_is_decoded_at_first_use_and_once() -> None:
    batch = batch_of(EVENTS)
    assert batch._events is None
    assert list(batch.events) == EVENTS
    assert batch.events is batch.events


def test_a_batch_knows_its_size() -> None:
    batch = batch_of(EVENTS)
    assert len(batch) == 5
    assert batch.size == sum(len(line) for line in encode_lines(EVENTS))


@pytest.mark.parametrize("decoded", [True, False])
def test_parts_and_picks_keep_lines_and_events_together(decoded: bool) -> None:
    batch = Batch(encode_lines(EVENTS), EVENTS if decoded else None)
    part, picked = batch.part(1, 3), batch.pick([4, 0])
    assert list(part.events) == EVENTS[1:3]
    assert list(part.lines) == encode_lines(EVENTS)[1:3]
    assert list(picked.events) == [EVENTS[4], EVENTS[0]]
    assert list(picked.lines) == [encode_lines(EVENTS)[4], encode_lines(EVENTS)[0]]


def test_what_is_sent_has_failed_nowhere_unless_said() -> None:
    assert (Sent().failed, Sent().duplicates, Sent().state) == ({}, 0, None)


def test_kinds_are_the_modules_that_lie_there() -> None:
    files = {path.stem for path in (Path(sink.__file__).parents[1] / "sinks").glob("[a-z]*.py")}
    assert set(kinds()) >= files >= {"file", "stdout", "webhook"}
    assert not any(kind.startswith("_") for kind in kinds())


def test_others_add_kinds_by_entry_points_but_replace_none(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints(
        [EntryPoint("carrier-pigeon", "pigeons.sink", GROUP), EntryPoint("file", "pigeons.file", GROUP)]
    )

    def installed(**wanted: Any) -> EntryPoints:
        return points.select(**wanted)

    monkeypatch.setattr(sink, "entry_points", installed)
    assert kinds()["carrier-pigeon"] == "pigeons.sink"
    assert kinds()["file"] == "sinks.file"


def test_an_unknown_kind() -> None:
    with pytest.raises(KeyError):
        load("carrier-pigeon")


def test_finding_kinds_imports_none_of_them() -> None:
    code = "import sys, eventer.sink as s; s.kinds(); sys.exit(any(m.startswith('sinks.') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("kind", ["stdout", "file"])
def test_only_what_is_configured_is_imported(kind: str) -> None:
    heavy = "{'httpx', 'jinja2', 'aiohttp', 'kubernetes_asyncio'}"
    code = f"import sys, eventer.sink as s; s.load({kind!r}); sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("count", [0, 10_001])
def test_the_size_of_a_send_is_bounded(count: int) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"count": count}, BatchConfig)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"kind": "x", "mtach": []}, SinkConfig)


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"by": ["name", "name"]}, "each field is named once"),
        ({"by": [""]}, "each field is named once"),
        ({"interval": Duration(0)}, "write for example 5m"),
        ({"interval": Duration(600), "repeat": Duration(300)}, "at least for its interval"),
        ({"resolve_after": Duration(0)}, "write for example 30m"),
    ],
)
def test_a_group_that_would_tell_nothing_or_everything_twice_is_refused(options: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        GroupConfig(**options)


@pytest.mark.parametrize("options", [{"batch": BatchConfig(count=3)}, {"repeats": Repeats.parse("changes")}])
def test_options_about_events_are_refused_where_notifications_are_sent(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="this sink is sent notifications; leave it out"):
        NotifierConfig(kind="x", **options)
    assert SinkConfig(kind="x", **options).notifies is None


def test_a_notifier_says_how_it_is_told() -> None:
    assert NotifierConfig(kind="x").notifies == GroupConfig()
