"""Intake, one rule a test. Any sequence of them is in test_intake_model."""

from __future__ import annotations

import asyncio
import contextlib
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eventer.config.types import FilterRule
from eventer.errors import DiskRefused
from eventer.event import Outcome, own_record, version_of
from eventer.intake import content_hash
from eventer.journal.journal import FOLD_EVERY
from eventer.journal.records import OWN, ClusterRecord
from eventer.match import Rule
from tests.helpers.intakes import books, listed, state, stored, taking, watched
from tests.helpers.journals import KEY, failing
from tests.helpers.sinks import make_event
from tests.helpers.virtual import BEGIN, in_virtual_time

# -- new, known, delta -------------------------------------------------------------------------------


@in_virtual_time
async def test_delta_is_what_is_new_with_each_state(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        for version, count in [(1, 1), (2, 4), (3, 4), (4, 9)]:
            await intake.take(watched(state("a", version, count=count, message=f"{version}"), added=version == 1))
        await intake.flush()
        assert [event.delta for event in await stored(journal)] == [1, 3, 0, 5]


@in_virtual_time
async def test_a_count_that_went_back_has_no_negative_delta(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(watched(state("a", 1, count=9), state("a", 2, count=2), added=[True, False]))
        await intake.flush()
        assert [event.delta for event in await stored(journal)] == [9, 0]


@in_virtual_time
async def test_the_delta_of_a_change_to_something_unknown_is_unknown(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(watched(state("a", 5, count=7), added=False))
        await intake.take(watched(state("a", 6, count=8), added=False))
        await intake.flush()
        assert [event.delta for event in await stored(journal)] == [None, 1]


@in_virtual_time
async def test_what_a_first_list_shows_is_all_new(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(listed(state("a", 5, count=7), position=9))
        await intake.flush()
        assert [event.delta for event in await stored(journal)] == [7]


@in_virtual_time
async def test_after_eviction_a_list_cannot_tell_what_is_new(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(listed(position=50))
        await intake.flush()
        journal.ledger._low[KEY] = 40
        await intake.take(listed(state("old", 30), state("new", 60, count=5), position=70))
        await intake.flush()
        assert [(event.entity, event.delta) for event in await stored(journal)] == [("new", None)]


@in_virtual_time
async def test_an_update_of_metadata_is_seen_and_not_exported(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(watched(state("a", 1)))
        await intake.take(watched(state("a", 2), added=False))
        await intake.take(watched(state("a", 3, count=2), added=False))
        await intake.flush()
        assert [event.version for event in await stored(journal)] == [1, 3]
        assert books(journal) == (3, 0, 1, 0, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "Normal"},
        {"reason": "Other"},
        {"message": "other"},
        {"count": 2},
        {"time": datetime(2027, 1, 1, tzinfo=UTC)},
        {"first": datetime(2027, 1, 1, tzinfo=UTC)},
        {"component": "other"},
        {"action": "other"},
        {"node": "other"},
        {"field_path": "other"},
        {"object": "other"},
    ],
)
def test_whatever_an_event_says_is_content(change: dict[str, Any]) -> None:
    assert content_hash(state("a", 1)) != content_hash(state("a", 1, **change))


@pytest.mark.parametrize("change", [{"version": 9}, {"id": "x"}, {"labels": {"a": "b"}}, {"delta": 3}])
def test_what_each_write_changes_is_no_content(change: dict[str, Any]) -> None:
    event = state("a", 1)
    assert content_hash(event) == content_hash(make_event(0, **{"entity": "a", "count": 1, **change}))


@in_virtual_time
async def test_the_same_occurrence_again_is_seen_in_a_watch_and_not_counted_in_a_list(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        event = [state("a", 1), state("b", 2)]
        await intake.take(watched(*event))
        await intake.take(watched(*event))
        await intake.flush()
        assert books(journal) == (4, 0, 2, 0, 2)
        await intake.take(listed(*event, position=2))
        await intake.take(listed(*event, position=2))
        await intake.flush()
        assert books(journal) == (4, 0, 2, 0, 2)
        assert len(await stored(journal)) == 2


@in_virtual_time
async def test_repeats_within_one_block_are_told_apart(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(watched(state("a", 1), state("a", 1), state("a", 2, count=2), added=[True, True, False]))
        await intake.flush()
        assert [(event.version, event.delta) for event in await stored(journal)] == [(1, 1), (2, 1)]


@in_virtual_time
async def test_known_entities_are_known_after_folding_and_a_restart(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(watched(state("a", 1), state("b", 2)))
        await intake.flush()
        await asyncio.sleep(FOLD_EVERY)
        await journal.tidy()
    async with taking(tmp_path) as (intake, journal):
        await intake.take(listed(state("a", 1), state("b", 5, count=3), position=6))
        await intake.flush()
        assert [(event.entity, event.delta) for event in await stored(journal)] == [("a", 1), ("b", 1), ("b", 2)]


@in_virtual_time
async def test_a_deleted_entity_is_forgotten_and_never_exported(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(watched(state("a", 1)))
        await intake.take(watched(gone=["a", "never seen"], position=3))
        await intake.flush()
        assert len(await stored(journal)) == 1
        assert await journal.ledger.look_up(KEY, ["a"]) == {}
        assert books(journal) == (1, 0, 0, 0, 1)
        assert intake.position == 3


@in_virtual_time
async def test_a_start_policy_marks_what_is_older_as_seen(tmp_path: Path) -> None:
    noon = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    old, new = state("old", 1, time=noon - timedelta(hours=2)), state("new", 2, time=noon)
    async with taking(tmp_path) as (intake, journal):
        await intake.take(listed(old, new, position=5, seen_before=noon - timedelta(hours=1)))
        await intake.take(watched(state("old", 6, count=4), added=False))  # but what happens to it later counts
        await intake.flush()
        assert [(event.entity, event.delta) for event in await stored(journal)] == [("new", 1), ("old", 3)]
        assert books(journal) == (3, 0, 1, 0, 2)


@in_virtual_time
async def test_poison_is_kept_as_it_came(tmp_path: Path) -> None:
    raw = [b"{not json \xff\x00", b""]
    async with taking(tmp_path) as (intake, journal):
        await intake.take(watched(state("a", 1), poison=raw))
        await intake.flush()
        assert books(journal) == (3, 2, 0, 0, 1)
        assert await journal.letters() == {("intake:prod/events", Outcome.DEAD): 2}
        rows = await journal._on_reader(lambda c: c.execute("SELECT event, reason FROM letter").fetchall())
        assert rows == [(raw[0], "undecodable"), (raw[1], "undecodable")]


@in_virtual_time
async def test_poison_that_comes_again_is_kept_and_counted_once(tmp_path: Path) -> None:
    raw = [b"{not json", b"no event either"]
    async with taking(tmp_path) as (intake, journal):
        await intake.take(listed(state("a", 1), position=2, poison=[*raw, raw[0]]))
        await intake.flush()
        assert books(journal) == (3, 2, 0, 0, 1)
        await intake.take(listed(state("a", 1), position=3, poison=raw))  # another list knows it, as it knows a
        await intake.flush()
        assert books(journal) == (3, 2, 0, 0, 1)
        await intake.take(watched(poison=raw))  # a watch from an earlier position counts it, as it counts a
        await intake.flush()
        assert books(journal) == (5, 2, 2, 0, 1)
    async with taking(tmp_path) as (intake, journal):
        await intake.take(listed(state("a", 1), position=4, poison=[*raw, b"new"]))
        await intake.flush()
        assert books(journal) == (6, 3, 2, 0, 1)
        assert await journal.letters() == {("intake:prod/events", Outcome.DEAD): 3}
        rows = await journal._on_reader(lambda c: c.execute("SELECT number, event FROM letter").fetchall())
        assert sorted(rows) == [(0, raw[0]), (1, raw[1]), (2, b"new")]


@in_virtual_time
async def test_poison_that_was_not_stored_comes_again_as_new(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        with failing(times=1), contextlib.suppress(DiskRefused):
            await intake.take(watched(poison=[b"?"]))
            await intake.flush()
        assert books(journal) == (0, 0, 0, 0, 0)
        await intake.take(watched(poison=[b"?"]))
        await intake.flush()
        assert books(journal) == (1, 1, 0, 0, 0)


@in_virtual_time
async def test_the_delta_of_what_may_have_been_selected_before_is_unknown(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(watched(state("a", 1), state("b", 2, count=5), partial=True))
        await intake.take(watched(state("b", 3, count=7), added=False, partial=True))
        await intake.take(listed(state("c", 4, count=3), state("d", 5), position=6, partial=True))
        await intake.flush()
        deltas = [(event.entity, event.delta) for event in await stored(journal)]
        assert deltas == [("a", 1), ("b", None), ("b", 2), ("c", None), ("d", 1)]


# -- the filter --------------------------------------------------------------------------------------


@in_virtual_time
async def test_the_first_rule_that_matches_decides_and_what_none_matches_is_kept(tmp_path: Path) -> None:
    rules = [
        FilterRule(keep=Rule.parse({"namespace": "shop", "reason": "Pulled"})),
        FilterRule(drop=Rule.parse({"reason": ["Pulled", "Created"]})),
    ]
    async with taking(tmp_path, *rules) as (intake, journal):
        cases = [("shop", "Pulled"), ("other", "Pulled"), ("shop", "Created"), ("other", "Failed")]
        for number, (namespace, reason) in enumerate(cases, 1):
            await intake.take(watched(state(f"u{number}", number, namespace=namespace, reason=reason)))
        await intake.flush()
        assert [event.entity for event in await stored(journal)] == ["u1", "u4"]
        assert books(journal) == (4, 0, 0, 2, 2)


@in_virtual_time
async def test_what_was_filtered_is_not_received_again_by_a_list(tmp_path: Path) -> None:
    async with taking(tmp_path, FilterRule(drop=Rule.parse({"reason": "Pulled"}))) as (intake, journal):
        event = state("a", 1, reason="Pulled")
        await intake.take(watched(event))
        await intake.take(listed(event, position=3))
        await intake.flush()
        assert books(journal) == (1, 0, 0, 1, 0)


@in_virtual_time
async def test_own_records_pass_by_the_filter(tmp_path: Path) -> None:
    async with taking(tmp_path, FilterRule(drop=Rule())) as (intake, journal):
        await intake.take(watched(state("a", 1)))
        await intake.record(own_record(BEGIN, "GapWithoutContact", "words", cluster="prod"))
        await intake.flush()
        assert [event.reason for event in await stored(journal)] == ["GapWithoutContact"]
        assert journal.stream(OWN).appended == 1


# -- the audit ---------------------------------------------------------------------------------------


@in_virtual_time
async def test_the_audit_finds_what_was_missed_and_what_went_back(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(listed(*(state(f"u{n}", 10 * n) for n in range(1, 6)), position=60))
        await intake.flush()
        journal.ledger._low[KEY] = 5
        assert await intake.unknown([("u1", 10), ("u2", 20)]) == ([], False)
        assert await intake.unknown([("u1", 10), ("u2", 21), ("x", 30), ("under the mark", 5)]) == (["u2", "x"], False)
        assert await intake.unknown([("u3", 29)]) == ([], True)
        await journal.set_cluster("prod", ClusterRecord(epoch=1))
        assert await intake.unknown([("u3", 29)]) == (["u3"], False)  # of another epoch: to be listed


# -- the equation, under anything --------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
@in_virtual_time
async def test_the_equation_holds_for_arrivals_that_no_server_would_send(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    rules = [FilterRule(drop=Rule.parse({"reason": "Noise"}))]
    async with taking(tmp_path, *rules) as (intake, journal):
        for _ in range(60):
            events = [
                state(
                    f"u{rng.randrange(6)}",
                    version_of(rng.choice([0, 0, 1]), rng.randrange(40)),
                    count=rng.randrange(5),
                    reason=rng.choice(["Noise", "BackOff"]),
                )
                for _ in range(rng.randrange(5))
            ]
            arrivals = watched(
                *events,
                added=[rng.random() < 0.5 for _ in events],
                gone=[f"u{rng.randrange(6)}"] if rng.random() < 0.2 else [],
                poison=[b"?"] * rng.choice([0, 0, 0, 2]),
                position=rng.choice([None, rng.randrange(40)]),
                listed=rng.random() < 0.3,
            )
            with failing(times=rng.choice([0, 0, 0, 1])), contextlib.suppress(DiskRefused):
                await intake.take(arrivals)
                await asyncio.sleep(rng.choice([0, 0.02, 2]))
                if rng.random() < 0.1:
                    await intake.raise_epoch()
            received, poison, seen, filtered, appended = books(journal)
            assert received == poison + seen + filtered + appended
            assert appended == journal.head
        letters = await journal.letters()
        assert letters.get(("intake:prod/events", Outcome.DEAD), 0) == journal.stream(KEY).poison
        events = await stored(journal)
        assert len(events) == journal.head
        assert all(event.reason != "Noise" for event in events)
