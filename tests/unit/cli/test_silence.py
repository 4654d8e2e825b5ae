"""`eventer silence`: with a daemon that runs, and without one."""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path
from typing import Any

import pytest

from eventer.cli.daemon import _Connection
from eventer.cli.silence import fields
from eventer.control.door import NAME
from tests.helpers.inprocess import Site, StillClock
from tests.helpers.journals import killed
from tests.unit.cli.conftest import Command

SOON = ("--for", "2h", "--reason", "the registry moves", "--owner", "ann")
FIXED = {
    "name": "night", "match": [{"reason": "BackOff"}, {"kind": "Node"}], "from": "2098-01-01T00:00:00+01:00",
    "until": "2099-01-01T00:00:00+01:00", "owner": "bob", "reason": "a long\nnight",
}  # fmt: skip


def plain(text: str) -> str:
    """A text in which ids and the seconds that pass stand still."""
    text = re.sub(r"\b[0-9a-f]{6}\b", "IDIDID", text)
    return re.sub(r"\b(\d+) s ago", "N s ago", re.sub(r"in 1 h 5\d min", "in some hours", text))


async def test_added_listed_and_ended(picky_site: Site, command: Command) -> None:
    async with picky_site.running(StillClock()):
        assert await command("silence", "list") == (0, "There are no silences.\n", "")
        code, out, err = await command("silence", "add", "namespace=shop", "reason=BackOff", "name=/^a b/", *SOON)
        assert (code, err) == (0, "")
        told = r"([0-9a-f]{6}) silences {reason: BackOff, namespace: shop, name: '/\^a b/'} until 20\S+ \S+ UTC\n"
        found = re.fullmatch(told + r"To end it before: eventer silence expire \1\n", out.replace(
            "{namespace: shop, reason: BackOff,", "{reason: BackOff, namespace: shop,"))  # fmt: skip
        assert found
        code, out, err = await command("silence", "list")
        assert (code, err) == (0, "")
        assert plain(out).splitlines() == [
            "id      what                                          who  why                 ends           events  made by",
            "IDIDID  {namespace: shop, reason: BackOff, name: '/…  ann  the registry moves  in some hours       0  command",
        ]
        assert await command("silence", "expire", found[1]) == (0, f"{found[1]}: ended\n", "")
        assert (await command("silence", "list"))[1] == "There are no silences.\n"
        out = plain((await command("silence", "list", "--expired"))[1])
        assert "  N s ago" in out
        assert await command("silence", "expire", found[1]) == (0, f"{found[1]}: was over already\n", "")


async def test_those_of_the_configuration_are_listed_and_ended_there(picky_site: Site, command: Command) -> None:
    picky_site.document["silences"] = [FIXED]
    async with picky_site.running(StillClock()) as life:
        code, out, _ = await command("silence", "list")
        assert code == 0
        title, row = out.splitlines()
        assert title.split() == ["id", "what", "who", "why", "ends", "events", "made", "by"]
        assert row.startswith("night  {reason: BackOff} or {kind: Node}  bob  a long night  begins in ")
        assert re.search(r"begins in \d+ d( \d+ h)?, for 365 d +0  configuration$", row)
        code, out, err = await command("silence", "expire", "night", "4f9c2a")
        assert (code, out) == (1, "")
        assert err.splitlines() == [
            "night: stands in the configuration; take it out there",
            "4f9c2a: there is no such silence; eventer silence list shows them",
        ]
        picky_site.document["silences"] = []
        picky_site.write()
        await life.daemon.reload.asked()
        assert (await command("silence", "list"))[1] == "There are no silences.\n"


async def test_output_for_programs(picky_site: Site, command: Command) -> None:
    async with picky_site.running(StillClock()):
        add = ("silence", "add", "severity=!critical", "--from", "2098-01-01T00:00:00+01:00", "--reason", "x")
        code, out, _ = await command(*add, "--until", "2098-01-02T00:00:00Z", "--owner", "ann", "--output", "json")
        made = json.loads(out)
        assert code == 0
        assert made == {
            "id": made["id"],
            "state": "pending",
            "match": ["{severity: '!critical'}"],
            "owner": "ann",
            "reason": "x",
            "begins": "2097-12-31T23:00:00Z",
            "ends": "2098-01-02T00:00:00Z",
            "origin": "command",
            "suppressed": 0,
        }
        _, out, _ = await command("silence", "list", "--output", "json")
        assert [json.loads(line) for line in out.splitlines()] == [made]
        _, out, _ = await command("silence", "expire", made["id"], "nix", "--output", "json")
        assert json.loads(out) == {"ended": [made["id"]], "over": [], "configured": [], "unknown": ["nix"]}
        assert (await command("silence", "list", "--output", "json"))[1] == ""


async def test_without_a_daemon_the_journal_itself_is_changed(
    picky_site: Site, command: Command, tmp_path: Path
) -> None:
    async with picky_site.running(StillClock()):
        _, out, _ = await command("silence", "add", "namespace=shop", *SOON, "--output", "json")
        first = json.loads(out)["id"]
        copy = killed(picky_site.state, tmp_path / "killed")
    picky_site.document["state"]["path"] = str(copy)
    where = f"No daemon runs; this is the journal in {copy}, without silences of the configuration.\n"
    code, out, err = await command("silence", "list", "--output", "json")
    assert (code, err) == (0, where)
    assert json.loads(out)["id"] == first
    code, out, err = await command("silence", "add", "namespace=pay", *SOON)
    assert (code, err) == (0, where)
    second = out[:6]
    assert await command("silence", "expire", first) == (0, f"{first}: ended\n", where)
    picky_site.state = copy
    async with picky_site.running(StillClock()):
        _, out, _ = await command("silence", "list", "--expired", "--output", "json")
        assert [(each["id"], each["state"]) for each in map(json.loads, out.splitlines())] == [
            (second, "active"),
            (first, "expired"),
        ]


