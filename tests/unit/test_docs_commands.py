"""What the documentation tells people to type works: commands run or at least parse, files are checked, code compiles.

A new block that is none of what is known here fails: it needs a way to be tried, or a reason why it is not.
"""

from __future__ import annotations

import argparse
import ast
import base64
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from eventer.cli import COMMANDS, main, parser_with
from eventer.config.load import examine
from eventer.config.types import Config
from eventer.match import FIELDS, Rule
from tests.helpers.documents import EXAMPLE, ROOT, Block, Command, blocks, commands, inline

BLOCKS: Final = list(blocks())
COMMANDS_SHOWN: Final = list(commands())
SHOWN: Final = {
    "text": "what something prints, or a picture",
    "": "a picture",
    "sql": "InfluxQL; tests/real/test_influxdb.py runs it",
    "flux": "the same",
    "http": "a request as it goes out; tests/sinks/test_webhook.py looks at those",
}
"""Languages of blocks that tell nobody to type anything."""
NOT_RUN: Final = {
    # how a command begins: why it is not run here
    "mkdir": "a directory of the reader",
    "docker build": "no container engine; tests/real/test_image.py runs the lines of the Dockerfile",
    "docker push": "no container engine, no registry",
    "docker run": "no container engine; what follows the image is parsed",
    "helm": "tests/real/test_docs_helm.py renders the chart with it",
    "kubectl": "needs a cluster; tests/real/test_chart.py makes what it would look at",
    "make": "tests themselves; that the target exists is looked at",
    "git": "the reader's own copy",
    "eventer run": "never ends; its configuration is checked in its place",
    "eventer demo": "needs a terminal or a cluster; tests/unit/demo and tests/unit/cli run it",
    **dict.fromkeys(
        (
            "eventer status",
            "eventer tail",
            "eventer reload",
            "eventer dead-letters",
            "eventer silence",
            "eventer replay",
            "eventer test-send",
        ),
        "needs a running daemon; tests/unit/cli runs it against one",
    ),
    "curl": "asks a daemon or a store that runs; tests/unit/test_docs.py compares metrics, tests/real asks real stores",
    "eventer check -c eventer.yaml --probe": "asks far sides; tests/unit/cli and tests/real do",
    **dict.fromkeys(
        ("influx", "influxdb3"),
        "InfluxDB's own tools; tests/real/test_influxdb.py runs what they are given, in InfluxQL",
    ),
    **dict.fromkeys(
        ("kafka-topics.sh", "kafka-acls.sh", "kafka-get-offsets.sh", "kafka-console-consumer.sh"), "Kafka's own tools"
    ),
}


def arguments(line: str) -> list[str] | None:
    """Return what a command line gives to Eventer; None if it is another program's."""
    words = shlex.split(line)
    if Path(words[0]).name == "eventer":
        return words[1:]
    if words[0] == "docker" and words[1] == "run":
        image = next(index for index, word in enumerate(words) if word.startswith("registry.example/"))
        return words[image + 1 :]
    if words[0] == "kubectl" and "--" in words and words[words.index("--") + 1] == "eventer":
        return words[words.index("--") + 2 :]
    return None


def told(line: str) -> str:
    """Return the line as `NOT_RUN` names it: a program by its name, without its path."""
    first, _, rest = line.partition(" ")
    return f"{Path(first).name} {rest}"


def parse(words: list[str]) -> argparse.Namespace:
    """Parse a command line as Eventer does.

    Raises:
        SystemExit: it does not know it.
    """
    assert words[0] in COMMANDS, f"there is no command {words[0]}"
    return parser_with([words[0]]).parse_args(words)


def ids(items: list[Any]) -> list[str]:
    return [f"{item.block.page}:{item.line}" if isinstance(item, Command) else item.name for item in items]


def test_there_is_something_to_look_at() -> None:
    assert len(COMMANDS_SHOWN) > 10
    assert len([block for block in BLOCKS if block.language == "yaml"]) > 20
    assert len(list(inline())) > 10


def test_every_language_is_known() -> None:
    known = {"sh", "console", "yaml", "python", "json", *SHOWN}
    assert {(block.name, block.language) for block in BLOCKS if block.language not in known} == set()


