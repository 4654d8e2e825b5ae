"""`eventer status` and `eventer reload`, asked as a person asks them."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from eventer.cli import main
from eventer.cli.attention import BAD, matters
from eventer.cli.colour import painter
from eventer.cli.figures import clip, duration, size, table, width
from eventer.cli.status import render
from eventer.control.report import ConfigReport, JournalReport, SinkReport, Status, StreamReport
from eventer.demo.apiserver import ApiServer, status_body
from eventer.demo.faults import Fault as ServerFault
from eventer.errors import Fault
from tests.helpers.farside import Answer, FarSide
from tests.helpers.inprocess import Site
from tests.helpers.until import until

pytestmark = pytest.mark.usefixtures("quiet")


async def ask(site: Site, *words: str) -> int:
    return await asyncio.to_thread(main, [*words, "--state", str(site.state)])


# -- status -----------------------------------------------------------------------------------------------


async def test_all_is_well(site: Site, server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    async with site.running() as life:
        server.create("one")
        await site.has("one")
        await life.settled("out")
        assert await ask(site, "status") == 0
        text = capsys.readouterr().out
    assert text.splitlines()[0].endswith("all is well")
    assert "prod events: 1 received = 1 kept" in text
    assert "out: 1 passed = 1 delivered" in text
    assert "\x1b" not in text


async def test_what_is_wrong_comes_first_with_what_to_do(
    site: Site, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with FarSide() as far:
        far.answer = Answer(401)
        site.document["sinks"]["hook"] = {"kind": "webhook", "url": far.url}
        async with site.running() as life:
            server.create("one")
            await until(lambda: life.view.runners["hook"].status.health == "blocked", "the refusal")
            assert await ask(site, "status") == 1
            text = capsys.readouterr().out
            assert await ask(site, "status", "--output", "json") == 1
            whole = json.loads(capsys.readouterr().out)
    head, _, rest = text.partition("\n")
    assert head.endswith("1 thing to do for a person")
    assert rest.startswith("\n!! Sink hook is blocked: ")
    assert "1 event waits" in " ".join(rest.split())
    assert "-> A person must put right what is named." in rest
    assert [matter["severity"] for matter in whole["attention"]] == ["bad"]
    assert {sink["name"]: sink["state"] for sink in whole["sinks"]} == {"out": "ok", "hook": "blocked"}
    assert msgspec.convert(whole, Status).sinks[1].pending == 1


async def test_a_missing_right_is_named(site: Site, server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    words = 'events is forbidden: User "eventer" cannot list resource "events"'
    for kind in ("list", "probe"):
        server.faults.add(kind, ServerFault(status=403, body=status_body(403, "Forbidden", words)), times=None)
    async with site.running(watching=False) as life:
        await until(lambda: any(s.status.blocked for s in life.view.streams.values()), "the refusal")
        assert await ask(site, "status") == 1
    text = capsys.readouterr().out
    assert "Stream prod events may not read:" in text
    assert "cannot list resource" in text


async def test_without_a_daemon_the_journal_is_asked(
    site: Site, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add_dead_sink("dead")
    async with site.running():
        server.create("one")
        await site.has("one")
    assert await ask(site, "status") == 1
    text = capsys.readouterr().out
    assert "not running; from the journal in" in text
    assert "No daemon runs here" in text
    assert "dead  -     -" in text
    assert "out: 1 passed = 1 delivered" in text


def bad_day() -> Status:
    return Status(
        version="1",
        pid=7,
        now=10_000.0,
        started=0.0,
        live=False,
        mirror="configmaps is forbidden.",
        forbidden={"prod": ["get on pods", "list and watch on nodes"]},
        not_ready=["cluster beta: No answer: connection refused."],
        config=ConfigReport(
            file="/etc/eventer/eventer.yaml",
            refused=9_900.0,
            faults=[Fault(path="sinks.a.url", message="url is missing", remedy="add url", line=4)],
            waiting=["server.listen"],
        ),
        journal=JournalReport(
            directory="/state", head=10, backlog=90, max_size=100, trouble="No space left on device.", damaged=1
        ),
        streams=[
            StreamReport(cluster="a", scope="events", blocked=True, error="forbidden"),
            StreamReport(cluster="b", scope="events", error="refused", contact=9_000.0, dead=2),
        ],
        sinks=[
            SinkReport(name="one", state="blocked", error="No such topic.", pending=3, oldest=9_000.0),
            SinkReport(name="two", state="retrying", error="503", parked=1),
            SinkReport(name="three", state="ok", destinations={"t": "failing"}, parked=2, dead=5),
        ],
    )


def test_everything_that_needs_a_look_is_told_the_worst_first() -> None:
    found = matters(bad_day())
    assert [matter.severity for matter in found] == sorted(matter.severity for matter in found)
    told = " ".join(matter.what for matter in found if matter.severity == BAD)
    for words in ("no progress", "No space left", "damaged", "of 100 B at most", "Cluster beta", "line 4",
                  "a events may not read", "one is blocked"):  # fmt: skip
        assert words in told
    told = " ".join(matter.what for matter in found if matter.severity != BAD)
    for words in (
        "server.listen",
        "configmaps is forbidden",
        "prod lack rights: get on pods, list and watch on nodes",
        "b events is not connected",
        "2 lines",
        "two does not",
        "(t)",
        "5 dead letters",
    ):
        assert words in told
    assert all(matter.remedy for matter in found)


@pytest.mark.parametrize("columns", [70, 80, 140])
def test_the_page_fits_the_terminal_and_shows_no_control_character(columns: int) -> None:
    status = bad_day()
    status.sinks[0].error = "\x1b[31mhostile\x07 " + "long " * 50
    text = render(status, matters(status), painter(colour=False), columns)
    assert "\x1b" not in text
    assert "\x07" not in text
    attention = text[: text.index("\nstreams")]
    assert max(map(len, attention.splitlines())) <= columns


def test_books_that_do_not_balance_cannot_be_overlooked() -> None:
    status = bad_day()
    status.streams = [StreamReport(cluster="a", scope="events", received=3, appended=2)]
    assert "DOES NOT BALANCE" in render(status, [], painter(colour=False), 80)


# -- reload ---------------------------------------------------------------------------------------------------


async def test_reload_says_what_came_of_it(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    async with site.running():
        site.document["filter"] = [{"drop": {"reason": "Pulled"}}]
        site.document["state"]["max_age"] = "1h"
        site.document["server"]["listen"] = "127.0.0.1:1"
        site.write()
        assert await ask(site, "reload") == 0
        assert capsys.readouterr().out == (
            f"taken: {site.file} is what runs\nin effect only after a restart: server.listen\n"
        )
        site.write("filter: 5\nsources: [{}]\nsinks: {out: {kind: stdut}}\n")
        assert await ask(site, "reload") == 78
        text = capsys.readouterr().out
        assert f"{site.file}:1: filter: " in text
        assert "did you mean stdout" in text
        assert text.endswith("refused; what ran before still runs\n")
        site.write()
        assert await ask(site, "reload") == 0


# -- figures ----------------------------------------------------------------------------------------------------


def test_figures() -> None:
    assert [duration(s) for s in (-1, 0.4, 59, 60, 3_600, 3_661, 90_000, 86_400)] == [
        "0 s", "0 s", "59 s", "1 min", "1 h", "1 h 1 min", "1 d 1 h", "1 d",
    ]  # fmt: skip
    assert [size(n) for n in (0, 1023, 1024, 5 << 20, 3 << 30)] == ["0 B", "1023 B", "1.0 KiB", "5.0 MiB", "3.0 GiB"]
    assert (width("磁盘"), width("a\u0301")) == (4, 1)
    assert (clip("磁盘磁盘", 5), clip("abc", 3), clip("abcd", 3)) == ("磁盘…", "abc", "ab…")
    assert table([["A", "N"], ["磁盘", "10"]], right=[1]) == ["  A      N", "  磁盘  10"]
