"""What can be wrong with one option: said once, at its place, in plain words."""

import pytest

from eventer.config.load import load
from eventer.errors import ConfigError

pytestmark = pytest.mark.usefixtures("fake_kinds")

FAKE = "sources: [{}]\nsinks:\n  a:\n    kind: fake\n    token: ${T}\n"
"""Lines 1 to 5; what a test adds to the sink begins in line 6."""
ENVIRON = {"T": "secret-token", "EMPTY": "", "BAD": "\udcff", "RULE": "/(/"}


# What is added to the sink in line 6; path below it; parts of the message; part of the remedy.
IN_A_SINK = [
    ("colur: red", "colur", '"colur" is not known here', "did you mean colour?"),
    ("Colour: red", "Colour", '"Colour" is not known here', "did you mean colour?"),
    ("zzz: red", "zzz", '"zzz" is not known here', "known here: kind, match"),
    ("tokenFile: red", "tokenFile", "is not known here", "did you mean token_file?"),
    ("count: 0", "count", "expected a whole number from 1 to 10, got 0", ""),
    ("count: 11", "count", "expected a whole number from 1 to 10, got 11", ""),
    ("count: 010", "count", "got 010", ""),
    ("count: 1:30", "count", "got 1:30", ""),
    ("count: 1.5", "count", "expected a whole number from 1 to 10, got 1.5", ""),
    ("count: abc", "count", "got abc", ""),
    ("count: [1]", "count", "got a list", ""),
    ("count:", "count", "got nothing", ""),
    ('count: "3"', "count", "expected a whole number from 1 to 10, got a text", "write it without quotes: 3"),
    ("count: ${T}", "count", "got ${T}", ""),
    ("count: " + "9" * 5000, "count", "from 1 to 10, got 999", ""),
    ("ratio: 1", "ratio", "expected a number between 0 and 1, got 1", ""),
    ("ratio: .nan", "ratio", "got .nan", ""),
    ("flag: maybe", "flag", "expected true or false, got maybe", ""),
    ("flag: 1", "flag", "expected true or false, got 1", ""),
    ("colour: gren", "colour", "expected red or green, got gren", "did you mean green?"),
    ("mode: no", "mode", "YAML reads no as true or false", 'write it in quotes: "no"'),
    ("text: on", "text", "at most 5 characters, but YAML reads on as true or false", 'write it in quotes: "on"'),
    ("text: 12:30", "text", "YAML reads 12:30 as a number", 'write it in quotes: "12:30"'),
    ("text: 2024-01-01", "text", "YAML reads 2024-01-01 as a date", 'write it in quotes: "2024-01-01"'),
    ("text: =", "text", "YAML reads = as something else", "quotes"),
    ("text: too long", "text", "expected a text of at most 5 characters, got too long", ""),
    ("text: {a: b}", "text", "got a mapping", ""),
    ("text: ${NOPE}", "text", "the variable NOPE is not set", "set NOPE, or write $${NOPE}"),
    ("text: ${BAD}", "text", "the variable BAD is not valid UTF-8", ""),
    ("text: ${A-B}", "text", "how a shell gives A a default", "write ${A} and set the variable"),
    ("text: ${A", "text", "${ begins no variable here", ""),
    ('text: "\\ud800"', "text", "lone surrogate", ""),
    ("text: !x y", "text", "YAML tags", "without it"),
    ("text: !!binary aGk=", "text", "YAML tags", ""),
    ("tags: a", "tags", "expected a list, got a single value", ""),
    ("tags: [a, no]", "tags[1]", "YAML reads no as true or false", 'write it in quotes: "no"'),
    ("pair: [a, b, c]", "pair", "expected a list of at most 2 items, got a list", ""),
    ("headers: {X: 1}", "headers.X", "YAML reads 1 as a number", 'write it in quotes: "1"'),
    ('headers: {"a b": 1}', 'headers."a b"', "YAML reads 1 as a number", ""),
    ("headers: {? [a] : b}", "headers", "a key must be a word", ""),
    ("headers: {a: b, a: c}", "headers.a", "this key is given twice, first in line 6", "keep one"),
    ('headers: {"${T}": b}', 'headers."${T}"', "in values only, not in keys", ""),
    ("equals: no", "equals", "YAML reads no as true or false", 'write it in quotes: "no"'),
    ("equals: [a]", "equals", "got a list", ""),
    ("rules: [{type: a}, {tipe: b}]", "rules[1].tipe", "'tipe' is no field to match on", "did you mean type?"),
    ("rules: warning", "rules", "got a single value", ""),
    ("layout: {a: [no]}", "layout.a[0]", "YAML reads no as true or false", ""),
    ("wait: 30", "wait", "'30' is no duration", "write for example 30s"),
    ("wait: 12:30", "wait", "'12:30' is no duration", ""),
    ("wait: ${T}", "wait", "expected a duration such as 30s, 5m or 1h30m, got ${T}", ""),
    (f"wait: {'9' * 400}h", "wait", "is longer than a century", "write for example 30s"),
    ("room: 1 PB", "room", "'1 PB' is no size", "64MiB"),
    (f"room: {'9' * 400}", "room", "is larger than any disk", "64MiB"),
    ("login: {user: joe}", "login.password", "password is missing", "password_file"),
    ("login: {user: root, password: '${T}'}", "login.user", "root is not welcome", "use another user"),
    ("login: joe", "login", "expected a mapping, got a single value", ""),
    ("token_file: x", "token_file", "token and token_file are both given", "keep one"),
    ("keys: {a: '${EMPTY}'}", "keys.a", "the secret is empty", ""),
    ("keys: {a: 1234}", "keys.a", "YAML reads this as a number", "write it in quotes"),
    ("keys: {a: [b]}", "keys.a", "expected a text, got a list", ""),
    ("keys: {a: }", "keys.a", "got nothing", ""),
    ("mode: fast\n    count: 6", "mode", "fast allows a count of 5 at most", "write `count: 5`"),
    ("match: {type: a}", "match", "expected a list, got a mapping", ""),
    ("match: [{type: [a, no]}]", "match[0].type[1]", "but YAML reads no as true or false", 'quotes: "no"'),
    ("match: [{status: True}]", "match[0].status", "but YAML reads True as true or false", 'in quotes: "True"'),
    ("match: [{status: [Unknown, false]}]", "match[0].status[1]", "YAML reads false as", 'in quotes: "False"'),
    ("match: [{type: {a: b}}]", "match[0].type", "expected a word, a list of words, or a /regular", ""),
    ("match: [{type: []}]", "match[0].type", "an empty list matches nothing", "leave the field out"),
    ('match: [{type: "/(/"}]', "match[0].type", "is no regular expression", "backslash"),
    ('match: [{name: "/(a+)+/"}]', "match[0].name", "repeats a repeat", "simpler"),
    ('match: [{name: "${RULE}"}]', "match[0].name", 'what "${RULE}" stands for cannot be used', ""),
    ("match: [{labels: shop}]", "match[0].labels", "labels takes a mapping", "labels: {team"),
    ("match: [{labels: {a: no}}]", "match[0].labels.a", "YAML reads no as", ""),
    ("match: [{name: '${NOPE}'}]", "match[0].name", "the variable NOPE is not set", ""),
    (f'match: [{{name: "/{"(" * 300}{")" * 300}/"}}]', "match[0].name", "nested too deeply", "simpler"),
    ("batch: {count: 0}", "batch.count", "expected a whole number from 1 to 10000, got 0", ""),
    ("<<: [a]", "<<", "<< merges mappings only", "*name"),
    ("<<: a", "<<", "<< merges mappings only", "*name"),
]


def errors_of(path):
    with pytest.raises(ConfigError) as caught:
        load(path, ENVIRON)
    return [fault for fault in caught.value.faults if not fault.warning]


@pytest.mark.parametrize(("line", "path", "message", "remedy"), IN_A_SINK, ids=[row[0][:30] for row in IN_A_SINK])
def test_a_fault_in_a_sink_is_said_once_at_its_place(write, line, path, message, remedy):
    faults = errors_of(write(f"{FAKE}    {line}\n"))
    fault = faults[0]
    assert (fault.line, fault.path) == (6, f"sinks.a.{path}")
    assert message in fault.message
    assert remedy in fault.remedy
    assert len(faults) == 1
    for word in ("str", "int", "NoneType", "Node", "dict", "tag:yaml"):
        assert f"'{word}'" not in fault.message
        assert "<class" not in fault.message


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("count: abc", "write a whole number from 1 to 10"),
        ("count:", "give it a value, or remove it"),
        ("count: ${T}", "set T to a whole number from 1 to 10"),
        ("login: joe", "write a mapping with user, password"),
    ],
)
def test_what_was_not_expected_has_a_remedy(write, line, remedy):
    (fault,) = errors_of(write(f"{FAKE}    {line}\n"))
    assert fault.remedy == remedy
