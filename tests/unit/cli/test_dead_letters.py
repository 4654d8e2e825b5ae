"""`eventer dead-letters`: with a daemon that runs, and without one."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from eventer.cli import main
from eventer.delivery import desk
from eventer.demo.apiserver import ApiServer
from eventer.event import Outcome
from eventer.journal import Journal, StreamKey, StreamRecord, read_books
from tests.helpers.inprocess import Life, Site
from tests.helpers.journals import poisoned
from tests.helpers.robots import Robots
from tests.helpers.until import until
from tests.unit.cli.conftest import Command


async def bury(life: Life, server: ApiServer, *numbers: int, of: int = 5) -> None:
    for number in range(of):
        reason = "BackOff" if number % 2 else "Failed"
        server.create(f"e{number}", reason=reason, message=f"{'bad' if number in numbers else 'fine'} {number}")
    await until(lambda: life.journal.head >= of, "all events")
    await life.settled("out", "fussy")
    assert life.journal.readers["fussy"].outcomes.get(Outcome.DEAD, 0) == len(numbers)


async def none_waits(life: Life) -> None:
    await until(lambda: not life.journal.readers["fussy"].outcomes.get(Outcome.PARKED, 0), "no letter to wait")


def cells(line: str) -> list[str]:
    return line.split()


async def test_list_counts_first_and_ends_with_the_newest(
    picky_site: Site, server: ApiServer, command: Command
) -> None:
    async with picky_site.running() as life:
        assert await command("dead-letters", "list") == (0, "There are no dead letters.\n", "")
        await bury(life, server, 1, 2, 4)
        code, out, err = await command("dead-letters", "list")
        assert (code, err) == (0, "")
        counts, _, table = out.partition("\n\n")
        assert list(map(cells, counts.splitlines())) == [["sink", "reason", "letters"], ["fussy", "mapping", "3"]]
        assert [cells(line)[2] for line in table.splitlines()[1:]] == ["fussy/1", "fussy/2", "fussy/4"]
        assert "BackOff Pod default/web-0" in table
        assert "bad 1" in table
        assert "no \\x1b[31m mapping" in table
        _, out, _ = await command("dead-letters", "list", "--output", "json")
        assert [json.loads(line)["event"]["message"] for line in out.splitlines()] == ["bad 1", "bad 2", "bad 4"]
        _, out, _ = await command("dead-letters", "list", "--reason", "other")
        assert out == "There are no such dead letters.\n"


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["--all"], [1, 2, 4]),
        (["fussy/1", "fussy/4", "fussy/3"], [1, 4]),
        (["--sink", "fussy"], [1, 2, 4]),
        (["--sink", "out"], []),
        (["--reason", "mapping"], [1, 2, 4]),
        (["--reason", "mappin"], []),
        (["--match", "reason=BackOff,namespace=default"], [1]),
        (["--match", "{message: [/4$/, '/1$/']}"], [1, 4]),
        (["--match", "reason=BackOff", "--match", "message=/2/"], [1, 2]),
        (["--match", "reason=BackOff", "--sink", "out"], []),
    ],
)
async def test_which_letters_are_meant(
    picky_site: Site, server: ApiServer, command: Command, words: list[str], numbers: list[int]
) -> None:
    async with picky_site.running() as life:
        await bury(life, server, 1, 2, 4)
        code, out, err = await command("dead-letters", "export", *words)
        assert [json.loads(line)["number"] for line in out.splitlines()] == numbers
        assert code == (0 if numbers else 1)
        assert bool(err) is not bool(numbers)


async def test_show_has_everything_and_what_to_do(picky_site: Site, server: ApiServer, command: Command) -> None:
    async with picky_site.running() as life:
        await bury(life, server, 1)
        code, out, _ = await command("dead-letters", "show", "fussy/1")
        assert code == 0
        assert out.startswith("fussy/1  Warning BackOff of Pod default/web-0, cluster prod: bad 1\n")
        assert "dead because: mapping; since 20" in out
        assert "sent 1 time\n" in out
        assert "answer: no \\x1b[31m mapping\n" in out
        assert "eventer dead-letters retry fussy/1" in out
        assert '  "message": "bad 1",\n' in out
        assert (await command("dead-letters", "show", "fussy/2"))[0] == 1


async def test_a_message_that_may_have_arrived_is_for_a_person_to_look_for(
    picky_site: Site, server: ApiServer, command: Command
) -> None:
    async with Robots(time.time) as robots:
        robot = robots.add("dingtalk", "a-secret-token")
        picky_site.document["sinks"]["chat"] = {
            "kind": "dingtalk", "url": robot.url, "on_unknown": "skip", "group": {"wait": "0s"},
        }  # fmt: skip
        robots.losing = 1
        async with picky_site.running() as life:
            server.create("bad", type="Warning", reason="BackOff")
            notifiers = life.journal.alerting.notifiers
            await until(lambda: notifiers["chat"].outcomes.get(Outcome.DEAD), "the message to be given up")
            _, out, _ = await command("dead-letters", "show", "notifications:chat/0")
            assert "dead because: unknown; since 20" in out
            assert "cut the connection before its answer was complete. It may have arrived all the same" in out
            assert "look whether people have it. If not: eventer dead-letters retry notifications:chat/0" in out
            assert robot.messages.count(robot.messages[0]) == 1
            code, _, err = await command("dead-letters", "retry", "notifications:chat/0")
            assert (code, err) == (0, "")
            await until(lambda: robot.messages.count(robot.messages[0]) == 2, "the message to be sent")
            await until(lambda: not notifiers["chat"].outcomes.get(Outcome.PARKED), "no letter to wait")
    assert not read_books(picky_site.state).notifiers["chat"].outcomes[Outcome.DEAD]


async def test_retry_has_them_sent_again(picky_site: Site, server: ApiServer, command: Command, picky: Any) -> None:
    async with picky_site.running() as life:
        await bury(life, server, 1, 2)
        picky.WORLD["mended"] = True
        code, out, err = await command("dead-letters", "retry", "--all")
        assert (code, err) == (0, "")
        assert out.startswith("fussy: 2 letters to be sent again\n")
        await none_waits(life)
        assert sorted(picky.ARRIVED) == [f"e{n}" for n in range(5)]
        code, _, err = await command("dead-letters", "retry", "--all")
        assert code == 1
        assert "No dead letter is meant by that" in err
    assert picky_site.balanced() == 5


async def test_a_sink_that_is_down_does_not_keep_the_command_waiting(
    picky_site: Site, server: ApiServer, command: Command, picky: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "AGAIN_MOST", 2)
    async with picky_site.running() as life:
        await bury(life, server, 1, 2, 4)
        picky.WORLD["down"] = True
        server.create("next")
        await until(lambda: life.view.runners["fussy"].status.error, "the sink to fail")
        code, out, _ = await command("dead-letters", "retry", "--all")
        assert code == 0
        assert out.startswith("fussy: 2 letters to be sent again, 1 stay dead, because so many wait already")
        assert life.journal.readers["fussy"].outcomes[Outcome.PARKED] == 2


async def test_drop_gives_up_what_is_confirmed(
    picky_site: Site, server: ApiServer, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with picky_site.running() as life:
        await bury(life, server, 1, 2, 4)
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        code, _, err = await command("dead-letters", "drop", "--all")
        assert (code, err) == (
            2,
            "eventer dead-letters drop: Give up 3 dead letters of fussy for good? Confirm it with --yes\n",
        )
        for answer, wanted in (("\n", 1), ("no\n", 1), ("y\n", 0)):
            terminal = io.StringIO(answer)
            terminal.isatty = lambda: True  # type: ignore[method-assign]
            monkeypatch.setattr("sys.stdin", terminal)
            assert (await command("dead-letters", "drop", "fussy/1"))[0] == wanted
        assert await command("dead-letters", "drop", "fussy/2", "--yes") == (0, "fussy: 1 letter given up\n", "")
        outcomes = life.journal.readers["fussy"].outcomes
        assert (outcomes[Outcome.DEAD], outcomes[Outcome.DROPPED]) == (1, 2)
    assert picky_site.balanced() == 5


async def test_export_writes_a_new_file_only(
    picky_site: Site, server: ApiServer, command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "dead.jsonl"
    async with picky_site.running() as life:
        await bury(life, server, 1, 2)
        assert (await command("dead-letters", "export", "-o", str(path)))[0] == 0
        letters = [json.loads(line) for line in path.read_text().splitlines()]
        assert [(each["sink"], each["number"], each["reason"]) for each in letters] == [
            ("fussy", 1, "mapping"),
            ("fussy", 2, "mapping"),
        ]
        assert [each["event"] for each in letters] == picky_site.records()[1:3]
        code, _, err = await command("dead-letters", "export", "-o", str(path))
        assert code == 2
        assert err == f"eventer dead-letters export: {path} exists; name a new file\n"
        assert (await command("dead-letters", "export", "--sink", "out", "-o", str(tmp_path / "none")))[0] == 1
        assert not (tmp_path / "none").exists()


async def test_without_a_daemon_the_journal_is_opened(
    picky_site: Site, server: ApiServer, command: Command, picky: Any
) -> None:
    async with picky_site.running() as life:
        await bury(life, server, 1, 2, 4)
    note = f"No daemon runs; this is the journal in {picky_site.state}.\n"
    code, out, err = await command("dead-letters", "list", "--output", "json")
    assert (code, err, len(out.splitlines())) == (0, note, 3)
    assert await command("dead-letters", "drop", "fussy/4", "--yes") == (0, "fussy: 1 letter given up\n", note)
    code, out, err = await command("dead-letters", "retry", "--all")
    assert (code, err) == (0, note)
    assert out == "fussy: 2 letters to be sent again\nThey go when the daemon runs again.\n"
    picky_site.balanced()
    picky.WORLD["mended"] = True
    async with picky_site.running() as life:
        await none_waits(life)
    assert sorted(picky.ARRIVED) == ["e0", "e1", "e2", "e3"]
    outcomes = read_books(picky_site.state).readers["fussy"].outcomes
    assert {outcome: n for outcome, n in outcomes.items() if n} == {Outcome.DELIVERED: 4, Outcome.DROPPED: 1}


async def test_where_no_daemon_ever_ran(command: Command, picky_site: Site) -> None:
    code, out, err = await command("dead-letters", "list")
    assert (code, out) == (1, "")
    assert f"There is no journal in {picky_site.state}" in err
    assert not picky_site.state.exists()


OLD = StreamKey("old", "events")


async def poison(journal: Journal) -> None:
    await journal.append(OLD, StreamRecord(received=3, poison=3), [], {}, poisoned(3))


async def test_lines_that_are_no_event_can_be_looked_at_and_dropped_not_retried(
    picky_site: Site, command: Command
) -> None:
    name = "intake:old/events"
    async with picky_site.running() as life:
        await poison(life.journal)
        _, out, _ = await command("dead-letters", "list")
        assert f"{name}/2" in out
        assert "no event" in out
        _, out, _ = await command("dead-letters", "show", f"{name}/1")
        assert out.startswith(f"{name}/1  a line that is no event\n")
        assert "\\xff\\x00 1" in out
        _, out, _ = await command("dead-letters", "export", f"{name}/1")
        assert json.loads(out)["event"] is None
        code, _, err = await command("dead-letters", "retry", "--all")
        assert (code, err) == (
            1,
            f"{name}: these are lines that are no events, so no sink can be sent them\n",
        )
        assert await command("dead-letters", "drop", f"{name}/1", "--yes") == (0, f"{name}: 1 letter given up\n", "")
    assert (await command("dead-letters", "drop", "--all", "--yes"))[:2] == (0, f"{name}: 2 letters given up\n")
    books = read_books(picky_site.state)
    assert books.letters == {}
    assert books.streams[OLD].poison == 3, "what came stays counted"
    picky_site.balanced()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["retry"], "name letters (SINK/NUMBER), or choose them with --sink, --reason, --match, or --all"),
        (["drop", "--yes"], "name letters (SINK/NUMBER), or choose them with"),
        (["show"], "name letters (SINK/NUMBER), or choose them with"),
        (["show", "archive"], "'archive' names no letter; write SINK/NUMBER, as list shows it"),
        (["show", "archive/x\x1b"], "'archive/x\\x1b' names no letter"),
        (["show", "/3"], "'/3' names no letter"),
        (["list", "--match", "resaon=x"], "--match: 'resaon' is no field; did you mean reason?"),
    ],
)
def test_wrong_use_is_told(words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dead-letters", *words, "--state", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"eventer dead-letters {words[0]}: {told}")


async def test_a_sink_that_the_daemon_does_not_run_is_told(
    picky_site: Site, server: ApiServer, command: Command
) -> None:
    async with picky_site.running() as life:
        await bury(life, server, 1)
        runner = life.view.runners.pop("fussy")
        code, _, err = await command("dead-letters", "retry", "--all")
        assert code == 1
        assert err.startswith("eventer dead-letters retry: There is no sink fussy at this moment.")
        life.view.runners["fussy"] = runner


async def test_letters_that_the_disk_damaged_are_told_and_can_be_dropped(
    picky_site: Site, server: ApiServer, command: Command
) -> None:
    async with picky_site.running() as life:
        await bury(life, server, 1, 2)
        await life.journal._writer.submit(
            lambda c: c.execute("UPDATE letter SET event = zeroblob(10) WHERE number = 1") and None
        )
        _, out, _ = await command("dead-letters", "list")
        assert "damaged on the disk" in out
        _, out, _ = await command("dead-letters", "show", "fussy/1")
        assert "nothing of it can be read any more: eventer dead-letters drop fussy/1" in out
        assert (await command("dead-letters", "list", "--match", "reason=BackOff"))[
            1
        ] == "There are no such dead letters.\n"
        assert (await command("dead-letters", "drop", "fussy/1", "--yes"))[0] == 0
    picky_site.balanced()
