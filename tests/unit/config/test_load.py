"""Whole files: what is right is read, and everything that is wrong is said at its place."""

import math
from textwrap import dedent

import pytest

from eventer.config.load import DEFAULT_PATH, config_path, load
from eventer.config.types import Listen
from eventer.errors import ConfigError
from eventer.event import Origin
from eventer.values import Duration
from tests.helpers.sinks import make_event

pytestmark = pytest.mark.usefixtures("fake_kinds")

FAKE = "sources: [{}]\nsinks:\n  a:\n    kind: fake\n    token: ${T}\n"
"""Lines 1 to 5; what a test adds to the sink begins in line 6."""
ENVIRON = {
    "T": "secret-token",
    "FIVE": "5",
    "YES": "true",
    "EMPTY": "",
    "BAD": "\udcff",
    "RULE": "/(/",
    "TEXT": "a: [b",
}


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
                repeats: 5m
                limit: 20/m
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
    assert (sink.repeats.window, sink.limit.count, sink.limit.seconds) == (300, 20, 60)
    assert sink.match[0].matches(make_event(type="Warning"))
    assert (config.state.path, config.state.max_size, config.state.max_age) == ("s", 64 << 20, 3600)
    assert config.server.listen == Listen(host="::1", port=9)
    assert (config.log.level, config.log.format) == ("debug", "console")


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
    (
        GOOD_SOURCE + "sinks: {a: {kind: '%%'}}\n",
        2,
        19,
        "sinks.a.kind",
        "'%%' is no kind",
        "known kinds: alertmanager, ",
    ),
    (GOOD_SOURCE + "sinks: {a: {kind: no}}\n", 2, 19, "sinks.a.kind", "YAML reads no as", 'quotes: "no"'),
    (
        GOOD_SOURCE + "sinks: {a: {kind: needy}}\n",
        2,
        19,
        "sinks.a.kind",
        "no_such_library, which is not installed",
        'pip install "eventer[needy]"',
    ),
    (GOOD_SOURCE + "sinks: {a: {kind: broken}}\n", 2, 19, "sinks.a.kind", "out of order", "repair or remove"),
    (GOOD_SOURCE + "sinks: {a: {kind: hollow}}\n", 2, 19, "sinks.a.kind", "has no Config", "update"),
    (GOOD_SOURCE + GOOD_SINK + "filter: [{}]\n", 3, 10, "filter[0]", "either drop or keep", "- drop: {type: Normal}"),
    (GOOD_SOURCE + GOOD_SINK + "filter: [{drop: {}, keep: {}}]\n", 3, 10, "filter[0]", "either drop or keep", ""),
    (GOOD_SOURCE + GOOD_SINK + "filter: [{drop: }]\n", 3, 10, "filter[0]", "either drop or keep", ""),
    (
        GOOD_SOURCE + GOOD_SINK + "filter: [{drop: [{}]}]\n",
        3,
        17,
        "filter[0].drop",
        "expected a rule such as {type: Warning}, got a list",
        "",
    ),
    (GOOD_SOURCE + GOOD_SINK + "filter: {drop: {}}\n", 3, 9, "filter", "expected a list, got a mapping", ""),
    (
        GOOD_SINK + "sources: [{cluster: ''}]\n",
        2,
        21,
        "sources[0].cluster",
        "expected a text of 1 to 253 characters",
        "",
    ),
    (
        GOOD_SINK + "sources: [{cluster: 12}]\n",
        2,
        21,
        "sources[0].cluster",
        "YAML reads 12 as a number",
        'quotes: "12"',
    ),
    (GOOD_SINK + "sources: [{labels: {a: 1}}]\n", 2, 24, "sources[0].labels.a", "YAML reads 1 as a number", ""),
    (
        GOOD_SINK + "sources: [{kubernetes: {start: soon}}]\n",
        2,
        32,
        "sources[0].kubernetes.start",
        "'soon' is no start",
        "all, now, or a duration",
    ),
    (
        GOOD_SINK + "sources: [{kubernetes: {event_ttl: 0s}}]\n",
        2,
        36,
        "sources[0].kubernetes.event_ttl",
        "longer than nothing",
        "1h",
    ),
    (
        GOOD_SINK + "sources: [{kubernetes: {audit: 0s}}]\n",
        2,
        32,
        "sources[0].kubernetes.audit",
        "longer than nothing",
        "",
    ),
    (
        GOOD_SINK + "sources: [{kubernetes: {api: v1}}]\n",
        2,
        30,
        "sources[0].kubernetes.api",
        "expected core or events, got v1",
        "",
    ),
    (
        GOOD_SINK + "sources: [{kubernetes: {namespaces: ['a*']}}]\n",
        2,
        38,
        "sources[0].kubernetes.namespaces[0]",
        "'a*' is no name of a namespace",
        "no patterns",
    ),
    (
        GOOD_SINK + "sources: [{cluster: a}, {cluster: a}]\n",
        2,
        35,
        "sources[1].cluster",
        "is that of sources[0] as well",
        "a name of its own",
    ),
    (
        GOOD_SINK + "sources: [{cluster: a}, {labels: {}}]\n",
        2,
        25,
        "sources[1].cluster",
        "with several sources each needs a name",
        "",
    ),
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
    (
        GOOD_SOURCE + "sinks: {a: {kind: stdout, repeats: 2d}}\n",
        2,
        36,
        "sinks.a.repeats",
        "not shorter than state.max_age",
        "5m",
    ),
    # What is no YAML is one fault.
    ("a:\n\tb: c\n", 2, 1, "", "a tab stands where YAML takes only spaces", "indent with spaces"),
    ("a: b: c\n", 1, 5, "", "a `: ` cannot stand here", "quotes"),
    ("a: [b\n", 2, 1, "", "a comma or ] is missing", ""),
    ('a: 1\nb: "c\n', 2, 4, "", "a quote begins here that never ends", "quote"),
    ("a: %b\n", 1, 4, "", "begins with % needs quotes", "quotes"),
    ("a: *b\n", 1, 4, "", "*b stands for a value", "quotes"),
    ("a: {b: ${C}}\n", 1, 9, "", "within { } and [ ] a variable needs quotes", '"${VARIABLE}"'),
    ("a: 1\n---\nb: 1\n", 2, 1, "", "a second document begins here", "remove"),
    ("a: \x07\n", 1, 4, "", "U+0007 is not allowed", ""),
    ('a: "\\UFFFFFFFF"\n', 1, None, "", "is no character", ""),
    ("a: " + "[" * 60 + "\n", 1, 53, "", "too deeply nested", "50"),
    ("a: [" + "b," * 60_000 + "]\n", 1, 99_999, "", "too many values", "50000"),
]


@pytest.mark.parametrize(
    ("text", "line", "column", "path", "message", "remedy"), WHOLE, ids=[row[0][-40:] or "empty" for row in WHOLE]
)
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
    sink = load(write(f"{FAKE}    count: {value}\n    flag: ${{YES}}\n    wait: ${{FIVE}}s\n"), ENVIRON).config.sinks[
        "a"
    ]
    assert (sink.count, sink.flag, sink.wait) == (expected, True, Duration(5))


def test_what_a_variable_holds_never_becomes_structure(write):
    sink = load(
        write(f"{FAKE}    layout: ${{TEXT}}\n    headers: {{x: 'a $$ ${{TEXT}} $${{T}} $'}}\n"), ENVIRON
    ).config.sinks["a"]
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
    maps = "\n".join(
        f"  - &m{n} {{<<: {[f'*m{m}' for m in range(n)]}, x{n}: 1}}".replace("'", "") for n in range(1, 60)
    )
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
