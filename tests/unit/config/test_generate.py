"""Generated files are what the types say, and say all of it."""

import json
import re
import shutil
from pathlib import Path

import msgspec
import pytest

from eventer.config.generate.files import main
from eventer.config.generate.options import options, sample_kinds, yaml_value
from eventer.config.generate.sample import sample
from eventer.config.generate.schema import schema
from eventer.config.load import load
from eventer.config.sources import Start
from eventer.config.types import Config
from eventer.errors import EventerError
from eventer.sink import SinkConfig
from eventer.sink import load as load_sink
from eventer.values import Duration, Size

ROOT = Path(__file__).parents[3]


def variables_of(text):
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return re.findall(r"\$\{(\w+)\}", "\n".join(lines))


def test_the_files_in_the_project_are_fresh(capsys):
    assert main(["--check"]) == 0, capsys.readouterr().err


@pytest.fixture
def project(tmp_path):
    for name in ("charts", "config", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", ["config/eventer.yaml", "config/eventer.schema.json", "docs/configuration.md"])
def test_a_stale_file_is_named_and_then_written(project, capsys, name):
    file = project / name
    good = file.read_text()
    file.write_text(good.replace("Eventer's own log", "a log"))
    assert main(["--check", "--root", str(project)]) == 1
    assert f"{file} is stale" in capsys.readouterr().err
    assert main(["--root", str(project)]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert file.read_text() == good
    assert main(["--check", "--root", str(project)]) == 0


def test_a_page_that_is_missing_or_has_no_place_for_the_options_is_named(project, capsys):
    page = project / "docs/configuration.md"
    page.write_text("no place")
    assert main(["--root", str(project)]) == 1
    assert f"{page} needs <!-- options:start -->" in capsys.readouterr().err
    page.unlink()
    assert main(["--check", "--root", str(project)]) == 1
    assert f"{page} is missing" in capsys.readouterr().err


def test_every_option_without_a_docstring_is_refused():
    class Bare(msgspec.Struct):
        option: str

    with pytest.raises(EventerError, match=r"Bare\.option has no docstring"):
        options(Bare)


def test_the_sample_says_the_defaults(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(sample())
    variables = variables_of(sample())
    config = load(path, dict.fromkeys(variables, "https://receiver.example")).config
    bare = tmp_path / "bare.yaml"
    bare.write_text("sources: [{}]\nsinks: {screen: {kind: stdout}}\n")
    default = load(bare, {}).config
    for name in ("sources", "filter", "state", "server", "log", "tests"):
        assert getattr(config, name) == getattr(default, name)
    assert sorted(config.sinks) == sample_kinds()
    assert config.sinks["stdout"] == default.sinks["screen"]


def test_the_sample_stays_right_when_its_filter_is_switched_on(tmp_path):
    path = tmp_path / "c.yaml"
    text, colon, rest = sample().partition("\nredact:")
    path.write_text(re.sub(r"^(\s*)#- ", r"\1- ", text, flags=re.MULTILINE) + colon + rest)
    variables = variables_of(sample())
    assert [rule.keeps for rule in load(path, dict.fromkeys(variables, "https://receiver.example")).config.filter] == [
        False,
        True,
    ]


def test_the_sample_stays_right_when_its_silence_is_switched_on(tmp_path):
    path = tmp_path / "c.yaml"
    before, silences, rest = sample().partition("\nsilences:")
    within, colon, after = rest.partition("\n\n")
    path.write_text(before + silences + re.sub(r"^  #([- ] )", r"  \1", within, flags=re.MULTILINE) + colon + after)
    variables = variables_of(sample())
    (silence,) = load(path, dict.fromkeys(variables, "https://receiver.example")).config.silences
    assert (silence.name, silence.owner) == ("registry-moves", "ann")


def test_the_sample_stays_right_when_its_test_is_switched_on(tmp_path):
    path = tmp_path / "c.yaml"
    text, colon, tests = sample().partition("\ntests:")
    tests = re.sub(r"^  #([- ] )", r"  \1", tests, flags=re.MULTILINE)
    path.write_text(text + colon + tests.replace("[ops-chat, archive]", "[file, stdout]"))
    variables = variables_of(sample())
    (test,) = load(path, dict.fromkeys(variables, "https://receiver.example")).config.tests
    assert (test.event.reason, test.sinks) == ("BackOff", ["file", "stdout"])


def names_of(cls):
    return {option.name for option in options(cls)}


def test_the_schema_knows_every_option_and_no_other():
    whole = json.loads(json.dumps(schema()))
    assert set(whole["properties"]) == names_of(Config)
    assert whole["additionalProperties"] is False
    assert whole["required"] == ["sources", "sinks"]
    source = whole["properties"]["sources"]["items"]["properties"]
    assert set(source) == {"cluster", "labels", "kubernetes"}
    assert source["kubernetes"]["properties"]["start"]["default"] == "all"
    assert whole["definitions"]["sink"]["properties"]["kind"]["enum"] == sample_kinds()
    for kind in sample_kinds():
        definition = whole["definitions"][f"sink-{kind}"]
        assert names_of(SinkConfig) <= names_of(load_sink(kind).Config) <= set(definition["properties"])
        assert definition["properties"]["kind"]["const"] == kind
        assert definition["additionalProperties"] is False


def test_the_schema_lets_a_secret_come_from_a_file():
    webhook = schema()["definitions"]["sink-webhook"]
    assert {"url", "url_file"} <= set(webhook["properties"])
    assert {"oneOf": [{"required": ["url"]}, {"required": ["url_file"]}]} in webhook["allOf"]
    assert "url" not in webhook["required"]


def test_every_reference_of_the_schema_leads_somewhere():
    text = json.dumps(schema())
    names = set(re.findall(r'"#/definitions/([\w-]+)"', text))
    assert names
    assert names <= set(schema()["definitions"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Duration(0), "0s"),
        (Duration(0.25), "250ms"),
        (Duration(90), "1m30s"),
        (Duration(86_400), "24h"),
        (Duration(7 * 86_400), "7d"),
        (Duration(25 * 3600), "25h"),
        (Size(1 << 30), "1GiB"),
        (Size(1536), "1536"),
        (Size(0), "0"),
        (Start("inf"), "all"),
        (Start(90), "90s"),
        ("plain/path", "plain/path"),
        ("no", '"no"'),
        (":8080", '":8080"'),
        (["a", 1], "[a, 1]"),
        ({"a": True}, "{a: true}"),
        (None, "null"),
    ],
)
def test_a_default_is_written_as_a_person_would(value, text):
    assert yaml_value(value) == text
