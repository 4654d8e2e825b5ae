"""A pod without a volume that tells people of problems: the next one knows what was told, and tells what was not.

A pod's end is a cancelled task and a state directory that is gone. What people get is a webhook's requests.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eventer.demo.apiserver import ApiServer
from eventer.event import Outcome
from eventer.journal import read_books
from eventer.mirror import told as mirror_told
from tests.helpers.farside import Answer, FarSide
from tests.helpers.inprocess import Site, StillClock
from tests.helpers.pods import die, note, position, revive, said
from tests.helpers.telling import about, bad, decided, notes, notify, passed
from tests.helpers.until import until


async def test_what_was_told_is_not_told_as_new_and_its_end_is_told(
    chat: Site, server: ApiServer, far: FarSide
) -> None:
    clock = StillClock()
    async with chat.running(clock) as life:
        bad(server, "api")
        await decided(life, server)
        bad(server, "api-again", about="api")
        await decided(life, server, waiting=1)
        await note(life)
        await die(chat, life)
    assert about(far) == [("first", ["api"])]
    far.requests.clear()
    async with chat.running(clock) as life:
        bad(server, "web")
        await until(lambda: far.requests, "what is new")
        await decided(life, server, waiting=1)
        assert about(far) == [("first", ["web"])]
        far.requests.clear()
        for _ in range(5):  # nothing more is heard of either
            await passed(life, 600)
            await asyncio.sleep(0.02)
        await until(lambda: len(far.requests) == 2, "the end of both")
        await decided(life, server)
    assert sorted(about(far)) == [("resolved", ["api"]), ("resolved", ["web"])]
    assert sorted(each["events"] for each in notes(far)) == [0, 1], "with what waited when the pod died"
    chat.balanced()


async def test_books_and_numbers_go_on(chat: Site, server: ApiServer, far: FarSide) -> None:
    async with chat.running(StillClock()) as life:
        for n in range(3):
            bad(server, f"pod-{n}")
        server.create("calm", type="Normal", reason="Pulled")
        await decided(life, server)
        await note(life)
        await die(chat, life)
    async with chat.running(StillClock()) as life:
        bad(server, "one-more")
        await decided(life, server)
    assert [each["number"] for each in notes(far)] == [1, 2, 3, 4]
    books = read_books(chat.state)
    reader, notifier = books.alerting["chat"], books.notifiers["chat"]
    assert (reader.represented, reader.unmatched, reader.opened) == (4, 1, 4)
    assert reader.cursor - reader.origin == 5
    assert notifier.outcomes == {Outcome.DELIVERED: 4}
    chat.balanced()


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "not noted"])
async def test_what_was_decided_and_not_told_is_told_by_the_next_pod(
    chat: Site, server: ApiServer, far: FarSide, *, noted: bool
) -> None:
    clock = StillClock()
    async with chat.running(clock) as life:
        bad(server, "told")
        await decided(life, server)
        await note(life)
        far.answer = Answer(503)
        bad(server, "untold")
        await until(lambda: life.journal.alerting.readers["chat"].opened == 2, "a notification")
        await until(lambda: len(far.requests) > 1, "a message in vain")
        if noted:
            await note(life)
        await die(chat, life)
    far.requests.clear()
    far.answer = Answer()
    async with chat.running(clock) as life:
        await until(lambda: far.requests, "what was not told")
        await decided(life, server)
    assert about(far) == [("first", ["untold"])]
    chat.balanced()


async def test_a_group_that_had_not_spoken_yet_speaks(site: Site, server: ApiServer, far: FarSide) -> None:
    notify(site, far, wait="1m", by=["namespace"])
    clock = StillClock()
    async with site.running(clock) as life:
        for n in range(3):
            bad(server, f"pod-{n}")
        await decided(life, server, waiting=3)
        await note(life)
        await die(site, life)
    assert not far.requests
    async with site.running(clock) as life:
        bad(server, "pod-3")
        await decided(life, server, waiting=4)
        await passed(life, 60)
        await decided(life, server)
    ((why, named),) = about(far)
    assert (why, sorted(named)) == ("first", [f"pod-{n}" for n in range(4)])
    assert notes(far)[0]["events"] == 4
    site.balanced()


async def test_what_comes_again_for_another_sink_is_passed_over(chat: Site, server: ApiServer, far: FarSide) -> None:
    chat.add_dead_sink("slow")
    async with chat.running(StillClock()) as life:
        for n in range(3):
            bad(server, f"pod-{n}")
        await decided(life, server)
        await note(life)
        assert (position(server, "slow") or 0) < (position(server, "chat") or 0)
        await die(chat, life)
    far.requests.clear()
    revive(chat, "slow")
    bad(server, "new")
    async with chat.running(StillClock()) as life:
        await until(lambda: far.requests, "what is new")
        await decided(life, server)
        assert life.journal.alerting.readers["chat"].duplicate == 3
        bad(server, "newer")
        await until(lambda: len(far.requests) == 2, "what is newer")
        await decided(life, server)
        assert life.journal.alerting.readers["chat"].resumed is None, "it is over, and costs nothing any more"
    assert about(far) == [("first", ["new"]), ("first", ["newer"])]
    chat.balanced()


async def test_a_pod_that_dies_while_it_passes_over_knows_it_too(chat: Site, server: ApiServer, far: FarSide) -> None:
    """Its first note is written before it has read again what the other sink needs."""
    chat.add_dead_sink("slow")
    async with chat.running(StillClock()) as life:
        for n in range(3):
            bad(server, f"pod-{n}")
        await decided(life, server)
        await note(life)
        before = position(server, "chat")
        await die(chat, life)
    far.requests.clear()
    for _ in range(2):
        async with chat.running(StillClock()) as life:
            await note(life)
            assert (position(server, "chat") or 0) >= (before or 0)
            await die(chat, life)
    async with chat.running(StillClock()) as life:
        bad(server, "new")
        await until(lambda: far.requests, "what is new")
        await decided(life, server)
    assert about(far) == [("first", ["new"])]


async def test_what_does_not_fit_is_told_again_rather_than_never(
    chat: Site, server: ApiServer, far: FarSide, monkeypatch: pytest.MonkeyPatch, logged: Any
) -> None:
    clock = StillClock()
    async with chat.running(clock) as life:
        bad(server, "small")
        await decided(life, server)
        await note(life)
        monkeypatch.setattr(mirror_told, "STATES", 600)
        for n in range(40):
            bad(server, f"pod-{n}")
        await decided(life, server)
        await note(life)
        await die(chat, life)
    assert len(said(logged, "mirror has no room for what a notifier was told", "chat")) == 1
    far.requests.clear()
    async with chat.running(clock) as life:
        await until(lambda: len(far.requests) >= 40, "what the mirror could not hold")
        await decided(life, server)
    assert {name for _, names in about(far) for name in names} == {f"pod-{n}" for n in range(40)}
    chat.balanced()
