"""Whole files: what is right is read, and everything that is wrong is said at its place."""

import math
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yaml import safe_dump

from eventer.cli.check import render
from eventer.config.load import DEFAULT_PATH, config_path, examine, load
from eventer.config.types import Listen
from eventer.errors import ConfigError, Fault
from eventer.event import Origin
from eventer.values import Duration, Secret
from tests.helpers.sinks import make_event

pytestmark = pytest.mark.usefixtures("fake_kinds")

CANARY = "kanarie-7d1f9b"
FAKE = "sources: [{}]\nsinks:\n  a:\n    kind: fake\n    token: ${T}\n"
"""Lines 1 to 5; what a test adds to the sink begins in line 6."""
ENVIRON = {"T": "secret-token", "FIVE": "5", "YES": "true", "EMPTY": "", "BAD": "\udcff", "RULE": "/(/", "TEXT": "a: [b"}


def faults_of(path, environ=ENVIRON):
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return caught.value.faults


def errors_of(path):
    return [fault for fault in faults_of(path) if not fault.warning]


def test_a_minimal_file_has_every_default(write):
    loaded = load(write("sources: [{}]\nsinks: {screen: {kind: stdout}}\n"), {})
    config = loaded.config
    (source,) = config.sources
    assert (source.cluster, source.labels, source.kubernetes.namespaces) == (None, {}, [])
    assert source.kubernetes.start == math.inf
    assert source.kubernetes.event_ttl == 3600
    assert source.kubernetes.audit == 6 * 3600
    assert source.kubernetes.api == "core"
    assert list(config.sinks) == ["screen"]
    assert config.sinks["screen"].start == "head"
    assert config.filter == []
    assert (config.state.path, config.state.max_size, config.state.max_age) == ("/var/lib/eventer", 1 << 30, 86_400)
    assert config.server.listen == Listen(port=8080)
    assert (config.log.level, config.log.format) == ("info", "json")
    assert loaded.warnings == []


def test_everything_that_is_written_arrives(write):
    config = load(
        write(
            dedent("""\
            sources:
              - cluster: one
                labels: {region: "no"}
                kubernetes: {kubeconfig: k, context: c, namespaces: [shop, web-1], api: events, start: 1h30m}
              - cluster: two
                kubernetes: {start: now, event_ttl: 2h, audit: 10m}
            filter:
              - keep: {reason: ["/^Back/", "!BackOff"]}
              - drop: {}
            sinks:
              a:
                kind: fake
                token: ${T}
                login: {user: joe, password: "${T}"}
                count: 7
                ratio: 0.125
                flag: true
                colour: green
                mode: safe
                text: "12:30"
                tags: [a, "1"]
                unique: [1, 2, 2]
                equals: 0
                layout: {a: [1, 1.5, true, null, text]}
                wait: 250ms
                room: 4096
                from: oldest
                batch: {count: 10, bytes: 64KiB, age: 1s}
                timeout: 3s
                match: [{type: Warning}]
            state: {path: s, max_size: 64MiB, max_age: 1h}
            server: {listen: "[::1]:9"}
            log: {level: debug, format: console}
            """)
        ),
        ENVIRON,
    ).config
    one, two = config.sources
    assert (one.cluster, one.labels) == ("one", {"region": "no"})
    assert (one.kubernetes.kubeconfig, one.kubernetes.context) == ("k", "c")
    assert (one.kubernetes.namespaces, one.kubernetes.api) == (["shop", "web-1"], "events")
    assert (one.kubernetes.start, two.kubernetes.start) == (5400, 0)
    assert (two.kubernetes.event_ttl, two.kubernetes.audit) == (7200, 600)
    assert [rule.keeps for rule in config.filter] == [True, False]
    assert [rule.rule.matches(make_event(reason="Backwards")) for rule in config.filter] == [True, True]
    assert [rule.rule.matches(make_event(reason="BackOff")) for rule in config.filter] == [False, True]
    sink = config.sinks["a"]
    assert sink.token.reveal() == sink.login.password.reveal() == "secret-token"
    assert (sink.count, sink.ratio, sink.flag, sink.colour) == (7, 0.125, True, "green")
    assert (sink.text, sink.tags, sink.unique, sink.equals) == ("12:30", ["a", "1"], frozenset({1, 2}), 0)
    assert sink.layout == {"a": [1, 1.5, True, None, "text"]}
    assert (sink.wait, sink.room, sink.start, sink.timeout) == (0.25, 4096, "oldest", 3)
    assert (sink.batch.count, sink.batch.bytes, sink.batch.age) == (10, 65_536, 1)
    assert sink.match[0].matches(make_event(type="Warning"))
    assert (config.state.path, config.state.max_size, config.state.max_age) == ("s", 64 << 20, 3600)
    assert config.server.listen == Listen(host="::1", port=9)
    assert (config.log.level, config.log.format) == ("debug", "console")


