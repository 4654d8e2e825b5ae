"""Whatever stands in the file: a configuration or its faults come out of it, never another error."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yaml import safe_dump

from eventer.cli.check import render
from eventer.config.load import examine
from eventer.errors import Fault

pytestmark = pytest.mark.usefixtures("fake_kinds")

ENVIRON = {"T": "secret-token"}

WORDS = [
    "sources",
    "sinks",
    "kind",
    "fake",
    "stdout",
    "token",
    "a",
    "filter",
    "drop",
    "keep",
    "state",
    "<<",
    "no",
    "match",
]
VALUES = st.one_of(
    st.sampled_from(WORDS),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    st.binary(max_size=4),
    st.text(max_size=8),
    st.sampled_from(["${T}", "$${", "${", "12:30", "/(/", "5m", "/[[/", "!x"]),
)
TREES = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)
PIECES = st.lists(
    st.sampled_from(
        [
            *WORDS,
            ":",
            " ",
            "\n",
            "\n  ",
            "- ",
            "[",
            "]",
            "{",
            "}",
            "&a",
            "*a",
            "!",
            "|",
            ">",
            '"',
            "'",
            "#",
            "\t",
            "%",
            "---",
            ", ",
            "? ",
            "<<: *a",
            "\\U",
            "\x85",
            "\ufeff",
        ]
    ),
    max_size=40,
).map("".join)
SHAPED = st.builds(
    lambda sources, rest, sink: {"sources": sources, **rest, "sinks": {"a": sink}},
    TREES,
    st.dictionaries(st.sampled_from(["filter", "state", "log", "server"]), TREES),
    TREES | st.dictionaries(st.sampled_from(WORDS), TREES),
)
TEXTS = st.one_of(st.text(), PIECES, st.builds(safe_dump, TREES), st.builds(safe_dump, SHAPED))


@settings(suppress_health_check=list(HealthCheck), max_examples=150, deadline=None)
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