@pytest.mark.parametrize("command", COMMANDS_SHOWN, ids=ids(COMMANDS_SHOWN))
def test_a_command_runs_or_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: Command
) -> None:
    reasons = [reason for begin, reason in NOT_RUN.items() if f"{told(command.line)} ".startswith(f"{begin} ")]
    words = arguments(command.line)
    if words is not None:
        parse(words)
    if words is None or reasons:
        assert reasons, f"{command.block.name}: run it, or say in NOT_RUN why not: {command.line}"
        if words and words[0] == "run":
            file = ROOT / "out" / words[words.index("-c") + 1]
            assert examine(file.resolve(), {}).config is not None
        if command.line.startswith("make "):
            assert re.search(rf"^{command.line.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return
    (tmp_path / "eventer.yaml").write_text(EXAMPLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")  # the catalog is told in the language of the reader
    assert main(words) in {0, 1}
    said = capsys.readouterr().out
    assert said
    if command.output:
        assert said == command.output


@pytest.mark.parametrize(("page", "line"), sorted(set(inline())), ids=lambda text: text[:50])
def test_a_command_in_a_sentence_exists_with_its_options(page: str, line: str) -> None:
    """It may leave out what the sentence does not speak of."""
    name, *words = shlex.split(line)[1:]
    if f"{name} {' '.join(words)}".strip() in {"is running", "is stopped"}:
        return  # lines of the log
    assert name in COMMANDS, f"{page}: there is no command {name}"
    known = _options(_command(parser_with([name]), name), words)
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known, page


def _command(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    (action,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    found: argparse.ArgumentParser = action.choices[name]
    return found


def _options(parser: argparse.ArgumentParser, words: list[str]) -> set[str]:
    """Return the options of a command, and of its own command if it has some."""
    found: set[str] = set()
    for action in parser._actions:
        found |= set(action.option_strings)
        if isinstance(action, argparse._SubParsersAction) and words:
            assert words[0] in action.choices
            found |= _options(action.choices[words[0]], words[1:])
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_in_the_help_parse(name: str) -> None:
    text = _command(parser_with([name]), name).description or ""
    examples = re.findall(r"^  (.*eventer .+)$", text.partition("\n\n")[0], re.MULTILINE)
    assert examples
    for example in examples:
        # Before it a kubectl may stand, behind it a pipe, another file, what it is for.
        found = re.search(rf"\beventer ({name}\b.*)", example)
        assert found, example
        parse(shlex.split(re.split(r"   |\s[|>&]\s|\)", found[1])[0]))


# -- files -------------------------------------------------------------------------------------------------


def file_of(block: Block) -> dict[str, Any]:
    """Make a whole configuration of what a page shows of one.

    Raises:
        KeyError: it is no part of any.
    """
    shown = yaml.safe_load(block.text)
    whole: dict[str, Any] = {"sources": [{}], "sinks": {"screen": {"kind": "stdout"}}}
    if "config" in shown or shown.keys() & {"persistence", "image", "networkPolicy", "secrets", "extraVolumes", "env"}:
        return whole | shown.get("config", {})  # values for the chart
    if shown.keys() <= {field.encode_name for field in _fields(Config)}:
        return whole | shown
    if shown.keys() <= set(FIELDS):
        Rule.parse(shown)
        return whole | {"filter": [{"drop": shown}]}
    kind = Path(block.page).stem
    if block.page.startswith("docs/sinks/"):
        needed = {"webhook": {"url": "${URL}"}, "file": {"path": "events.jsonl"}}.get(kind, {})
        return whole | {"sinks": {"shown": {"kind": kind} | needed | shown}}
    raise KeyError(", ".join(shown))


def _fields(cls: type) -> tuple[Any, ...]:
    import msgspec

    return msgspec.structs.fields(cls)


FILES: Final = [block for block in BLOCKS if block.language == "yaml"]


@pytest.mark.parametrize("block", FILES, ids=ids(FILES))
def test_a_file_or_a_part_of_one_has_no_fault(tmp_path: Path, block: Block) -> None:
    """Secrets that it names are there, as they would be for the reader."""
    text = yaml.safe_dump(file_of(block), allow_unicode=True, sort_keys=False)
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + base64.b64encode(b"s" * 32).decode())
    text = re.sub(r"(_file: )/[\w./-]+", rf"\g<1>{secret}", text)
    (tmp_path / "eventer.yaml").write_text(text)
    environ: Mapping[str, str] = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "https://receiver.example/events")
    faults = examine(tmp_path / "eventer.yaml", environ).faults
    # That a journal in memory is a smaller promise is what the page is about.
    doubts = [fault for fault in faults if fault.warning and "journal is in memory" not in fault.message]
    assert [fault for fault in faults if not fault.warning] == []
    assert [fault for fault in doubts if "PEM" not in fault.message and "cannot be read" not in fault.message] == []


CODE: Final = [block for block in BLOCKS if block.language == "python"]


@pytest.mark.parametrize("block", CODE, ids=ids(CODE))
def test_code_compiles(block: Block) -> None:
    assert ast.parse(block.text).body
    compile(block.text, block.name, "exec")


DATA: Final = [block for block in BLOCKS if block.language == "json"]


@pytest.mark.parametrize("block", DATA, ids=ids(DATA))
def test_json_is_json(block: Block) -> None:
    """Where something is left out, three dots stand behind a comma."""
    for line in block.text.splitlines() if block.text.lstrip().startswith('{"id"') else [block.text]:
        assert json.loads(re.sub(r",\s*\.\.\.", "", line))
