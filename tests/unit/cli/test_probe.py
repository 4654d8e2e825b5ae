"""`eventer check --probe`: every sink that can be asked is asked, each answer is one line."""

import asyncio
import json
from types import ModuleType
from typing import ClassVar

import pytest

import eventer.cli.probe
from eventer.cli import main
from eventer.errors import Blocked
from eventer.sink import SinkConfig


class Asked:
    """A sink that answers as its name says."""

    closed: ClassVar = []

    def __init__(self, config, context):
        self.name = context.name

    async def probe(self):
        match self.name:
            case "good":
                return "It would take events."
            case "bad":
                raise Blocked("No right to write.", reason="acl", answer="token=hunter22")
            case "broken":
                raise ZeroDivisionError
        await asyncio.Event().wait()
        return ""

    async def close(self):
        Asked.closed.append(self.name)


class Plain:
    def __init__(self, config, context):
        pass

    async def close(self):
        pass


@pytest.fixture
def kinds(monkeypatch):
    modules = {}
    for kind, sink in {"asked": Asked, "plain": Plain}.items():
        modules[kind] = ModuleType(kind)
        modules[kind].Sink, modules[kind].Config = sink, SinkConfig
    monkeypatch.setattr(eventer.cli.probe, "load", modules.__getitem__)
    Asked.closed = []


def test_all_are_asked_and_closed(kinds):
    configs = {name: SinkConfig(kind="asked", timeout=0.05) for name in ("good", "bad", "broken", "silent")}
    found = eventer.cli.probe.run(configs | {"plain": SinkConfig(kind="plain")})
    assert [(each.sink, each.ok) for each in found] == [
        ("good", True), ("bad", False), ("broken", False), ("silent", False), ("plain", None)
    ]  # fmt: skip
    assert sorted(Asked.closed) == sorted(configs)
    words = {each.sink: each.message for each in found}
    assert words["bad"].startswith("No right to write.")
    assert "hunter22" not in words["bad"]
    assert "ZeroDivisionError" in words["broken"]
    assert "no answer within 0.1 s" in words["silent"]
    assert "eventer test-send plain" in words["plain"]


def test_a_user_reads_a_line_for_each_sink(tmp_path, capsys):
    file = tmp_path / "c.yaml"
    broker = "{kind: kafka, brokers: ['127.0.0.1:1'], topic: t, timeout: 1s}"
    file.write_text(f"sources: [{{}}]\nsinks: {{out: {{kind: stdout}}, bus: {broker}}}\n")
    assert main(["check", "-c", str(file), "--probe"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{file}: ok",
        "out: not probed: cannot be probed without sending; try `eventer test-send out`",
        "bus: failed: No broker of Kafka can be reached: the connection is refused.",
    ]


def test_programs_get_the_same(tmp_path, capsys):
    file = tmp_path / "c.yaml"
    file.write_text("sources: [{}]\nsinks: {out: {kind: stdout}}\n")
    assert main(["check", "-c", str(file), "--probe", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["probes"][0]["ok"] is None


def test_without_the_option_nothing_is_asked(tmp_path, capsys):
    file = tmp_path / "c.yaml"
    file.write_text("sources: [{}]\nsinks: {bus: {kind: kafka, brokers: ['127.0.0.1:1'], topic: t}}\n")
    assert main(["check", "-c", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: ok\n"
