"""A daemon that notifies: events in, messages out of a webhook, and every number of it in the books."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventer.cli import main
from eventer.cli.daemon import Daemon
from eventer.demo.apiserver import ApiServer
from eventer.event import Outcome
from eventer.journal import read_books
from tests.helpers.farside import Answer, FarSide
from tests.helpers.inprocess import Life, Site, StillClock
from tests.helpers.journals import balanced, killed
from tests.helpers.until import until


def notifier(url: str, **group: Any) -> dict[str, Any]:
    return {"kind": "webhook", "url": url, "format": "single", "group": {"wait": "0s"} | group}


def told(far: FarSide) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in far.requests]


def bad(server: ApiServer, name: str, **values: Any) -> None:
    server.create(name, **({"type": "Warning", "reason": "BackOff", "message": "Back-off restarting"} | values))


async def settled(life: Life, n: int, name: str = "chat") -> None:
    """Wait until so many notifications are settled."""
    await until(lambda: life.journal.alerting.notifiers[name].cursor >= n, f"{n} notifications to be settled")


async def reload(life: Life, site: Site) -> Any:
    site.write()
    return await life.daemon.reload.asked()


async def test_a_warning_is_told_and_what_is_normal_is_not(site: Site, server: ApiServer) -> None:
    async with FarSide() as far:
        site.document["sinks"]["chat"] = notifier(far.url)
        async with site.running(StillClock()) as life:
            server.create("calm", type="Normal", reason="Pulled")
            bad(server, "bad")
            await settled(life, 1)
            await life.settled("out")
        (message,) = told(far)
        assert (message["why"], message["events"], message["items"][0]["reason"]) == ("first", 1, "BackOff")
    site.balanced()
    books = read_books(site.state)
    reader, record = books.alerting["chat"], books.notifiers["chat"]
    assert (reader.represented, reader.unmatched, reader.waiting, reader.opened) == (1, 1, 0, 1)
    assert record.outcomes == {Outcome.DELIVERED: 1}


async def test_g3_what_was_told_is_remembered_over_a_restart(site: Site, server: ApiServer) -> None:
    clock = StillClock()
    async with FarSide() as far:
        site.document["sinks"]["chat"] = notifier(far.url)
        async with site.running(clock) as life:
            bad(server, "one")
            await settled(life, 1)
        async with site.running(clock) as life:
            bad(server, "two", message="again")  # the same problem
            await site.has("two")
            await until(lambda: life.view.runners["chat"].pending == 0, "nothing to wait")
            await until(lambda: clock.slept, "alerting to wait")
    assert len(far.requests) == 1
    site.balanced()
    reader = read_books(site.state).alerting["chat"]
    assert (reader.represented, reader.waiting) == (1, 1)  # told with the next message of its group


async def test_after_kill_9_at_any_moment_nothing_settled_is_told_again(
    site: Site, server: ApiServer, tmp_path: Path
) -> None:
    clock = StillClock()
    copies: list[Path] = []

    async def kill() -> None:
        """The message has arrived, and no answer yet."""
        copies.append(killed(site.state, tmp_path / f"killed-{len(copies)}"))

    async with FarSide() as far:
        far.before = kill
        site.document["sinks"]["chat"] = notifier(far.url, by=["name"])
        async with site.running(clock) as life:
            for n in range(4):
                bad(server, f"bad-{n}", about=f"pod-{n}")
                await settled(life, n + 1)
        first = told(far)
        far.before = None
        for n, copy in enumerate(copies):
            far.requests.clear()
            site.state = copy
            site.document["state"]["path"] = str(copy)
            async with site.running(clock) as life:
                await settled(life, 4)
            # One may be repeated that was in flight, and one whose settle was not on the disk.
            again = [note["number"] for note in told(far)]
            assert again == list(range(again[0], 5))
            assert n <= again[0] <= n + 1
            assert [note["group"] for note in told(far)] == [note["group"] for note in first[again[0] - 1 :]]
            site.balanced()


async def test_s25_a_notifier_is_added_changed_and_removed_while_the_daemon_runs(site: Site, server: ApiServer) -> None:
    async with FarSide() as far, site.running(StillClock()) as life:
        bad(server, "before")
        await site.has("before")
        site.document["sinks"]["chat"] = notifier(far.url, by=["name"])
        assert (await reload(life, site)).refused is None
        bad(server, "one", about="pod-1")
        await settled(life, 1)
        site.document["sinks"]["chat"] = notifier(far.url, by=["name"], repeat="8h")
        assert (await reload(life, site)).refused is None
        bad(server, "two", about="pod-2")
        await settled(life, 2)
        assert [note["items"][0]["name"] for note in told(far)] == ["pod-1", "pod-2"]
        del site.document["sinks"]["chat"]
        assert (await reload(life, site)).refused is None
        assert not life.journal.alerting.readers
        assert "chat" not in life.view.runners
    site.balanced()


async def test_s25_a_notifier_with_what_nobody_was_told_is_not_removed_in_silence(
    site: Site, server: ApiServer
) -> None:
    async with FarSide() as far:
        far.answer = Answer(503)
        site.document["sinks"]["chat"] = notifier(far.url)
        async with site.running() as life:
            bad(server, "one")
            await until(lambda: life.journal.alerting.readers["chat"].opened == 1, "a notification")
            kept = site.document["sinks"].pop("chat")
            report = await reload(life, site)
            (fault,) = report.faults
            assert "the sink chat is not in the configuration any more, but 1 notifications and events" in fault.message
            site.document["state"]["discard"] = ["chat"]
            assert (await reload(life, site)).refused is None
            assert not life.journal.alerting.notifiers
            site.document["sinks"]["chat"] = kept
            assert (await reload(life, site)).refused is None
    site.balanced()


async def test_s25_a_sink_that_is_sent_notifications_from_now_on_gets_its_events_first(
    site: Site, server: ApiServer
) -> None:
    async with FarSide() as far, FarSide() as chat:
        site.document["sinks"]["hook"] = {"kind": "webhook", "url": far.url}
        async with site.running(StillClock()) as life:
            bad(server, "one")
            await site.has("one")
            await life.settled("hook", "out")
            site.document["sinks"]["hook"] = notifier(chat.url)
            assert (await reload(life, site)).refused is None
            assert list(life.journal.readers) == ["out"]
            bad(server, "two")
            await settled(life, 1, "hook")
            site.document["sinks"]["hook"] = {"kind": "webhook", "url": far.url}
            assert (await reload(life, site)).refused is None
            assert not life.journal.alerting.readers
            bad(server, "three")
            await site.has("one", "two", "three")
            await life.settled("hook", "out")
    assert b"three" in far.requests[-1].body
    assert [note["events"] for note in told(chat)] == [1]
    site.balanced()


async def test_the_numbers_are_in_the_metrics_the_health_and_the_status(site: Site, server: ApiServer) -> None:
    async with FarSide() as far:
        site.document["sinks"]["chat"] = notifier(far.url)
        async with site.running(StillClock()) as life:
            bad(server, "bad")
            await settled(life, 1)
            _, page = await life.get("/metrics")
            _, health = await life.get("/healthz")
    for line in (
        'eventer_alerting_events_total{outcome="represented",sink="chat"} 1.0',
        'eventer_alerting_pending{sink="chat"} 0.0',
        'eventer_alerting_waiting_events{sink="chat"} 0.0',
        'eventer_notifications_opened_total{sink="chat"} 1.0',
        'eventer_notifications_total{outcome="delivered",sink="chat"} 1.0',
        'eventer_notifications_total{outcome="folded",sink="chat"} 0.0',
        'eventer_notifications_kept{sink="chat",state="dead"} 0.0',
        'eventer_notifications_pending{sink="chat"} 0.0',
        'eventer_sink_oldest_pending_seconds{sink="chat"} 0.0',
    ):
        assert line in page.splitlines()
    assert json.loads(health)["sinks"]["chat"] == {"state": "ok", "pending": 0, "error": ""}


async def test_a_message_that_is_refused_is_a_dead_letter_and_goes_when_a_person_says_so(
    site: Site, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with FarSide() as far:
        far.then(Answer(400, b"no"))
        site.document["sinks"]["chat"] = notifier(far.url)
        async with site.running(StillClock()) as life:
            bad(server, "bad")
            await settled(life, 1)
            (letter,) = await life.journal.dead_letters(("", -1), 10)
            assert (letter.reader, letter.answer) == ("notifications:chat", "no")
            assert await asyncio.to_thread(main, ["dead-letters", "list", "--state", str(site.state)]) == 0
            assert "first: 1 events, BackOff" in capsys.readouterr().out
            shown = ["dead-letters", "show", "notifications:chat/0", "--state", str(site.state)]
            assert await asyncio.to_thread(main, shown) == 0
            assert "notifications:chat/0  a notification" in capsys.readouterr().out
            body = msgspec.json.encode({"notifications:chat": [letter.number]})
            await asyncio.to_thread(Daemon(site.state).post, "/v1/letters/retry", body)
            await until(lambda: len(far.requests) == 2, "the message to come again")
            await until(lambda: not outcomes(life).get(Outcome.PARKED), "it to be settled")
            assert outcomes(life)[Outcome.DELIVERED] == 1
    balanced(site.state)


def outcomes(life: Life) -> dict[Outcome, int]:
    return life.journal.alerting.notifiers["chat"].outcomes
