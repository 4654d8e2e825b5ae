"""`eventer replay`: to one sink, through the daemon, and into the journal of one that does not run."""

from __future__ import annotations

import asyncio
import gzip
import io
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eventer.cli import feed, main, replay
from eventer.cli.daemon import Daemon
from eventer.cli.feed import Feed, Pace
from eventer.demo.apiserver import ApiServer
from eventer.event import Event, encode_lines
from eventer.journal import read_books
from eventer.journal.records import REPLAY
from eventer.source.replay import Found
from tests.helpers.inprocess import Site
from tests.helpers.sinks import make_event
from tests.helpers.until import until
from tests.unit.cli.conftest import Command

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def numbered(*numbers: int, **changes: Any) -> list[Event]:
    return [make_event(n, event=f"default/r{n}", id=f"r{n}", message=f"fine {n}", **changes) for n in numbers]


def recorded(path: Path, events: list[Event]) -> str:
    path.write_bytes(b"".join(line + b"\n" for line in encode_lines(events)))
    return str(path)


def names(*numbers: int) -> list[str]:
    return [f"r{n}" for n in numbers]


# -- to one sink ---------------------------------------------------------------------------------


async def test_to_one_sink_past_the_filter_and_by_its_match(
    picky_site: Site, command: Command, picky: Any, tmp_path: Path
) -> None:
    picky_site.document["filter"] = [{"drop": {}}]
    picky_site.document["sinks"]["fussy"]["match"] = [{"type": "Warning"}]
    events = [*numbered(0, 1, type="Warning"), *numbered(2, type="Normal"), *numbered(3, type="Warning")]
    path = recorded(tmp_path / "events.jsonl", events)
    code, out, err = await command("replay", path, "--to", "fussy")
    assert (code, out) == (0, "")
    assert names(0, 1, 3) == picky.ARRIVED
    assert err == "fussy: of 4 events, 1 not wanted by its match, 3 delivered.\n"
    assert not picky_site.state.exists(), "the daemon's journal has no part in it"


async def test_what_is_refused_is_written_beside_and_can_be_replayed(
    picky_site: Site, command: Command, picky: Any, tmp_path: Path
) -> None:
    events = numbered(0, 1, 2)
    events[1].message = "bad"
    path = recorded(tmp_path / "events.jsonl", events)
    code, _, err = await command("replay", path, "--to", "fussy")
    kept = tmp_path / "events.jsonl.dead-letters"
    assert code == 1
    assert err == (
        f"fussy: of 3 events, 2 delivered, 1 refused.\nWhat did not go is in {kept}; eventer replay reads it.\n"
    )
    assert (await command("replay", path, "--to", "fussy"))[0] == 1
    assert (tmp_path / "events.jsonl.dead-letters-2").exists(), "nothing is overwritten"
    picky.ARRIVED.clear()
    picky.WORLD["mended"] = True
    assert (await command("replay", str(kept), "--to", "fussy"))[::2] == (0, "fussy: of 1 event, 1 delivered.\n")
    assert names(1) == picky.ARRIVED


async def test_a_sink_that_recovers_gets_everything(
    picky_site: Site, command: Command, picky: Any, tmp_path: Path
) -> None:
    path = recorded(tmp_path / "events.jsonl", numbered(*range(50)))
    picky.WORLD["down"] = True
    running = asyncio.create_task(command("replay", path, "--to", "fussy"))
    await until(lambda: len(picky.TRIES) >= 2, "two tries in vain")
    picky.WORLD["down"] = False
    code, _, err = await running
    assert code == 0
    assert err.endswith("fussy: of 50 events, 50 delivered.\n")
    assert names(*range(50)) == picky.ARRIVED


