import io
import json

import pytest

from eventer.cli import EX_CONFIG, main
from eventer.cli.check import render
from eventer.config.load import examine

BAD = """\
sources: [{}]
sinks:
  a:
    kind: webhook
    url: https://user:hunter22@host/
    methd: PUT   # hunter22
    timeout: 5
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "c.yaml"


def test_a_good_file_ends_with_0(file, capsys):
    file.write_text("sources: [{}]\nsinks: {a: {kind: stdout}}\n")
    assert main(["check", "-c", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: ok\n"


def test_faults_are_said_with_place_line_and_remedy(file, capsys):
    file.write_text(BAD)
    assert main(["check", "-c", str(file)]) == EX_CONFIG == 78
    assert capsys.readouterr().out == (
        f"{file}:5:10: sinks.a.url: warning: this secret can be read by everybody who may read the configuration\n"
        "    url: …\n"
        "    -> write ${VARIABLE}, or name a file with _file\n"
        "\n"
        f'{file}:6:5: sinks.a.methd: "methd" is not known here\n'
        "    methd: …\n"
        "    -> did you mean method?\n"
        "\n"
        f"{file}:7:14: sinks.a.timeout: '5' is no duration\n"
        "    timeout: 5\n"
        "    -> write for example 30s, 5m, 1h30m or 250ms\n"
        "\n"
        f"{file}: 2 faults, 1 warning\n"
    )


def test_warnings_do_not_fail(file, capsys):
    file.write_text("sources: [{}]\nsinks: {a: {kind: webhook, url: 'http://host/'}}\n")
    assert main(["check", "-c", str(file)]) == 0
    assert capsys.readouterr().out.endswith(f"{file}: 1 warning\n")


def test_programs_get_json(file, capsys):
    file.write_text(BAD)
    assert main(["check", "-c", str(file), "--output", "json"]) == 78
    answer = json.loads(capsys.readouterr().out)
    assert (answer["file"], answer["ok"]) == (str(file), False)
    assert [(fault["line"], fault["column"], fault["path"], fault["warning"]) for fault in answer["faults"]] == [
        (5, 10, "sinks.a.url", True),
        (6, 5, "sinks.a.methd", False),
        (7, 14, "sinks.a.timeout", False),
    ]
    assert answer["faults"][1]["remedy"] == "did you mean method?"
    assert "hunter22" not in json.dumps(answer)


def test_the_file_may_be_named_by_the_environment(file, capsys, monkeypatch):
    file.write_text("sources: [{}]\nsinks: {a: {kind: stdout}}\n")
    monkeypatch.setenv("EVENTER_CONFIG", str(file))
    assert main(["check"]) == 0
    assert capsys.readouterr().out == f"{file}: ok\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("terminal", "environ", "coloured"),
    [
        (Terminal, {}, True),
        (Terminal, {"NO_COLOR": "1"}, False),
        (Terminal, {"NO_COLOR": ""}, True),
        (Terminal, {"TERM": "dumb"}, False),
        (io.StringIO, {}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(file, monkeypatch, terminal, environ, coloured):
    file.write_text(BAD)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    out = terminal()
    monkeypatch.setattr("sys.stdout", out)
    assert main(["check", "-c", str(file)]) == 78
    assert ("\x1b[" in out.getvalue()) is coloured


def test_nothing_in_a_file_can_move_the_terminal(file):
    file.write_text('sources: [{}]\nsinks: {a: {kind: "\\e[31m", "\\e[2J": 1}}\n"\\e]0;": 1\n')
    text = render("c\x1b.yaml", examine(file, {}), colour=False)
    assert all(character.isprintable() or character == "\n" for character in text)
