"""The audit finds what the watch did not bring, and nothing else."""

from __future__ import annotations

import asyncio

from eventer.demo.faults import Fault
from eventer.source.outcomes import Cause
from tests.helpers.until import until


async def test_it_runs_after_the_start_reads_metadata_only_and_finds_nothing(world) -> None:
    for number in range(25):
        world.server.create(f"e{number}")
    world.run(audit=True, page=10)
    await until(lambda: world.status.audits == 1)
    audits = [r for r in world.server.requests if r.kind == "audit"]
    assert len(audits) == 3
    assert world.status.audit_missed == 0
    assert world.status.relists == 1
    assert world.kinds().count("watch") == 1


async def test_w42_a_miss_is_counted_and_brought_in(world) -> None:
    for number in range(25):
        world.server.create(f"e{number}")
    world.target.resume(world.server.store.version)  # which claims that all of them were read
    world.run(audit=True, page=10)
    await until(lambda: len(world.target.events) == 25)
    assert world.status.audit_missed == 10, "the audit stops at the first page with a miss: the list brings the rest"
    assert world.status.ended[Cause.AUDIT] == 1
    await world.watching()
    world.server.create("live")
    await world.arrived("live")
    assert world.status.relists == 1


async def test_writes_during_an_audit_are_no_findings(world) -> None:
    for number in range(60):
        world.server.create(f"e{number:02}")

    async def meanwhile() -> None:
        world.server.patch("e59", count=9)
        world.server.patch("e01", count=9)
        world.server.delete("e58")
        world.server.create("e57x")
        await until(lambda: world.target.position == world.server.store.version)

    for _ in range(6):
        world.server.faults.add("audit", Fault(before=meanwhile if _ == 2 else None))
    world.run(audit=True, page=10)
    await until(lambda: world.status.audits == 1)
    assert world.status.audit_missed == 0
    assert not world.status.rollbacks


async def test_what_the_watch_brings_while_the_ledger_is_asked_is_no_rollback(world) -> None:
    world.server.create("a")
    ask = world.target.unknown

    async def slow(listed):
        if world.server.store.objects["default", "a"]["count"] == 1:
            world.server.patch("a", count=2)
            await until(lambda: world.target.position == world.server.store.version)
        return await ask(listed)

    world.target.unknown = slow
    world.run(audit=True)
    await until(lambda: world.status.audits == 1)
    assert not world.status.rollbacks and not world.status.audit_missed


async def test_a_restored_cluster_that_has_overtaken_us_is_found(world) -> None:
    """W16, the hard half: the version is above our position again, so no comparison of versions shows it."""
    world.server.create("a")
    backup = world.server.store.save()
    world.server.patch("a", count=2)
    world.run()
    await world.arrived("a")
    await world.watching()
    await world.stop()
    world.server.restore(backup)
    world.server.create("b")
    world.server.create("c")
    world.run(audit=True)
    await world.arrived("a", "b", "c")
    assert world.target.epoch == 1
    assert world.status.rollbacks == 1


async def test_history_that_goes_during_an_audit_only_postpones_it(world) -> None:
    for number in range(25):
        world.server.create(f"e{number}")

    async def compact() -> None:
        world.server.store.advance()
        world.server.compact()

    world.server.faults.add("audit", Fault())
    world.server.faults.add("audit", Fault(before=compact))
    world.run(audit=True, page=10)
    await until(lambda: world.status.audits_failed == 1)
    assert world.status.connected
    world.clock.advance(301)
    world.server.cut()
    await until(lambda: world.status.audits == 1)


async def test_an_outage_longer_than_the_limit_is_followed_by_an_audit(world) -> None:
    world.run(audit=True)
    await until(lambda: world.status.audits == 1)
    world.server.cut()
    await until(lambda: not world.status.connected)
    world.server.create("a")
    await world.arrived("a")
    await world.watching()
    world.server.faults.add("watch", Fault(status=503))
    world.server.cut()
    await until(lambda: world.status.ended[Cause.SERVER] == 1)
    world.clock.advance(400)
    await until(lambda: world.status.audits == 2)


async def test_stopping_stops_a_running_audit(world) -> None:
    world.server.faults.add("audit", Fault(freeze_head=True))
    world.run(audit=True)
    await until(lambda: world.server.faults.frozen_now)
    await world.stop()
    await until(lambda: not world.server.faults.frozen_now)
    assert not [task for task in asyncio.all_tasks() if "_run_audit" in repr(task.get_coro())]


async def test_a_list_during_an_audit_is_no_finding_and_the_audit_begins_anew(world) -> None:
    for number in range(25):
        world.server.create(f"e{number:02}")

    async def listing() -> None:
        world.server.patch("e00", count=5)
        world.server.compact()
        world.server.cut()
        await until(lambda: world.status.relists == 2)

    world.server.faults.add("audit", Fault(before=listing))
    world.run(audit=True)
    await until(lambda: world.status.audits == 1)
    assert world.kinds().count("audit") == 2
    assert not world.status.rollbacks and not world.status.audit_missed


async def test_what_is_still_on_its_way_through_the_watch_is_no_miss(world) -> None:
    async def write() -> None:
        world.server.create("on-its-way")
        await until(lambda: world.server.faults.frozen_now, "the watch hangs with it")

    world.server.faults.add("watch", Fault(freeze_after=0))
    world.server.faults.add("audit", Fault(before=write))
    world.run(audit=True)
    await until(lambda: world.status.audits == 1)
    assert world.server.faults.frozen_now
    assert not world.status.audit_missed
    world.server.faults.thaw()
    await world.arrived("on-its-way")