SINK = "sinks.a."
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
    ("text: ${A-B}", "text", "${ begins no variable here", "write ${NAME}"),
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
    (f"wait: {'9' * 400}h", "wait", "expected a duration", ""),
    ("room: 1 PB", "room", "'1 PB' is no size", "64MiB"),
    (f"room: {'9' * 400}", "room", "expected a size", ""),
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
    ("match: [{type: {a: b}}]", "match[0].type", "expected a word, a list of words, or a /regular", ""),
    ("match: [{type: []}]", "match[0].type", "an empty list matches nothing", "leave the field out"),
    ('match: [{type: "/(/"}]', "match[0].type", "is no regular expression", "simpler"),
    ('match: [{name: "/(a+)+/"}]', "match[0].name", "repeats a repeat", "simpler"),
    ('match: [{name: "${RULE}"}]', "match[0].name", 'what "${RULE}" stands for cannot be used', ""),
    ("match: [{labels: shop}]", "match[0].labels", "labels takes a mapping", "labels: {team"),
    ("match: [{labels: {a: no}}]", "match[0].labels.a", "YAML reads no as", ""),
    ("match: [{name: '${NOPE}'}]", "match[0].name", "the variable NOPE is not set", ""),
    (f'match: [{{name: "/{"(" * 300}{")" * 300}/"}}]', "match[0]", "nested too deeply", "simpler"),
    ("batch: {count: 0}", "batch.count", "expected a whole number from 1 to 10000, got 0", ""),
    ("<<: [a]", "<<", "<< merges mappings only", "*name"),
    ("<<: a", "<<", "<< merges mappings only", "*name"),
]


@pytest.mark.parametrize(("line", "path", "message", "remedy"), IN_A_SINK, ids=[row[0][:30] for row in IN_A_SINK])
def test_a_fault_in_a_sink_is_said_once_at_its_place(write, line, path, message, remedy):
    faults = errors_of(write(f"{FAKE}    {line}\n"))
    fault = faults[0]
    assert (fault.line, fault.path.removeprefix(SINK)) == (6, path)
    assert message in fault.message
    assert remedy in fault.remedy
    assert len(faults) == 1
    for word in ("str", "int", "NoneType", "Node", "dict", "tag:yaml"):
        assert f"'{word}'" not in fault.message
        assert "<class" not in fault.message