async def test_what_waits_in_the_temporary_journal_is_bounded(
    picky_site: Site, command: Command, picky: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventer.cli.replay_to.AHEAD", 10)
    monkeypatch.setattr(feed, "MOST", 5)
    path = recorded(tmp_path / "events.jsonl", numbered(*range(100)))
    assert (await command("replay", path, "--to", "fussy"))[0] == 0
    assert names(*range(100)) == picky.ARRIVED


async def test_several_files_and_skip(picky_site: Site, command: Command, picky: Any, tmp_path: Path) -> None:
    first = recorded(tmp_path / "a", numbered(0, 1))
    second = recorded(tmp_path / "b", numbered(2, 3, 4))
    code, _, err = await command("replay", first, second, "--to", "fussy", "--skip", "3")
    assert (code, err) == (0, "fussy: of 2 events, 2 delivered.\n")
    assert names(3, 4) == picky.ARRIVED
    assert (await command("replay", first, "--to", "fussy", "--skip", "3"))[0] == 1


async def test_ctrl_c_says_how_to_go_on(picky_site: Site, tmp_path: Path) -> None:
    picky_site.document["sinks"]["gone"] = {"kind": "webhook", "url": "http://127.0.0.1:9/"}
    picky_site.document["sinks"].pop("fussy")
    picky_site.write()
    path = recorded(tmp_path / "events.jsonl", numbered(*range(10)))
    words = [sys.executable, "-m", "eventer", "replay", path, "--to", "gone", "-c", str(picky_site.file)]
    child = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    first = await asyncio.to_thread(child.stderr.readline)
    assert first.startswith("gone: the sink does not take events: ")
    child.send_signal(signal.SIGINT)
    rest = await asyncio.to_thread(child.communicate)
    assert child.returncode == 1
    assert rest[1] == "gone: of 10 events, 10 not sent.\neventer replay: stopped. Go on with --skip 0.\n"


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        (b"", 1, ""),
        (b"nope\n", 1, "eventer replay: 1 value left out, for line 1 is no JSON; give events as JSON"),
        (
            gzip.compress(b"x" * 10_000, mtime=0)[:-10],
            1,
            "eventer replay: standard input: the file is cut or damaged within",
        ),
        (
            encode_lines(numbered(0))[0] + b"\n{}\n" + encode_lines(numbered(1))[0][:-9],
            1,
            "fussy: of 1 event, 1 delivered.\neventer replay: 2 values left out, for line 2: this is neither a Kube",
        ),
    ],
)
async def test_what_is_no_event_is_told(
    command: Command, monkeypatch: pytest.MonkeyPatch, content: bytes, code: int, told: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    got, _, err = await command("replay", "-", "--to", "fussy")
    assert got == code
    assert err.startswith(told)


async def test_a_sink_that_is_told_of_problems_gets_no_events(picky_site: Site, command: Command) -> None:
    picky_site.document["sinks"]["chat"] = {"kind": "webhook", "url": "http://127.0.0.1:1/", "group": {}}
    code, _, err = await command("replay", "-", "--to", "chat")
    assert code == 1
    assert err.startswith("eventer replay: the sink chat is sent notifications, which alerting makes of events.")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "name files, or - for standard input, or give --since"),
        (["x", "--since", "1m"], 2, "name files, or - for standard input, or give --since"),
        (["x", "--to", "fusy"], 1, "there is no sink fusy; did you mean fussy?"),
        (["x", "--to", "out"], 1, "a sink of kind file belongs to the daemon alone: "),
        (["/does/not/exist", "--to", "fussy"], 1, "/does/not/exist cannot be read: No such file or directory"),
    ],
)
async def test_wrong_use_is_told(command: Command, words: list[str], code: int, told: str) -> None:
    got, out, err = await command("replay", *words)
    assert (got, out) == (code, "")
    assert err.startswith(f"eventer replay: {told}")


@pytest.mark.parametrize(
    "words", [["--pace", "x"], ["--pace", "0x"], ["--pace", "-1x"], ["--pace", "3"], ["--skip", "-1"]]
)
def test_options_that_make_no_sense(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["replay", "f", *words])
    assert ended.value.code == 2


def test_the_pace_is_that_of_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    events = [Found(make_event(n, time=BEGIN + timedelta(seconds=at))) for n, at in enumerate([0, 0, 60, 30, 90])]
    waits: list[float] = []
    source = Feed(iter(events), 0, Pace(10.0))

    def wait(seconds: float) -> bool:
        nonlocal now
        waits.append(seconds)
        now += seconds
        return False

    source.stop.wait = wait  # type: ignore[assignment, method-assign]
    portions = [len(lines) for lines in source.portions()]
    assert portions == [2, 2, 1]
    assert waits == [6.0, 3.0]
    assert source.read == 5


# -- through the whole path ----------------------------------------------------------------------


async def test_through_the_daemon_to_every_sink_by_the_filter(
    picky_site: Site, server: ApiServer, command: Command, picky: Any, tmp_path: Path
) -> None:
    picky_site.document["filter"] = [{"drop": {"type": "Normal"}}]
    picky_site.document["redact"] = [{"pattern": "/token [a-z]+/"}]
    events = [
        *numbered(0, 1, type="Warning"),
        *numbered(2, type="Normal"),
        *numbered(3, type="Normal", origin="eventer"),
    ]
    events[1].message = "token abc"
    path = recorded(tmp_path / "events.jsonl", events)
    async with picky_site.running() as life:
        server.create("before", type="Warning")
        await until(lambda: life.journal.head == 1, "the first event")
        code, _, err = await command("replay", path)
        assert (code, err) == (0, "3 events given in, 1 left out by the filter: 4 events into the daemon.\n")
        await life.settled("out", "fussy")
        assert ["before", *names(0, 1, 3)] == picky.ARRIVED
        assert picky_site.names() == ["before", *names(0, 1)]
        assert all("token abc" not in each["message"] for each in picky_site.records())
        code, _, err = await command("replay", path)  # once more: nothing says that they were there
        assert (code, err) == (0, "3 events given in, 1 left out by the filter: 4 events into the daemon.\n")
    assert picky_site.balanced() == 7
    record = read_books(picky_site.state).streams[REPLAY]
    assert (record.received, record.filtered, record.appended) == (8, 2, 6)