async def test_without_a_journal_none_is_made(picky_site: Site, command: Command) -> None:
    for words in (("list",), ("add", "namespace=shop", *SOON), ("expire", "4f9c2a")):
        code, out, err = await command("silence", *words)
        assert (code, out) == (1, "")
        assert err.startswith(f"eventer silence {words[0]}: No daemon runs, and there is no journal in")
        assert "Name its directory with --state, or write the silence under silences:" in err
    assert not picky_site.state.exists()


async def test_a_journal_in_memory_is_told(picky_site: Site, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    async with picky_site.running(StillClock()):
        monkeypatch.setattr("eventer.journal.files.in_memory", lambda _: True)
        code, out, err = await command("silence", "add", "namespace=shop", *SOON)
        assert code == 0
        assert "silences {namespace: shop}" in out
        assert err.startswith("The journal is in memory: unless state.mirror keeps it, the silence goes with its pod")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nmespace=shop", *SOON), "'nmespace=shop' names no field; did you mean namespace?"),
        (("namespace", *SOON), "'namespace' has no value; write namespace=VALUE"),
        (("labels=x", *SOON), "'labels=x' names no field; write FIELD=VALUE with cluster, origin"),
        (("labels.team", *SOON), "'labels.team' has no value; write labels.team=VALUE"),
        (("zzz=1", *SOON), "node, message, owner or labels.NAME"),
        (("namespace=shop", "--reason", "x"), "one of the arguments --for --until is required"),
        (("namespace=shop", "--for", "2h"), "the following arguments are required: --reason"),
        (("namespace=shop", *SOON, "--until", "2099-01-01T00:00:00Z"), "not allowed with argument --for"),
        (("namespace=shop", "--for", "2", "--reason", "x"), "'2' is no duration; write for example 30s"),
        (("namespace=shop", "--until", "2099-01-01T00:00", "--reason", "x"), "write 2099-01-01T00:00Z for UTC"),
        ((*SOON,), "the following arguments are required: FIELD=VALUE"),
    ],
)
async def test_wrong_usage(
    command: Command, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    try:
        code, _, err = await command("silence", "add", *words)
    except SystemExit as ended:  # argparse
        code, err = ended.code, capsys.readouterr().err  # type: ignore[assignment]
    assert code == 2
    assert told in err


async def test_what_the_daemon_refuses_it_says_why(picky_site: Site, command: Command) -> None:
    async with picky_site.running(StillClock()):
        for words, told in (
            (("reason=/[/",), "/[/ is no regular expression"),
            (("owner=Deployment/web",), "No notifier looks owner up"),
            (("namespace.labels.team=shop",), "No notifier looks namespace.labels up"),
        ):
            code, out, err = await command("silence", "add", *words, *SOON)
            assert (code, out) == (1, "")
            assert err.startswith(f"eventer silence add: {told}")


async def test_whose_name_is_not_known_has_to_say_it(
    picky_site: Site, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise KeyError("uid 65532")

    async with picky_site.running(StillClock()):
        monkeypatch.setattr("getpass.getuser", nobody)
        code, _, err = await command("silence", "add", "namespace=shop", *SOON[:4])
        assert (code, err) == (
            2,
            "eventer silence add: this user has no name; name whom to ask about the silence with --owner\n",
        )
        monkeypatch.setattr("getpass.getuser", lambda: "cy")
        await command("silence", "add", "namespace=shop", *SOON[:4])
        assert json.loads((await command("silence", "list", "--output", "json"))[1])["owner"] == "cy"


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["namespace=shop"], {"namespace": ["shop"]}),
        (["reason=a", "reason=!/b=c/"], {"reason": ["a", "!/b=c/"]}),
        (["message=a, b=c"], {"message": ["a, b=c"]}),
        (["labels.team=", "labels.x.y/z=1", "labels.team=b"], {"labels": {"team": ["", "b"], "x.y/z": ["1"]}}),
        (
            ["namespace.labels.labels.a=b", "node.labels.c=d", "owner=Job/x"],
            {"namespace.labels": {"labels.a": ["b"]}, "node.labels": {"c": ["d"]}, "owner": ["Job/x"]},
        ),
    ],
)
def test_words_as_a_rule(words: list[str], rule: dict[str, Any]) -> None:
    assert fields(words) == rule


async def test_what_asks_for_no_silence_is_refused(picky_site: Site) -> None:
    async with picky_site.running(StillClock()):
        for path, body in (
            ("/v1/silences", b"{"),
            ("/v1/silences", b'{"match":[]}'),
            ("/v1/silences/expire", b'{"a":1}'),
            ("/v1/silences/expire", b"[1]"),
        ):
            answer = await _post(picky_site.state / NAME, path, body)
            assert answer == (400, {"error": "this asks for no silence"})


async def _post(socket: Path, path: str, body: bytes) -> tuple[int, Any]:
    import asyncio

    def post() -> tuple[int, Any]:
        connection: http.client.HTTPConnection = _Connection(socket, 5)
        connection.request("POST", path, body)
        answer = connection.getresponse()
        try:
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    return await asyncio.to_thread(post)