GOOD_SINK = "sinks: {a: {kind: stdout}}\n"
GOOD_SOURCE = "sources: [{}]\n"
# The file; line, column, path of its fault; parts of message and remedy.
WHOLE = [
    ("", None, None, "", "the file is empty", "sources and sinks"),
    ("# nothing\n", None, None, "", "the file is empty", ""),
    ("- a\n", 1, 1, "", "expected a mapping, got a list", ""),
    (GOOD_SINK, 1, 1, "sources", "sources is missing", "add sources"),
    (GOOD_SOURCE, 1, 1, "sinks", "sinks is missing", "add sinks"),
    (GOOD_SOURCE + "sinks: {}\n", 2, 8, "sinks", "expected a mapping of at least 1 entry, got an empty mapping", ""),
    (GOOD_SOURCE + "sinks:\n", 2, 7, "sinks", "got nothing", ""),
    (GOOD_SINK + "sources: []\n", 2, 10, "sources", "expected a list of at least 1 item, got an empty list", ""),
    (GOOD_SINK + "sources: {}\n", 2, 10, "sources", "got an empty mapping", ""),
    (GOOD_SINK + GOOD_SOURCE + "sink: 1\n", 3, 1, "sink", '"sink" is not known here', "did you mean sinks?"),
    (GOOD_SOURCE + "sinks: {A: {kind: stdout}}\n", 2, 9, "sinks.A", '"A" is no name for a sink', "small letters"),
    (GOOD_SOURCE + "sinks: {a-: {kind: stdout}}\n", 2, 9, "sinks.a-", "is no name for a sink", ""),
    (GOOD_SOURCE + "sinks: {a: stdout}\n", 2, 12, "sinks.a", "expected a mapping, got a single value", ""),
    (GOOD_SOURCE + "sinks: {a: {}}\n", 2, 9, "sinks.a.kind", "kind is missing", "stdout"),
    (GOOD_SOURCE + "sinks: {a: {kind: stdot}}\n", 2, 19, "sinks.a.kind", "'stdot' is no kind", "did you mean stdout?"),
    (GOOD_SOURCE + "sinks: {a: {kind: '%%'}}\n", 2, 19, "sinks.a.kind", "'%%' is no kind", "known kinds: broken, fake"),
    (GOOD_SOURCE + "sinks: {a: {kind: no}}\n", 2, 19, "sinks.a.kind", "YAML reads no as", 'quotes: "no"'),
    (GOOD_SOURCE + "sinks: {a: {kind: needy}}\n", 2, 19, "sinks.a.kind", "no_such_library, which is not installed", 'pip install "eventer[needy]"'),
    (GOOD_SOURCE + "sinks: {a: {kind: broken}}\n", 2, 19, "sinks.a.kind", "out of order", "repair or remove"),
    (GOOD_SOURCE + "sinks: {a: {kind: hollow}}\n", 2, 19, "sinks.a.kind", "has no Config", "update"),
    (GOOD_SOURCE + GOOD_SINK + "filter: [{}]\n", 3, 10, "filter[0]", "either drop or keep", "- drop: {type: Normal}"),
    (GOOD_SOURCE + GOOD_SINK + "filter: [{drop: {}, keep: {}}]\n", 3, 10, "filter[0]", "either drop or keep", ""),
    (GOOD_SOURCE + GOOD_SINK + "filter: [{drop: }]\n", 3, 10, "filter[0]", "either drop or keep", ""),
    (GOOD_SOURCE + GOOD_SINK + "filter: [{drop: [{}]}]\n", 3, 17, "filter[0].drop", "expected a rule such as {type: Warning}, got a list", ""),
    (GOOD_SOURCE + GOOD_SINK + "filter: {drop: {}}\n", 3, 9, "filter", "expected a list, got a mapping", ""),
    (GOOD_SINK + "sources: [{cluster: ''}]\n", 2, 21, "sources[0].cluster", "expected a text of 1 to 253 characters", ""),
    (GOOD_SINK + "sources: [{cluster: 12}]\n", 2, 21, "sources[0].cluster", "YAML reads 12 as a number", 'quotes: "12"'),
    (GOOD_SINK + "sources: [{labels: {a: 1}}]\n", 2, 24, "sources[0].labels.a", "YAML reads 1 as a number", ""),
    (GOOD_SINK + "sources: [{kubernetes: {start: soon}}]\n", 2, 32, "sources[0].kubernetes.start", "'soon' is no start", "all, now, or a duration"),
    (GOOD_SINK + "sources: [{kubernetes: {event_ttl: 0s}}]\n", 2, 36, "sources[0].kubernetes.event_ttl", "longer than nothing", "1h"),
    (GOOD_SINK + "sources: [{kubernetes: {audit: 0s}}]\n", 2, 32, "sources[0].kubernetes.audit", "longer than nothing", ""),
    (GOOD_SINK + "sources: [{kubernetes: {api: v1}}]\n", 2, 30, "sources[0].kubernetes.api", "expected core or events, got v1", ""),
    (GOOD_SINK + "sources: [{kubernetes: {namespaces: ['a*']}}]\n", 2, 38, "sources[0].kubernetes.namespaces[0]", "'a*' is no name of a namespace", "no patterns"),
    (GOOD_SINK + "sources: [{cluster: a}, {cluster: a}]\n", 2, 35, "sources[1].cluster", "is that of sources[0] as well", "a name of its own"),
    (GOOD_SINK + "sources: [{cluster: a}, {labels: {}}]\n", 2, 25, "sources[1].cluster", "with several sources each needs a name", ""),
    (GOOD_SOURCE + GOOD_SINK + "state: {max_size: 1MiB}\n", 3, 19, "state.max_size", "too small", "16MiB"),
    (GOOD_SOURCE + GOOD_SINK + "state: {max_age: 0s}\n", 3, 18, "state.max_age", "longer than nothing", ""),
    (GOOD_SOURCE + GOOD_SINK + "state: {path: ''}\n", 3, 15, "state.path", "at least 1 character", ""),
    (GOOD_SOURCE + GOOD_SINK + "server: {listen: 8080}\n", 3, 18, "server.listen", "'8080' is no address", ":8080"),
    (GOOD_SOURCE + GOOD_SINK + "server: {listen: ':x'}\n", 3, 18, "server.listen", "':x' is no address", ""),
    (GOOD_SOURCE + GOOD_SINK + "server: {listen: ':65536'}\n", 3, 18, "server.listen", "is no address", ""),
    (GOOD_SOURCE + GOOD_SINK + "server: {listen: '::1:80'}\n", 3, 18, "server.listen", "is no address", ""),
    (GOOD_SOURCE + GOOD_SINK + "server: {listen: '[x]:80'}\n", 3, 18, "server.listen", "is no address", ""),
    (GOOD_SOURCE + GOOD_SINK + "log: {level: warn}\n", 3, 14, "log.level", "got warn", "did you mean warning?"),
    (GOOD_SOURCE + GOOD_SINK + "log: {format: text}\n", 3, 15, "log.format", "expected console or json, got text", ""),
    # What is no YAML is one fault.
    ("a:\n\tb: c\n", 2, 1, "", "a tab stands where YAML takes only spaces", "indent with spaces"),
    ("a: b: c\n", 1, 5, "", "mapping values are not allowed here", "quotes"),
    ("a: [b\n", 2, 1, "", "expected ',' or ']'", ""),
    ('a: 1\nb: "c\n', 2, 4, "", "unexpected end of stream", "quotes"),
    ("a: %b\n", 1, 4, "", "cannot start any token", "quotes"),
    ("a: *b\n", 1, 4, "", "undefined alias", "&name"),
    ("a: {b: ${C}}\n", 1, 9, "", "within { } and [ ] a variable needs quotes", '"${VARIABLE}"'),
    ("a: 1\n---\nb: 1\n", 2, 1, "", "a second document begins here", "remove"),
    ("a: \x07\n", 1, 4, "", "U+0007 is not allowed", ""),
    ('a: "\\UFFFFFFFF"\n', 1, None, "", "is no character", ""),
    ("a: " + "[" * 60 + "\n", 1, 54, "", "too deeply nested", "50"),
    ("a: [" + "b," * 60_000 + "]\n", 1, 100_001, "", "too many values", "50000"),
]


