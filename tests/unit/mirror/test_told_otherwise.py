"""What the mirror holds of notifiers when sinks come, go and change, when it cannot be read, and silences."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from eventer.demo.apiserver import ApiServer
from eventer.event import Outcome
from eventer.journal import SilenceRecord, read_books
from eventer.mirror import told as mirror_told
from tests.helpers.farside import Answer, FarSide
from tests.helpers.inprocess import Site, StillClock
from tests.helpers.pods import NAME, die, kept, note, position, said
from tests.helpers.telling import about, bad, decided, notify
from tests.helpers.until import until


async def test_a_notifier_that_the_mirror_does_not_know_begins_with_what_comes_next(
    site: Site, server: ApiServer, far: FarSide
) -> None:
    site.add_dead_sink("slow")
    async with site.running(StillClock()) as life:
        bad(server, "old")
        await site.has("old")
        await life.settled("out")
        await note(life)
        await die(site, life)
    notify(site, far)
    async with site.running(StillClock()) as life:
        bad(server, "new")
        await until(lambda: far.requests, "what is new")
        await decided(life, server)
    assert about(far) == [("first", ["new"])]
    site.balanced()


async def test_a_sink_that_was_sent_events_is_not_known_as_a_notifier(
    site: Site, server: ApiServer, far: FarSide
) -> None:
    site.document["sinks"]["chat"] = {"kind": "webhook", "url": far.url}
    async with site.running(StillClock()) as life:
        bad(server, "old")
        await site.has("old")
        await life.settled("chat", "out")
        await note(life)
        await die(site, life)
    far.requests.clear()
    notify(site, far)
    async with site.running(StillClock()) as life:
        bad(server, "new")
        await until(lambda: far.requests, "what is new")
        await decided(life, server)
        await note(life)
        assert "chat" in kept(server)["notifiers"]
        assert about(far) == [("first", ["new"])]
        await die(site, life)
    far.requests.clear()
    site.document["sinks"]["chat"] = {"kind": "webhook", "url": far.url}
    async with site.running(StillClock()) as life:
        bad(server, "newer")
        await site.has("newer")
        await life.settled("chat", "out")
    assert b"newer" in far.requests[-1].body
    assert b'"old"' not in b"".join(request.body for request in far.requests)
    site.balanced()


async def test_messages_that_nobody_took_are_told_as_lost(
    chat: Site, server: ApiServer, far: FarSide, logged: Any
) -> None:
    far.then(Answer(400, b"no"))
    async with chat.running(StillClock()) as life:
        bad(server, "refused")
        await decided(life, server)
        bad(server, "taken")
        await decided(life, server)
        await note(life)
        assert kept(server)["sinks"]["chat"] == 1
        await die(chat, life)
    async with chat.running(StillClock()):
        await until(lambda: chat.records("eventer"), "a gap record")
    (gap,) = chat.records("eventer")
    assert (gap["reason"], "1 of chat" in gap["message"]) == ("GapDeadLetters", True)
    assert said(logged, "dead letters lost", "chat")
    chat.balanced()
    assert read_books(chat.state).notifiers["chat"].outcomes[Outcome.DROPPED] == 1


@pytest.mark.parametrize("state", ["bm90IGNvbXByZXNzZWQ=", "eJyrBgABHgCi"], ids=["not compressed", "not a state"])
async def test_what_cannot_be_read_is_told_again(
    chat: Site, server: ApiServer, far: FarSide, logged: Any, state: str
) -> None:
    clock = StillClock()
    async with chat.running(clock) as life:
        bad(server, "api")
        await decided(life, server)
        await note(life)
        await die(chat, life)
    document = kept(server)
    document["notifiers"]["chat"]["state"] = state
    server.configmaps.create(NAME, data={"positions.json": json.dumps(document)})
    far.requests.clear()
    async with chat.running(clock) as life:
        await until(lambda: far.requests, "what was told by a pod that nobody understands")
        await decided(life, server)
    assert about(far) == [("first", ["api"])]
    assert said(logged, "what a notifier was told is unreadable", "chat")
    chat.balanced()


async def test_a_container_that_is_restarted_in_its_pod_keeps_what_the_mirror_has(
    chat: Site, server: ApiServer, far: FarSide
) -> None:
    """The journal is there, the chat is away: the note of before still stands, not a newer one of less."""
    clock = StillClock()
    async with chat.running(clock) as life:
        bad(server, "told")
        await decided(life, server)
        await note(life)
        far.answer = Answer(503)
        bad(server, "untold")
        await until(lambda: life.journal.alerting.readers["chat"].opened == 2, "a notification")
        life.task.cancel()
        await asyncio.gather(life.task, return_exceptions=True)
    before = kept(server)["notifiers"]["chat"], position(server, "chat")
    async with chat.running(clock) as life:
        await note(life)
        await note(life)
        assert (kept(server)["notifiers"]["chat"], position(server, "chat")) == before
        await die(chat, life)
    far.requests.clear()
    far.answer = Answer()
    async with chat.running(clock) as life:
        await until(lambda: far.requests, "what was not told")
        await decided(life, server)
    assert about(far) == [("first", ["untold"])]
    chat.balanced()


def silence(ends: float, word: str = "shop") -> SilenceRecord:
    return SilenceRecord(match=[{"namespace": word}], owner="ann", reason="repairs", begins=0.0, ends=ends)


async def test_silences_that_people_made_outlive_the_pod(
    chat: Site, server: ApiServer, far: FarSide, monkeypatch: pytest.MonkeyPatch, logged: Any
) -> None:
    clock = StillClock()
    now = clock.now().timestamp()
    async with chat.running(clock) as life:
        made = {"on": silence(now + 7200), "later": silence(now + 9000, "web"), "over": silence(now - 1)}
        await life.journal.silences.change(made)
        await note(life)
        assert sorted(kept(server)["silences"]) == ["later", "on"]
        await die(chat, life)
    async with chat.running(clock) as life:
        assert life.journal.silences.records == {name: made[name] for name in ("on", "later")}
        bad(server, "quiet", namespace="shop")
        bad(server, "loud")
        await until(lambda: far.requests, "what is not silenced")
        assert about(far) == [("first", ["loud"])]
        monkeypatch.setattr(mirror_told, "SILENCES", 150)
        await life.journal.silences.change({"another": silence(now + 100)})
        await note(life)
        await note(life)
        assert sorted(kept(server)["silences"]) == ["later"]
    assert len(said(logged, "mirror has no room for all silences")) == 1
    chat.balanced()


async def test_a_notifier_that_is_gone_is_gone_from_the_mirror(chat: Site, server: ApiServer, far: FarSide) -> None:
    async with chat.running(StillClock()) as life:
        bad(server, "api")
        await decided(life, server)
        await note(life)
        assert "chat" in kept(server)["notifiers"]
        del chat.document["sinks"]["chat"]
        chat.document["state"]["discard"] = ["chat"]
        chat.write()
        assert (await life.daemon.reload.asked()).refused is None
        await note(life)
        assert (kept(server)["notifiers"], [*kept(server)["sinks"]]) == ({}, ["out"])
