"""Listing: pages, history that goes while it is read, start policies, gaps, rollbacks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eventer.demo.faults import Fault
from eventer.event import Event, Origin
from tests.helpers.recorded import special
from tests.helpers.until import until


def fill(world, count: int, start: int = 0) -> set[str]:
    names = {f"e{number:05}" for number in range(start, start + count)}
    for name in sorted(names):
        world.server.create(name)
    return names


async def test_pages_come_without_position_and_the_last_one_with_it(world) -> None:
    names = fill(world, 25)
    world.run(page=10)
    await world.arrived(*names)
    assert [block.position for block in world.target.blocks] == [None, None, world.server.store.version]
    assert all(block.listed for block in world.target.blocks)
    lists = [r for r in world.server.requests if r.kind == "list"]
    assert [("continue" in r.query, r.query["limit"]) for r in lists] == [(False, "10"), (True, "10"), (True, "10")]
    assert all("resourceVersion" not in r.query for r in lists)


async def test_an_empty_cluster_has_a_position_too(world) -> None:
    world.run()
    await world.watching()
    assert world.target.position == world.server.store.version
    assert world.status.listed


async def test_w7_history_goes_between_pages(world) -> None:
    names = fill(world, 25, start=10)

    async def compact() -> None:
        world.server.create("a-sorts-before-the-cursor")
        world.server.compact()

    world.server.faults.add("list", Fault(), times=2)
    world.server.faults.add("list", Fault(before=compact))
    world.run(page=10)
    await world.arrived(*names, "a-sorts-before-the-cursor")
    await world.watching()
    lists = [r for r in world.server.requests if r.kind == "list"]
    tokens = [r.query.get("continue") for r in lists]
    assert tokens[3] is None, "the list starts over"
    assert len(lists) == 6
    assert world.target.position == world.server.store.version
    assert len(world.target.events) == 26


async def test_w8_history_goes_in_every_paged_list(world) -> None:
    names = fill(world, 25)

    async def compact() -> None:
        world.server.store.advance()
        world.server.compact()

    for _ in range(2):
        world.server.faults.add("list", Fault())
        world.server.faults.add("list", Fault(before=compact))
    world.run(page=10)
    await world.arrived(*names)
    await world.watching()
    lists = [r for r in world.server.requests if r.kind == "list"]
    assert len(lists) == 5
    assert "limit" not in lists[-1].query and "continue" not in lists[-1].query
    # One list without pages is still taken in pieces, and only the last has the position.
    assert [block.position is not None for block in world.target.blocks[-3:]] == [False, False, True]


async def test_the_real_server_s_410_with_a_token_to_go_on_is_not_taken_up(world) -> None:
    names = fill(world, 25)
    world.server.faults.add("list", Fault())
    world.server.faults.add("list", Fault(raw=special("410-list-inconsistent-continue")))
    world.run(page=10)
    await world.arrived(*names)
    assert [r.query.get("continue") for r in world.server.requests if r.kind == "list"][2] is None


async def test_a_list_whose_version_changes_between_pages_starts_over(world) -> None:
    names = fill(world, 15)
    world.server.faults.add("list", Fault())
    other = b'{"metadata":{"resourceVersion":"99999"},"items":[]}'
    world.server.faults.add("list", Fault(status=200, body=other))
    world.run(page=10)
    await world.arrived(*names)
    assert world.target.position == world.server.store.version


@pytest.mark.parametrize("failing", [1, 2, 3])
async def test_w27_a_journal_that_fails_in_the_middle_of_a_list(world, failing: int) -> None:
    names = fill(world, 25)
    take, taken = world.target.take, 0

    async def fail_once(arrivals) -> None:
        nonlocal taken
        taken += 1
        world.target.refuse = int(taken == failing)
        assert world.target.position is None
        await take(arrivals)

    world.target.take = fail_once
    world.run(page=10)
    await world.arrived(*names)
    await world.watching()
    assert taken == failing + 3
    assert len(world.target.events) == 25
    assert world.target.position == world.server.store.version


async def test_an_answer_that_is_too_large_is_asked_for_in_smaller_pages(world, monkeypatch) -> None:
    from eventer.source import kube

    names = fill(world, 30)
    monkeypatch.setattr(kube, "BODY_CAP", 5000)
    world.run(page=80)
    await world.arrived(*names)
    assert {r.query["limit"] for r in world.server.requests if r.kind == "list"} == {"80", "10"}


# -- start policies


async def test_start_all(world) -> None:
    world.server.create("old", lastTimestamp="2020-01-01T00:00:00Z")
    world.run(start="all")
    await world.arrived("old")


async def test_start_now(world) -> None:
    world.server.create("old")
    world.run(start="now")
    await world.watching()
    world.server.create("new")
    world.server.patch("old", count=2)
    await world.arrived("new", "old")
    assert [(e.event, e.count) for e in world.target.events] == [("default/new", 1), ("default/old", 2)]
    assert world.target.old == 1


async def test_start_with_a_duration_goes_by_the_server_s_clock(world) -> None:
    def ago(**delta: int) -> str:
        return (datetime.now(UTC) - timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")

    world.server.create("older", lastTimestamp=ago(minutes=50))
    world.server.create("younger", lastTimestamp=ago(minutes=10))
    world.clock.skew = -7200
    world.run(start=timedelta(minutes=30))
    await world.arrived("younger")
    assert world.target.names() == ["younger"]


async def test_a_start_policy_is_for_the_first_list_only(world) -> None:
    world.target.resume(world.server.store.version, contact=world.clock.now().timestamp())
    world.server.create("while-we-were-away", lastTimestamp="2020-01-01T00:00:00Z")
    world.server.compact()
    world.run(start="now")
    await world.arrived("while-we-were-away")


async def test_a_first_list_that_fails_half_way_is_still_the_first(world) -> None:
    fill(world, 15)
    world.server.faults.add("list", Fault())
    world.server.faults.add("list", Fault(status=500))
    world.run(start="now", page=10)
    await world.watching()
    assert world.target.events == []
    assert world.target.old == 15


# -- gaps


async def test_w4_longer_away_than_events_live_is_told(world) -> None:
    away = 3600.0
    contact = world.clock.now().timestamp() - away
    world.target.resume(world.server.store.version, contact=contact)
    world.server.create("survivor")
    world.server.compact()
    world.run(event_ttl=3600)
    await world.arrived("survivor")
    await until(lambda: world.target.records)
    (gap,) = world.target.records
    assert (gap.origin, gap.type, gap.reason) == (Origin.EVENTER, "Warning", "GapWithoutContact")
    assert gap.first is not None and abs(gap.first.timestamp() - contact) < 0.001
    assert any(f"({seconds} s)" in gap.message for seconds in (3599, 3600, 3601)), "dates of answers are whole seconds"
    assert "Eventer was not running" in gap.message
    assert world.status.gaps == 1 and world.status.gap_seconds >= away - 1
    await world.watching()
    assert world.target.contact is not None and world.target.contact > contact + away - 2


async def test_w4_a_gap_is_told_before_the_position_moves_and_once(world) -> None:
    old = world.server.store.version
    world.target.resume(old, contact=world.clock.now().timestamp() - 7200)
    world.server.create("survivor")
    world.server.compact()
    world.target.refuse_end = 2
    told_at = []
    record = world.target.record

    async def noting(event: Event) -> None:
        told_at.append(world.target.position)
        await record(event)

    world.target.record = noting
    world.run(event_ttl=3600)
    await world.watching()
    assert told_at == [old]
    assert world.status.gaps == 1


async def test_a_first_list_that_is_not_stored_is_still_the_first_one(world) -> None:
    for i in range(5):
        world.server.create(f"old-{i}")
    world.target.refuse_end = 1
    world.run(start="now", page=2)
    await world.watching()
    assert world.target.refuse_end == 0
    assert world.target.events == []


async def test_w3_shorter_away_is_no_gap(world) -> None:
    world.target.resume(world.server.store.version, contact=world.clock.now().timestamp() - 3000)
    world.server.create("a")
    world.server.compact()
    world.run(event_ttl=3600)
    await world.arrived("a")
    await world.watching()
    assert not world.target.records


async def test_w1_history_that_reaches_back_leaves_no_gap_and_needs_no_list(world) -> None:
    position = world.server.store.version
    world.target.resume(position, contact=world.clock.now().timestamp() - 10_000)
    world.server.create("a")
    world.run()
    await world.arrived("a")
    assert world.positions() == [position]
    assert "list" not in world.kinds()
    assert not world.target.records


async def test_an_outage_names_its_cause_in_the_gap(world) -> None:
    world.run(event_ttl=3600)
    await world.watching()
    world.server.faults.add("watch", Fault(status=503), times=3)
    world.server.faults.add("probe", Fault(status=503), times=3)
    world.server.cut()
    world.clock.advance(3600)
    world.server.create("a")
    world.server.compact()
    await world.arrived("a")
    await until(lambda: world.target.records)
    assert "503" in world.target.records[0].message


# -- rollbacks


@pytest.mark.parametrize("ahead", [1, 10_000])
async def test_w18_a_position_from_the_future_begins_a_new_epoch(world, ahead: int) -> None:
    world.server.create("a")
    world.target.resume(world.server.store.version + ahead, contact=world.clock.now().timestamp())
    world.run()
    await world.arrived("a")
    await world.watching()
    assert world.target.epoch == 1
    assert world.status.rollbacks == 1
    assert world.kinds()[:3] == ["probe", "probe", "list"]
    assert world.clock.slept[0] == 5.0
    assert world.target.events[0].id.startswith("prod/1/")
    world.server.create("b")
    await world.arrived("b")


async def test_w16_a_restored_backup_is_noticed_at_the_reconnect(world) -> None:
    world.server.create("a")
    world.run()
    await world.arrived("a")
    await world.watching()
    backup = world.server.store.save()
    world.server.create("lost-by-the-restore")
    await world.arrived("lost-by-the-restore")
    world.server.restore(backup)
    await until(lambda: world.target.epoch == 1)
    world.server.create("after")
    await world.arrived("after")
    assert world.status.rollbacks == 1


async def test_a_restored_backup_is_noticed_when_history_is_listed(world) -> None:
    """The compaction makes the watch end in 410, which needs no probe: the list's own version tells."""
    world.target.resume(world.server.store.version + 50, contact=world.clock.now().timestamp())
    world.server.create("a")
    world.server.faults.add("probe", Fault(status=200, body=b'{"metadata":{"resourceVersion":"999999"},"items":[]}'))
    world.server.faults.add("watch", Fault(raw=special("410-in-stream-core-events")))
    world.run()
    await world.arrived("a")
    assert world.target.epoch == 1