@pytest.mark.parametrize(("text", "line", "column", "path", "message", "remedy"), WHOLE, ids=[row[0][-40:] or "empty" for row in WHOLE])
def test_a_fault_in_a_file_is_said_once_at_its_place(write, text, line, column, path, message, remedy):
    file = write(text)
    (fault,) = faults_of(file)
    assert (fault.file, fault.path, fault.line, fault.column) == (str(file), path, line, column)
    assert message in fault.message
    assert remedy in fault.remedy


def test_all_faults_are_said_in_the_order_of_the_file(write):
    file = write(
        "sources:\n- cluster: no\n- cluster: b\n- cluster: b\nfilter:\n- dorp: {}\n- drop: {tipe: a, name: '/(/'}\n"
        "sinks:\n  a: {kind: fake, count: 0, tags: [no, 1]}\nlog: {level: x}\nlog: {}\nextra: 1\n"
    )
    faults = faults_of(file)
    assert [(fault.line, fault.path) for fault in faults] == [
        (2, "sources[0].cluster"),
        (4, "sources[2].cluster"),
        (6, "filter[0].dorp"),
        (7, "filter[1].drop.tipe"),
        (7, "filter[1].drop.name"),
        (9, "sinks.a.token"),
        (9, "sinks.a.count"),
        (9, "sinks.a.tags[0]"),
        (9, "sinks.a.tags[1]"),
        (10, "log.level"),
        (11, "log"),
        (12, "extra"),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("${FIVE}", 5), ('"${FIVE}"', 5), ("'${FIVE}'", 5)],
)
def test_a_variable_becomes_what_the_option_is(write, value, expected):
    sink = load(write(f"{FAKE}    count: {value}\n    flag: ${{YES}}\n    wait: ${{FIVE}}s\n"), ENVIRON).config.sinks["a"]
    assert (sink.count, sink.flag, sink.wait) == (expected, True, Duration(5))


def test_what_a_variable_holds_never_becomes_structure(write):
    sink = load(write(f"{FAKE}    layout: ${{TEXT}}\n    headers: {{x: 'a $$ ${{TEXT}} $${{T}} $'}}\n"), ENVIRON).config.sinks["a"]
    assert sink.layout == "a: [b"
    assert sink.headers == {"x": "a $ a: [b ${T} $"}


def test_what_a_variable_holds_is_not_searched_for_variables(write):
    config = load(write(f"{FAKE}    layout: ${{A}}\n"), {"T": "t", "A": "${T} $$"}).config
    assert config.sinks["a"].layout == "${T} $$"


