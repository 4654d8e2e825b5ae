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


TESTED = """\
sources: [{cluster: prod}]
filter:
  - keep: {namespace: kube-system}
  - drop: {type: Normal, reason: [Pulled, "/^Creat/"]}
sinks:
  chat:
    kind: stdout
    match: [{type: Warning, kind: "!Node"}, {reason: Killing}]
  archive: {kind: stdout}
tests:
"""


def test_tests_that_pass_are_counted(file, capsys):
    file.write_text(f"{TESTED}  - {{event: {{type: Warning}}, sinks: [archive, chat]}}\n")
    assert main(["check", "-c", str(file), "--test"]) == 0
    assert capsys.readouterr().out == f"{file}: ok\n{file}: 1 test, all passed\n"


def test_a_test_that_fails_says_what_decided(file, capsys):
    file.write_text(
        f"""{TESTED}
  - name: image pulls are noise
    event: {{type: Normal, reason: Pulled, kind: Pod, namespace: kube-system, name: dns-1}}
    filtered: true
  - event: {{type: Normal, reason: Created}}
    sinks: [archive]
  - event: {{type: Warning, kind: Node, name: n1, message: "disk\\nfull"}}
    sinks: [chat]
  - event: {{type: Normal, reason: Unhealthy}}
    filtered: true
  - event: {{origin: eventer, type: Warning}}
    filtered: true
  - event: {{type: Warning, reason: BackOff}}
    sinks: [archive]
  - event: {{type: Normal, reason: Unhealthy}}
    sinks: [archive]
"""
    )
    assert main(["check", "-c", str(file), "--test"]) == 1
    assert capsys.readouterr().out == (
        f"{file}: ok\n"
        f"{file}:12: tests[0]: image pulls are noise: failed\n"
        "    event     Normal Pulled of Pod kube-system/dns-1, cluster prod\n"
        "    expected  filtered\n"
        "    got       archive\n"
        "    filter[0] (line 3) keep {namespace: kube-system} matches:\n"
        "      namespace is kube-system\n"
        "\n"
        f"{file}:15: tests[1]: failed\n"
        "    event     Normal Created, cluster prod\n"
        "    expected  archive\n"
        "    got       filtered\n"
        "    filter[1] (line 4) drop {type: Normal, reason: [Pulled, '/^Creat/']} matches:\n"
        "      type is Normal\n"
        "      reason Created matches /^Creat/\n"
        "\n"
        f"{file}:17: tests[2]: failed\n"
        "    event     Warning of Node n1, cluster prod: disk\\nfull\n"
        "    expected  chat\n"
        "    got       archive\n"
        "    sinks.chat.match[0] (line 8) {type: Warning, kind: '!Node'} does not match:\n"
        "      kind is Node, which the rule excludes\n"
        "    sinks.chat.match[1] (line 8) {reason: Killing} does not match:\n"
        "      reason is empty; the rule wants Killing\n"
        "    sinks.archive has no match, so it gets every event\n"
        "\n"
        f"{file}:19: tests[3]: failed\n"
        "    event     Normal Unhealthy, cluster prod\n"
        "    expected  filtered\n"
        "    got       archive\n"
        "    no rule of the filter matches:\n"
        "    filter[0] (line 3) keep {namespace: kube-system} does not match:\n"
        "      namespace is empty; the rule wants kube-system\n"
        "    filter[1] (line 4) drop {type: Normal, reason: [Pulled, '/^Creat/']} does not match:\n"
        "      reason is Unhealthy; the rule wants Pulled or /^Creat/\n"
        "\n"
        f"{file}:21: tests[4]: failed\n"
        "    event     Warning, cluster prod\n"
        "    expected  filtered\n"
        "    got       archive, chat\n"
        "    Eventer's own records pass the filter unasked\n"
        "\n"
        f"{file}:23: tests[5]: failed\n"
        "    event     Warning BackOff, cluster prod\n"
        "    expected  archive\n"
        "    got       archive, chat\n"
        "    sinks.chat.match[0] (line 8) {type: Warning, kind: '!Node'} matches:\n"
        "      type is Warning\n"
        "      kind is empty, which is not Node\n"
        "\n"
        f"{file}: 7 tests, 6 failed\n"
    )


def test_programs_get_the_tests_as_json(file, capsys):
    file.write_text(
        f"{TESTED}  - {{event: {{}}, sinks: [archive], name: bare}}\n  - {{event: {{type: Warning}}, sinks: []}}\n"
    )
    assert main(["check", "-c", str(file), "--test", "--output", "json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    good, bad = answer["tests"]
    assert (good["name"], good["ok"], good["line"], good["why"]) == ("bare", True, 11, [])
    assert (bad["path"], bad["ok"], bad["expected"], bad["got"]) == (
        "tests[1]",
        False,
        "kept, for no sink",
        "archive, chat",
    )
    assert bad["why"][0] == "sinks.chat.match[0] (line 8) {type: Warning, kind: '!Node'} matches:"


def test_a_filter_without_rules_is_named_as_the_reason(file, capsys):
    file.write_text("sources: [{}]\nsinks: {a: {kind: stdout}}\ntests: [{event: {}, filtered: true}]\n")
    assert main(["check", "-c", str(file), "--test"]) == 1
    assert "    the filter has no rules\n" in capsys.readouterr().out


def test_a_file_without_tests_says_so(file, capsys):
    file.write_text("sources: [{}]\nsinks: {a: {kind: stdout}}\n")
    assert main(["check", "-c", str(file), "--test"]) == 0
    assert "there are no tests; write them in the section tests:" in capsys.readouterr().out


def test_tests_of_a_file_with_faults_are_not_run(file, capsys):
    file.write_text(BAD + "tests: [{event: {}, filtered: true}]\n")
    assert main(["check", "-c", str(file), "--test"]) == 78
    assert capsys.readouterr().out.endswith(f"{file}: 2 faults, 1 warning\n")
    assert main(["check", "-c", str(file), "--test", "--output", "json"]) == 78
    assert json.loads(capsys.readouterr().out)["tests"] is None


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
