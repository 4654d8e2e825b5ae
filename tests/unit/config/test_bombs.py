"""Files made to keep the reader busy: YAML that unfolds, and regular expressions that never come back.

Nothing here measures time. What is bounded is counted, and what could hang runs in a process of its own,
with a deadline that is a hundred times what it needs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from eventer.config import notes
from eventer.config.document import DEPTH, MAX_BYTES, NODES
from eventer.config.load import examine
from eventer.patterns import TEXT_CAP, compile_pattern

DEADLINE: Final = 120
"""Seconds for a whole process. Without the refusals, any one of the expressions takes longer than that."""
BEGIN: Final = "sources: [{}]\nsinks: {screen: {kind: stdout}}\n"


def laughs(levels: int, width: int) -> str:
    """Lists of lists of lists, each a line: `width ** levels` values of a few kilobytes."""
    lines = [f"x0: &x0 [{', '.join(['lol'] * width)}]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def mappings(levels: int, width: int) -> str:
    """The same with mappings, merged by `<<` as well."""
    lines = [f"m0: &m0 {{{', '.join(f'k{n}: v' for n in range(width))}}}"]
    for n in range(1, levels):
        lines.append(f"m{n}: &m{n}\n  <<: [{', '.join([f'*m{n - 1}'] * width)}]\n  k: *m{n - 1}")
    return "\n".join(lines) + "\n"


BOMBS: Final[dict[str, Callable[[], str]]] = {
    "billion-laughs": lambda: laughs(9, 9) + BEGIN + "filter: *x8\n",
    "billion-laughs-in-a-rule": lambda: laughs(9, 9) + BEGIN + "filter: [{drop: {reason: *x8}}]\n",
    "billion-laughs-in-labels": lambda: mappings(9, 9) + "sources: [{labels: *m8}]\nsinks: {screen: {kind: stdout}}\n",
    "quadratic": lambda: laughs(1, 20_000) + BEGIN + f"filter: [{', '.join(['{drop: {reason: *x0}}'] * 2_000)}]\n",
    "merged-bombs": lambda: mappings(12, 12) + "log:\n  <<: *m11\n" + BEGIN,
    "itself": lambda: BEGIN + "filter: &f [*f, *f, *f]\n",
    "itself-in-a-mapping": lambda: "tests: &t [{event: {labels: {a: b}}, sinks: *t}]\n" + BEGIN,
    "merged-with-itself": lambda: BEGIN + "log: &l\n  <<: [*l, *l]\n  level: info\n  bad: 1\n",
    "each-merges-the-other": lambda: BEGIN + "log: &a {level: info, x: &b {<<: *a, y: &c {<<: [*a, *b]}}}\n",
    "deep-lists": lambda: BEGIN + "filter: " + "[" * 100_000,
    "deep-mappings": lambda: BEGIN + "filter: " + "{a: " * 100_000,
    "deep-by-indentation": lambda: BEGIN + "\n".join(f"{' ' * n}a:" for n in range(1_000)),
    "many-keys": lambda: BEGIN + "\n".join(f"k{n}: v" for n in range(60_000)),
    "one-key-again-and-again": lambda: BEGIN + "log: debug\n" * 20_000,
    "many-anchors": lambda: BEGIN + "\n".join(f"k{n}: &k{n} v" for n in range(40_000)),
    "many-documents": lambda: BEGIN + "---\n" * 100_000,
    "a-huge-number": lambda: BEGIN + f"log: {{level: {'9' * 900_000}}}\n",
    "a-huge-float": lambda: "sources: [{kubernetes: {audit: 1" + "0" * 500_000 + "h}}]\nsinks: {a: {kind: stdout}}\n",
    "a-huge-key": lambda: BEGIN + f"? {'k' * 900_000}\n: v\n",
    "a-huge-word-misspelt": lambda: BEGIN + f"{'sinks' * 200}: v\n" * 50,
    "variables": lambda: "sources: [{cluster: '" + "${" * 400_000 + "'}]\nsinks: {a: {kind: stdout}}\n",
    "too-large": lambda: BEGIN + "#" * MAX_BYTES,
    "binary": lambda: BEGIN + "x: !!binary " + "A" * 900_000 + "\n",
    "escapes": lambda: BEGIN + 'x: "' + "\\x41" * 200_000 + '"\n',
    "quotes": lambda: BEGIN + "x: " + "'" * 900_000,
    "comments": lambda: BEGIN + "# x\n" * 200_000 + "x: 1\n",
}
"""Each below or at the limit of the size, and each a fault."""

READ: Final = """
import sys
from pathlib import Path
from eventer.config.load import examine
for name in sys.argv[1:]:
    examined = examine(Path(name), {})
    assert examined.config is None, name
    for fault in examined.faults:
        examined.excerpt(fault.line or 1)
    print(Path(name).stem, max(len(fault.message) + len(fault.remedy) for fault in examined.faults))