def test_a_section_without_content_counts_as_left_out(write):
    config = load(write(f"{GOOD_SOURCE}{GOOD_SINK}filter:\nstate:\n  #path: x\nlog:\n"), {}).config
    assert config.filter == []
    assert config.state.path == "/var/lib/eventer"


def test_anchors_and_merges_are_understood_and_own_keys_win(write):
    config = load(
        write(
            "sources: [{}]\nsinks:\n  a: &a\n    kind: fake\n    token: ${T}\n    count: 2\n    mode: fast\n"
            "  b:\n    <<: *a\n    count: 3\n  c:\n    <<: [*a, {flag: true, count: 9}]\n"
        ),
        ENVIRON,
    ).config
    assert [(sink.count, sink.mode, sink.flag) for sink in config.sinks.values()] == [
        (2, "fast", False),
        (3, "fast", False),
        (2, "fast", True),
    ]


def test_aliases_that_unfold_without_end_are_refused(write):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    file = write(FAKE + "    layout: {" + ", ".join(lines) + "}\n")
    assert "aliases make this file larger" in errors_of(file)[0].message


@pytest.mark.parametrize("layout", ["&a [*a]", "&a {b: *a}"])
def test_a_value_that_holds_itself_is_refused(write, layout):
    (fault,) = faults_of(write(f"{FAKE}    layout: {layout}\n"))
    assert "refer to themselves" in fault.message


def test_a_mapping_that_merges_itself_gains_nothing(write):
    config = load(write(f"{FAKE}    layout: &a {{<<: *a, b: c}}\n"), ENVIRON).config
    assert config.sinks["a"].layout == {"b": "c"}


def test_merges_that_multiply_are_refused(write):
    keys = ", ".join(f"k{n}: v" for n in range(1000))
    maps = "\n".join(f"  - &m{n} {{<<: {[f'*m{m}' for m in range(n)]}, x{n}: 1}}".replace("'", "") for n in range(1, 60))
    (fault,) = faults_of(write(f"x:\n  - &m0 {{{keys}}}\n{maps}\n"))
    assert "too many values" in fault.message


def test_a_doubtful_expression_is_a_warning(write):
    loaded = load(write(f'{FAKE}    match: [{{name: "/[[a]/"}}]\n'), ENVIRON)
    (warning,) = loaded.warnings
    assert (warning.line, warning.path, warning.warning) == (6, "sinks.a.match[0]", True)


def test_a_rule_from_a_variable_matches(write):
    sink = load(write(f"{FAKE}    match: [{{origin: '${{O}}'}}]\n"), {"T": "t", "O": "node"}).config.sinks["a"]
    assert sink.match[0].matches(make_event(origin=Origin.NODE))
    assert not sink.match[0].matches(make_event(origin=Origin.EVENT))


def test_the_default_file_is_named_by_the_environment():
    assert str(config_path({})) == DEFAULT_PATH == "/etc/eventer/eventer.yaml"
    assert str(config_path({"EVENTER_CONFIG": "x.yaml"})) == "x.yaml"


def test_a_missing_file_and_a_directory_are_one_fault_each(tmp_path):
    assert "there is no such file" in faults_of(tmp_path / "none.yaml")[0].message
    assert "is a directory" in faults_of(tmp_path)[0].message
    assert "cannot be read" in faults_of(tmp_path / "a\0b")[0].message


def test_what_is_not_utf8_or_too_large_is_one_fault(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_bytes(b"a: b\nc: \xff\n")
    (fault,) = faults_of(file)
    assert (fault.line, fault.message) == (2, "the file is not UTF-8")
    file.write_bytes(b"#" * ((1 << 20) + 1))
    (fault,) = faults_of(file)
    assert "larger than 1 MiB" in fault.message


# Any file

WORDS = ["sources", "sinks", "kind", "fake", "stdout", "token", "a", "filter", "drop", "keep", "state", "<<", "no", "match"]
VALUES = st.one_of(
    st.sampled_from(WORDS), st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), st.binary(max_size=4),
    st.text(max_size=8), st.sampled_from(["${T}", "$${", "${", "12:30", "/(/", "5m", "/[[/", "!x"]),
)
TREES = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
PIECES = st.lists(
    st.sampled_from([*WORDS, ":", " ", "\n", "\n  ", "- ", "[", "]", "{", "}", "&a", "*a", "!", "|", ">", '"', "'", "#", "\t", "%", "---", ", ", "? ", "<<: *a", "\\U", "\x85", "\ufeff"]),
    max_size=40,
).map("".join)
SHAPED = st.builds(
    lambda sources, rest, sink: {"sources": sources, **rest, "sinks": {"a": sink}},
    TREES, st.dictionaries(st.sampled_from(["filter", "state", "log", "server"]), TREES), TREES | st.dictionaries(st.sampled_from(WORDS), TREES),
)
TEXTS = st.one_of(st.text(), PIECES, st.builds(safe_dump, TREES), st.builds(safe_dump, SHAPED))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(text=TEXTS)
def test_any_text_gives_a_configuration_or_its_faults(tmp_path, text):
    file = tmp_path / "any.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    examined = examine(file, ENVIRON)
    assert (examined.config is None) == any(not fault.warning for fault in examined.faults)
    for fault in examined.faults:
        assert isinstance(fault, Fault)
        assert fault.message
    render("any.yaml", examined, colour=False).encode()