async def test_what_the_daemon_keeps(picky_site: Site, server: ApiServer, command: Command, picky: Any) -> None:
    async with picky_site.running() as life:
        for number in range(3):
            server.create(f"e{number}")
        await until(lambda: life.journal.head == 3, "all events")
        await life.settled("out", "fussy")
        await life.journal.tidy()
        picky.ARRIVED.clear()
        code, _, err = await command("replay", "--since", "10m", "--to", "fussy")
        assert (code, err) == (0, "fussy: of 3 events, 3 delivered.\n")
        assert picky.ARRIVED == ["e0", "e1", "e2"]
        assert (await command("replay", "--since", "10m"))[0] == 0
        await life.settled("out", "fussy")
        assert picky_site.names() == ["e0", "e1", "e2"] * 2
    code, _, err = await command("replay", "--since", "10m")
    assert code == 1
    assert err.startswith(f"eventer replay: No daemon runs on {picky_site.state}.")


async def test_a_portion_whose_answer_was_lost_is_taken_once(
    picky_site: Site, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "AGAIN", 0.01)
    monkeypatch.setattr(feed, "MOST", 4)
    path = recorded(tmp_path / "events.jsonl", numbered(*range(10)))
    ask = Daemon._ask
    lost = 0

    def deaf(self: Daemon, method: str, where: str, query: Any, body: Any) -> Any:
        nonlocal lost
        answer = ask(self, method, where, query, body)
        if query.get("portion") == 2 and lost < 3:
            lost += 1
            raise replay.DaemonError("The daemon ended before it had answered.")
        return answer

    monkeypatch.setattr(Daemon, "_ask", deaf)
    async with picky_site.running() as life:
        code, _, err = await command("replay", path)
        assert code == 0
        assert "4 either, in portions of which the first answer was lost: 10 events into the daemon" in err
        assert lost == 3
        await life.settled("out")
        assert picky_site.names() == names(*range(10))
    picky_site.balanced()


async def test_it_waits_while_half_of_the_room_is_taken(
    picky_site: Site, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event of a cluster may have to go because of one that is repeated."""
    monkeypatch.setattr(replay, "AGAIN", 0.01)
    path = recorded(tmp_path / "events.jsonl", numbered(0))
    ask = Daemon._ask
    asked: list[Any] = []

    def counted(self: Daemon, method: str, where: str, query: Any, body: Any) -> Any:
        asked.append(answer := ask(self, method, where, query, body))
        return answer

    monkeypatch.setattr(Daemon, "_ask", counted)
    async with picky_site.running() as life:
        house = life.journal._house
        house.added(600 << 20)
        running = asyncio.create_task(command("replay", path))
        await until(lambda: len(asked) >= 5, "several tries")
        assert all("half of state.max_size" in answer["wait"] for answer in asked)
        assert life.journal.head == 0
        house.added(-(600 << 20))
        assert (await running)[0] == 0
        assert life.journal.head == 1


async def test_without_a_daemon_into_its_journal(
    picky_site: Site, server: ApiServer, command: Command, picky: Any, tmp_path: Path
) -> None:
    path = recorded(tmp_path / "events.jsonl", numbered(0, 1))
    code, _, err = await command("replay", path)
    assert code == 1
    assert "none has run there: nobody would get the events. Start one with eventer run" in err
    assert not picky_site.state.exists()
    async with picky_site.running() as life:
        server.create("before")
        await until(lambda: life.journal.head == 1, "the first event")
    picky_site.document["sinks"]["late"] = {"kind": "stdout"}
    code, _, err = await command("replay", path)
    assert code == 0
    assert "new sinks begin with what comes later, and do not get these: late" in err
    assert "2 events into the journal; sinks get them when the daemon runs again.\n" in err
    del picky_site.document["sinks"]["late"]
    async with picky_site.running() as life:
        await life.settled("out", "fussy")
        assert picky_site.names() == ["before", *names(0, 1)]
    assert picky_site.balanced() == 3


async def test_a_hostile_portion_is_refused_whole(picky_site: Site) -> None:
    async with picky_site.running() as life:
        daemon = Daemon(picky_site.state)
        good = encode_lines(numbered(0))[0]
        for body, query in (
            (good + b"\nnope", {"session": 1, "portion": 1}),
            (good, {"session": -1, "portion": 1}),
            (good, {"session": 1 << 70, "portion": 1}),
            (good, {}),
        ):
            with pytest.raises(replay.DaemonError):
                await asyncio.to_thread(daemon.post, "/v1/append", body, **query)
        assert life.journal.head == 0
        for body in (b"7", b'{"fussy": [99999999999999999999999]}', b'{"fussy": ["x"]}'):
            with pytest.raises(replay.DaemonError, match="no decision"):
                await asyncio.to_thread(daemon.post, "/v1/letters/retry", body)
        with pytest.raises(replay.DaemonError, match="no decision"):
            await asyncio.to_thread(daemon.post, "/v1/letters/burn", b"{}")
        assert not life.task.done()