"""


def test_x11_yaml_bombs_are_refused(tmp_path: Path) -> None:
    """All of them, by a process that may use no more than 600 MiB, and before its deadline."""
    files = []
    for name, make in BOMBS.items():
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text(make())
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, (600 << 20,) * 2)\n{READ}"
    done = subprocess.run(
        [sys.executable, "-c", limit, *map(str, files)], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, done.stderr
    told = dict(line.split() for line in done.stdout.splitlines())
    assert set(told) == set(BOMBS)
    assert max(map(int, told.values())) < 3_000  # no message repeats what the file is full of


@pytest.mark.parametrize("name", ["billion-laughs-in-labels", "quadratic", "itself", "merged-bombs"])
def test_x11_no_more_values_are_visited_than_a_file_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    visits = 0
    counted = notes.Notes.count

    def count(self: notes.Notes, place: notes.Place) -> None:
        nonlocal visits
        visits += 1
        counted(self, place)

    monkeypatch.setattr(notes.Notes, "count", count)
    file = tmp_path / "bomb.yaml"
    file.write_text(BOMBS[name]())
    assert examine(file, {}).config is None
    assert visits <= NODES + 1
    assert sys.getrecursionlimit() // 10 > DEPTH


HOSTILE: Final = {
    # expression: what it backtracks on
    "(a+)+$": "a" * 60 + "!", "(a*)*b": "a" * 60, "(a|a)*$": "a" * 60 + "!", "(a|aa)+$": "a" * 60 + "!",
    "(.*a){20}": "a" * 200 + "!", "([a-zA-Z]+)*$": "a" * 60 + "1", "^(([a-z])+.)+[A-Z]([a-z])+$": "a" * 60,
    r"(\w+\s*)+:": "a " * 60, r"(\d+)*x": "1" * 60, "((a{1,9}){9}){9}x": "a" * 200, "(a{1,30}){1,30}x": "a" * 200,
    "(a?){40}a{40}": "a" * 39, "(a?a?){30}b": "a" * 60, "(x+x+)+y": "x" * 60, "(?:a|b|ab)+c": "ab" * 40,
    "(.+)+@": "x" * 60, r"^(\s*\w*)*!$": "a" * 60, "(?=(a+)+b)c": "a" * 60, "((a*)*)*b": "a" * 60,
    "(a+){2,}b": "a" * 60, "(?P<x>a+)+b": "a" * 60, "(?:(?:a{0,9}){0,9}){0,9}b": "a" * 200,
    "(a|b|(a|b)+)+c": "ab" * 40, r"(\S+\s?)+$": "a" * 60 + "\n\n", "(?i:(fo|FO)+)b": "a" * 60,
    ".*.*.*=": "x" * TEXT_CAP, "a*a*a*a*b": "a" * TEXT_CAP, r"\d+\d+\d+x": "1" * TEXT_CAP, ".*a.*b.*c.*d": "abc" * 1300,
    r"(.*)(.*)(.*)\d": "x" * TEXT_CAP, "[a-z]*[a-y]*[a-x]*!": "a" * TEXT_CAP,
    r"(.*).*\1b": "a" * TEXT_CAP, r"(.+)(.+)\1\2c": "a" * TEXT_CAP, "a?" * 30 + "b": "a" * 60, "(a|a)" * 30 + "c": "a" * 60,
    "a{0,60}a{0,60}a{0,60}a{0,60}b": "a" * TEXT_CAP, ".*a{0,900}b": "a" * TEXT_CAP,
    "(" * 500 + ")" * 500: "", "a{1,65000}{1,65000}": "a", "|".join(["x"] * 2000): "x",
}  # fmt: skip
"""From OWASP's page on ReDoS, reports about other programs, and the shapes that our own check knows."""
TAKEN: Final = {
    # what people write, on what is worst for it
    "BackOff": "x" * TEXT_CAP, "^Failed": "F" * TEXT_CAP, "(?i)oom|out of memory": "out of memor" * 340,
    "[^/]+/[^/]+/[^/]+:": "a/" * 2000, r"^\S+ is \S+ on \S+$": "x " * 2000, r"(\d{1,3}\.){3}\d{1,3}": "1.1.1." * 680,
    "^web-[0-9a-f]{5,10}$": "web-" + "f" * 4000, "back-off .*restarting": "back-off " * 450,
    "(timeout|deadline|refused)$": "timeout" * 580, r"exit code [1-9]\d*": "exit code " * 400, "a.*b": "a" * TEXT_CAP,
    # with two open repeats: minutes, if they saw as much of the text as the others
    "(.*)(.*)5": "x" * TEXT_CAP, "(?i)a.*a.*b": "a" * TEXT_CAP, r".*\s+x": " " * TEXT_CAP,
}  # fmt: skip


@pytest.mark.parametrize("pattern", HOSTILE, ids=lambda pattern: pattern[:30])
def test_x10_expressions_that_could_take_for_ever_are_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(ValueError, match="; "):
        compile_pattern(pattern)
    file = tmp_path / "c.yaml"
    quoted = f"'/{pattern}/'"
    file.write_text(f"{BEGIN}filter:\n  - drop: {{message: {quoted}}}\nredact:\n  - pattern: {quoted}\n")
    faults = [fault for fault in examine(file, {}).faults if not fault.warning]
    assert [fault.path for fault in faults] == ["filter[0].drop.message", "redact[0].pattern"]
    assert all(fault.remedy for fault in faults)


MATCH: Final = """
import sys
from eventer.match import Rule
from tests.helpers.sinks import make_event
pairs = list(zip(sys.argv[1::2], sys.argv[2::2]))
for pattern, text in pairs:
    Rule.parse({"message": f"/{pattern}/"}).matches(make_event(message=text * 300))  # far beyond what is looked at
print(len(pairs))
"""


def test_x10_expressions_that_are_taken_come_back() -> None:
    argv = [each for pair in TAKEN.items() for each in pair]
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", MATCH, *argv], capture_output=True, text=True, timeout=DEADLINE, check=False, cwd=root
    )
    assert done.stdout.split() == [str(len(TAKEN))], done.stderr