# Secrets

PLACES = {
    "a literal": ("token: {}", False),
    "a quoted literal": ('token: "{}"', False),
    "a literal of several lines": ("token: |\n      first\n      {}", False),
    "a variable": ("token: ${{CANARY}}", True),
    "part of a variable": ("token: Bearer ${{CANARY}}", True),
    "a file": ("token_file: canary", True),
    "inside": ("token: ${{T}}\n    login: {{user: joe, password: {}}}", False),
    "a mapping": ("token: ${{T}}\n    keys: {{x: {}}}", False),
}
BESIDES = [
    "", "count: 0", "tokn: {}", "login: {{passwort: {}}}", "token: {}", "keys: [{}]", "zzz: [{{a: {}}}]", "ratio: 0.25",
    "wait: ${{CANARY}}", "match: [{{name: '/(${{CANARY}}/'}}]", "count: ${{CANARY}}", "mode: ${{CANARY}}", "login: {}", "a: 'b",
    "\tx: {}", "unique: [\"${{CANARY}}\"]",
]


@pytest.mark.parametrize("beside", BESIDES)
@pytest.mark.parametrize("place", PLACES)
def test_a_secret_is_never_shown(write, tmp_path, place, beside):
    (tmp_path / "canary").write_text(f"{CANARY}\n")
    line = PLACES[place][0].format(CANARY)
    text = f"sources: [{{}}]\nsinks:\n  a:\n    {line}\n    kind: fake\n    {beside.format(CANARY)}\n"
    file = write(text)
    environ = {"T": "t", "CANARY": CANARY}
    examined = examine(file, environ)
    shown = [
        repr(examined.faults),
        repr(examined.config),
        str(examined.config),
        render("c.yaml", examined, colour=True),
        *(examined.excerpt(number) for number in range(len(text.splitlines()) + 2)),
    ]
    if beside == "":
        assert examined.config is not None
    try:
        load(file, environ)
    except ConfigError as error:
        shown += [str(error), repr(error)]
    for output in shown:
        assert CANARY not in output


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_in_the_file_is_a_warning_and_elsewhere_is_none(write, tmp_path, place):
    (tmp_path / "canary").write_text(f"{CANARY}\n")
    line, elsewhere = PLACES[place]
    loaded = load(write(f"sources: [{{}}]\nsinks:\n  a:\n    {line.format(CANARY)}\n    kind: fake\n"), {"T": "t", "CANARY": CANARY})
    assert [warning.warning for warning in loaded.warnings] == ([] if elsewhere else [True])
    sink = loaded.config.sinks["a"]
    found = [sink.token, *([sink.login.password] if sink.login else []), *sink.keys.values()]
    assert any(CANARY in secret.reveal() for secret in found)
    assert all(isinstance(secret, Secret) for secret in found)


def test_a_file_of_a_secret_is_read_again_at_each_use(write, tmp_path):
    (tmp_path / "s").write_text("one\n")
    token = load(write("sources: [{}]\nsinks: {a: {kind: fake, token_file: s}}\n"), {}).config.sinks["a"].token
    assert token.reveal() == "one"
    (tmp_path / "s").write_text("two\r\n")
    assert token.reveal() == "two"


def test_a_file_of_a_secret_may_be_named_by_a_variable(write, tmp_path):
    (tmp_path / "s").write_text("one")
    config = load(write("sources: [{}]\nsinks: {a: {kind: fake, token_file: '${D}/s'}}\n"), {"D": str(tmp_path)}).config
    assert config.sinks["a"].token.reveal() == "one"