async def test_one_lagging_answer_is_no_rollback(world) -> None:
    position = world.server.store.version
    world.target.resume(position)
    behind = b'{"metadata":{"resourceVersion":"%d"},"items":[]}' % (position - 5)
    world.server.faults.add("probe", Fault(status=200, body=behind))
    world.run()
    await world.watching()
    assert world.target.epoch == 0 and not world.status.rollbacks
    assert world.kinds()[:3] == ["probe", "probe", "watch"]


# -- scopes


async def test_two_namespaces_have_positions_of_their_own(world) -> None:
    from tests.helpers.target import MemoryTarget

    targets = {name: MemoryTarget(world.clock) for name in ("red", "blue")}
    for name, target in targets.items():
        world.run(target, namespace=name)
    await until(lambda: world.server.watching == 2)
    world.server.create("r1", "red")
    world.server.create("b1", "blue")
    world.server.create("g1", "green")
    world.server.create("r2", "red")
    await world.arrived("r1", "r2", target=targets["red"])
    await world.arrived("b1", target=targets["blue"])
    assert targets["blue"].names() == ["b1"]
    assert targets["red"].position != targets["blue"].position


async def test_w31_one_forbidden_namespace_does_not_stop_the_other(world) -> None:
    from tests.helpers.target import MemoryTarget

    world.server.faults.add("list", Fault(raw=special("403-no-rbac-namespaced")))
    forbidden, allowed = MemoryTarget(world.clock), MemoryTarget(world.clock)
    blocked = world.run(forbidden, namespace="red")
    await until(lambda: blocked.blocked or forbidden.position is not None)
    status = world.run(allowed, namespace="blue")
    world.server.create("b1", "blue")
    await world.arrived("b1", target=allowed)
    assert not status.blocked


@pytest.mark.parametrize("api", ["core", "events"])
async def test_both_apis_through_the_whole_path(world, api) -> None:
    world.server.create("listed", series={"count": 4, "lastObservedTime": "2026-01-02T03:04:05.000006Z"})
    world.run(api=api)
    await world.watching()
    world.server.create("watched", message="m")
    await world.arrived("listed", "watched")
    assert [e.count for e in world.target.events] == [4, 1]
    assert world.target.events[1].message == "m"
    prefix = "/api/v1/" if api == "core" else "/apis/events.k8s.io/v1/"
    assert all(r.path == f"{prefix}events" for r in world.server.requests)
