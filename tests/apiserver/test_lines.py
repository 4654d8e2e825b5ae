"""What comes over an open watch: torn, unreadable, huge; and a journal that does not take it."""

from __future__ import annotations

import json

import pytest

from eventer.demo.faults import Fault
from eventer.source.outcomes import Cause
from tests.helpers.until import until

HTML = b"<html><body>502 Bad Gateway</body></html>"


@pytest.mark.parametrize("after", [1, 40, 300, 10**6])
@pytest.mark.parametrize("how", ["cut_after", "tear_after"])
async def test_w11_a_torn_line_is_never_parsed(world, how: str, after: int) -> None:
    world.server.create("a")
    world.run()
    await world.watching()
    world.server.faults.add("watch", Fault(**{how: after}))
    world.server.cut()
    await until(lambda: len(world.positions()) >= 2)
    world.server.create("b")
    world.server.create("c")
    await world.arrived("a", "b", "c")
    assert world.target.names() == ["a", "b", "c"]
    assert not world.target.poison and not world.status.garbage


async def test_a_clean_end_within_a_line_is_counted_as_torn(world) -> None:
    world.server.create("a")
    world.server.faults.add("watch", Fault(tear_after=100))
    world.run()
    await until(lambda: world.server.watching)
    world.server.create("b")
    await world.arrived("a", "b")
    assert world.status.ended[Cause.TORN] == 1


async def test_lines_in_drops_of_seven_bytes(world) -> None:
    world.server.faults.add("watch", Fault(drip=7))
    world.run()
    await world.watching()
    for name in "abc":
        world.server.create(name)
    await world.arrived("a", "b", "c")


async def test_an_unreadable_line_is_asked_for_again_and_then_listed_around(world) -> None:
    world.server.create("a")
    world.server.faults.add("watch", Fault(inject=HTML + b"\n"), times=3)
    world.run()
    await until(lambda: world.server.watching)
    world.server.create("b")
    await world.arrived("a", "b")
    assert world.status.garbage == 3
    assert world.status.relists == 2
    assert world.target.poison == [HTML]
    assert len(world.clock.slept) >= 3


async def test_an_unreadable_line_once_costs_only_a_reconnect(world) -> None:
    world.server.create("a")
    world.run()
    await world.watching()
    world.server.faults.add("watch", Fault(inject=b'{"type":"ADDED","obj\n'))
    world.server.cut()
    world.server.create("b")
    await world.arrived("a", "b")
    assert world.status.garbage == 1 and world.status.relists == 1
    assert not world.target.poison


CANARY = "kanarienvogel"


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("watch", Fault(inject=b'{"type":"ADDED","object":{"message":"' + CANARY.encode() + b"\n")),
        ("watch", Fault(inject=b'{"type":"ERROR","object":"' + CANARY.encode() + b'"}\n')),
        ("list", Fault(status=200, body=b'[{"message":"' + CANARY.encode() + b'"}]')),
    ],
    ids=["line", "error", "list"],
)
async def test_what_cannot_be_read_is_in_the_log_and_not_in_the_status(world, capsys, kind: str, fault: Fault) -> None:
    """It may be the text of an event, which health must not show."""
    world.server.faults.add(kind, fault, times=2)
    world.run()
    await until(lambda: world.status.last_error)
    assert CANARY not in world.status.last_error + world.status.blocked
    assert CANARY in capsys.readouterr().out
    world.server.create("a")
    await world.arrived("a")


async def test_an_object_without_uid_is_kept_and_the_stream_goes_on(world) -> None:
    bad = json.dumps({"type": "ADDED", "object": {"metadata": {"name": "x", "resourceVersion": "1"}}}).encode()
    world.server.faults.add("watch", Fault(inject=bad + b"\n"))
    world.run()
    await world.watching()
    world.server.create("a")
    await world.arrived("a")
    assert world.target.poison == [bad]
    assert world.status.poison == 1 and world.status.watches == 1


@pytest.mark.parametrize("size", [1_400_000, 9_000_000])
async def test_w33_huge_lines_are_cut_and_the_loop_survives(world, size: int) -> None:
    world.run()
    await world.watching()
    world.server.create("big", message="\0" * (size // 6) if size > 2_000_000 else "x" * size)
    world.server.create("a")
    await world.arrived("big", "a")
    assert len(world.target.events[0].message.encode()) <= 16 << 10
    assert "bytes cut" in world.target.events[0].message
    assert world.status.watches == 1


async def test_a_line_without_an_end_is_not_held_for_ever(world, monkeypatch) -> None:
    from eventer.source import lines

    monkeypatch.setattr(lines.Lines.__init__, "__defaults__", (5000,))
    world.server.faults.add("watch", Fault(inject=b"x" * 6000))
    world.run()
    await until(lambda: world.status.ended[Cause.OVERSIZE] == 1)
    world.server.create("a")
    await world.arrived("a")


async def test_a_journal_that_refuses_costs_a_wait_and_nothing_else(world) -> None:
    world.run()
    await world.watching()
    world.target.refuse = 3
    for name in "abc":
        world.server.create(name)
    await world.arrived("a", "b", "c")
    await world.watching()
    assert world.target.names() == ["a", "b", "c"]
    assert world.status.ended[Cause.JOURNAL] == 3
    assert len(world.clock.slept) >= 3
    assert not world.status.blocked


async def test_while_the_journal_refuses_no_contact_is_noted(world) -> None:
    world.run()
    await world.watching()
    contact = world.target.contact
    world.target.refuse = 10**6
    world.server.create("a")
    await until(lambda: world.status.ended[Cause.JOURNAL] >= 3)
    assert world.target.contact == contact
    assert "journal" in world.status.blocked.lower()


async def test_what_is_taken_and_not_committed_is_no_contact(world) -> None:
    world.run()
    await world.watching()
    contact = world.target.contact
    world.target.hold = True
    for number in range(3):
        world.server.create(f"e{number}")
        await until(lambda number=number: len(world.target.blocks) == number + 2)
    await until(lambda: world.status.last_line)
    assert world.target.contact == contact
