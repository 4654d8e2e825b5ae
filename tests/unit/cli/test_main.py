import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from eventer.cli import COMMANDS, EXIT_CODES, main

ROOT = Path(__file__).parents[3]


def run(*words, **environ):
    return subprocess.run(
        [sys.executable, "-m", "eventer", *words], capture_output=True, text=True, check=False, env=os.environ | environ
    )


def test_help_begins_with_examples_and_names_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.index("examples:") < text.index("options:")
    for name, summary in COMMANDS.items():
        assert name in text
        assert summary in text
    assert "78" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_begins_with_examples_and_ends_with_exit_codes(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    usage, _, text = capsys.readouterr().out.partition("examples:\n")
    assert usage.startswith(f"usage: eventer {name}")
    examples, _, rest = text.partition("\n\n")
    assert examples
    assert all(f"eventer {name}" in line for line in examples.splitlines())
    codes = re.findall(r"(?:exit codes: |, )(\d+) \w", rest.splitlines()[-1])
    assert {0, 2} <= set(map(int, codes)) <= set(EXIT_CODES)


def test_the_exit_codes_are_documented():
    table = (
        (ROOT / "docs/operations.md").read_text(encoding="utf-8").partition("## Exit codes\n")[2].partition("\n## ")[0]
    )
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == list(EXIT_CODES)


@pytest.mark.parametrize("words", [[], ["chek"], ["check", "--nope"], ["check", "--output", "xml"]])
def test_wrong_usage_ends_with_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: eventer" in capsys.readouterr().err


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("eventer ")


def test_the_module_is_the_command(tmp_path):
    done = run("check", "-c", str(tmp_path / "none"))
    assert done.returncode == 78
    assert "there is no such file" in done.stdout


def test_a_command_imports_no_other_command(tmp_path):
    code = (
        "import sys; from eventer.cli import main; main(['check', '-c', 'none']);"
        "print([name for name in sys.modules if name.startswith(('eventer.cli.run', 'eventer.cli.demo', 'eventer.app',"
        " 'kubernetes_asyncio', 'httpx', 'jinja2', 'eventer.config.generate'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.getcwd())
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_daemon_imports_nothing_that_only_people_look_at():
    code = (
        "import sys; sys.modules['rich'] = None;"  # structlog imports it where it finds it, and goes without
        "import eventer.cli.run, eventer.app; from eventer.cli import main; main(['run', '-c', 'none']);"
        "print([name for name in sys.modules if name.split('.')[0] in ('click', 'typer', 'shtab', 'pygments')"
        " or name.startswith(('eventer.cli.explain', 'eventer.cli.trial', 'eventer.cli.completion',"
        " 'eventer.config.generate', 'eventer.config.route', 'eventer.demo'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.getcwd())
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_terminal_without_unicode_gets_escapes(tmp_path):
    (tmp_path / "c.yaml").write_text("sources: [{}]\nsinks: {a: {kind: stdout, ümlaut: ü}}\n", encoding="utf-8")
    done = run("check", "-c", str(tmp_path / "c.yaml"), PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 78
    assert '"\\xfcmlaut" is not known here' in done.stdout


def test_a_reader_that_goes_away_is_no_crash(tmp_path):
    keys = "".join(f"key{number}: 1\n" for number in range(5000))
    (tmp_path / "c.yaml").write_text(f"sources: [{{}}]\nsinks: {{a: {{kind: stdout}}}}\n{keys}")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "eventer", "check", "-c", str(tmp_path / "c.yaml")],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
