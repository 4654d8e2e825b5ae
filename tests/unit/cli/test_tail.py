"""`eventer tail`: what the daemon stores, as it stores it."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest

from eventer.cli import main
from eventer.cli.daemon import Daemon
from eventer.cli.matching import fields_of
from eventer.demo.apiserver import ApiServer
from tests.helpers.inprocess import Site
from tests.helpers.until import until

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def site(tmp_path: Path, server: ApiServer) -> Site:
    site = Site(tmp_path, server)
    site.add_dead_sink("dead")  # so that everything is kept
    return site


async def tail(site: Site, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert await asyncio.to_thread(main, ["tail", "--state", str(site.state), "--no-follow", *words]) == 0
    return capsys.readouterr().out.splitlines()


async def test_the_last_ones(site: Site, server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    async with site.running() as life:
        for number in range(15):
            server.create(f"e{number}", message=f"number {number}.")
        await until(lambda: life.journal.head == 15, "all events")
        assert [line.rsplit(maxsplit=1)[-1] for line in await tail(site, capsys)] == [f"{n}." for n in range(5, 15)]
        assert len(await tail(site, capsys, "--last", "3")) == 3
        assert len(await tail(site, capsys, "--last", "1000")) == 15
        assert len(await tail(site, capsys, "--since", "1h")) == 15
        lines = [json.loads(line) for line in await tail(site, capsys, "--last", "1", "--output", "json")]
        assert [line["message"] for line in lines] == ["number 14."]


async def test_only_what_a_rule_matches(site: Site, server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    async with site.running() as life:
        for reason, kind in (
            ("Pulled", "Normal"),
            ("BackOff", "Warning"),
            ("Failed", "Warning"),
            ("Killing", "Normal"),
        ):
            server.create(reason.lower(), reason=reason, type=kind)
        await until(lambda: life.journal.head == 4, "all events")

        async def reasons(*words: str) -> list[str]:
            return [json.loads(line)["reason"] for line in await tail(site, capsys, "--output", "json", *words)]

        assert await reasons("--match", "type=Warning,reason=BackOff") == ["BackOff"]
        assert await reasons("--match", "reason=/^(Pu|Ki)ll/") == ["Pulled", "Killing"]
        assert await reasons("--match", "type=!Normal") == ["BackOff", "Failed"]
        assert await reasons("--match", "{reason: [Failed, Pulled]}") == ["Pulled", "Failed"]
        assert await reasons("--match", "reason=Failed", "--match", "reason=Killing") == ["Failed", "Killing"]


async def test_it_goes_on_until_the_daemon_ends(site: Site, server: ApiServer) -> None:
    seen: list[bytes] = []
    failed: list[Exception] = []

    def follow() -> None:
        try:
            for line in Daemon(site.state).lines("/v1/events", last=1, follow=1):
                seen.append(line)
        except Exception as error:
            failed.append(error)

    async with site.running() as life:
        server.create("before")
        await until(lambda: life.journal.head == 1, "the event")
        thread = threading.Thread(target=follow)
        thread.start()
        await until(lambda: len(seen) == 1, "the one that was there")
        server.create("while")
        await until(lambda: len(seen) == 2, "the one that came")
        assert b"while" in seen[1]
    await until(lambda: not thread.is_alive(), "the end")
    assert failed == [] or "ended" in str(failed[0])


def _answers() -> list[str]:
    """Tasks that answer somebody. Others come and go with the work of the daemon, and say nothing of readers."""
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    return [name for name in names if name.startswith("RequestHandler.")]


async def test_a_reader_that_goes_away_leaves_nothing_behind(site: Site, server: ApiServer) -> None:
    async with site.running() as life:
        server.create("one")
        await until(lambda: life.journal.head == 1, "the event")
        for _ in range(5):
            lines = Daemon(site.state).lines("/v1/events", last=1, follow=1)
            assert b"one" in await asyncio.to_thread(next, lines)
            assert _answers()
            lines.close()
        server.create("two")
        await until(lambda: not _answers(), "the answers to end")


async def test_hostile_text_is_shown_as_escapes(
    site: Site, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with site.running() as life:
        server.create("bad", message="\x1b[2J\nsecond line\x07\u202e", reason="\x1b[31mRed")
        await until(lambda: life.journal.head == 1, "the event")
        (line,) = await tail(site, capsys)
    assert not any(letter in line for letter in "\x1b\x07\u202e")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("reson=x", "did you mean reason?"),
        ("Warning", "is no field"),
        ("{type: [", "this is no rule"),
        ("{kind: Pod, nope: 1}", "'nope' is no field"),
        ("message=/(a+)+$/", "--match: "),
    ],
)
def test_a_rule_that_is_none(rule: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tail", "--state", str(tmp_path), "--match", rule]) == 2
    assert words in capsys.readouterr().err


def test_fields_on_the_command_line() -> None:
    assert fields_of("reason=BackOff,message=a, b and c,labels.team=shop") == {
        "reason": "BackOff", "message": "a, b and c", "labels": {"team": "shop"},
    }  # fmt: skip
