import pytest

from eventer.config.variables import fill, has_variable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${A}", "one"),
        ("a${A}b${B_2}c", "aoneb${A}c"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$${A}", "$one"),
        ("$A costs 5$", "$A costs 5$"),
        ("${EMPTY}", ""),
    ],
)
def test_variables_are_filled_in_once(text, expected):
    filled = fill(text, {"A": "one", "B_2": "${A}", "EMPTY": ""})
    assert filled.text == expected
    assert filled.faults == ()


def test_the_variables_used_are_named_with_their_values():
    assert fill("${A}-${A}-$${B}", {"A": "one", "B": "two"}).values == (("A", "one"), ("A", "one"))


@pytest.mark.parametrize("text", ["${}", "${1A}", "${A B}", "${A", "${ A }"])
def test_what_only_looks_like_a_variable_is_a_fault(text):
    ((message, remedy),) = fill(text, {"A": "one"}).faults
    assert "no variable" in message
    assert "$${" in remedy


def test_each_variable_that_is_not_set_is_a_fault():
    faults = fill("${A} ${B}", {}).faults
    assert [message for message, _ in faults] == ["the variable A is not set", "the variable B is not set"]


def test_what_looks_like_a_variable_is_recognised():
    assert has_variable("a${B")
    assert not has_variable("a$B")


@pytest.mark.parametrize("text", ["${A:-x}", "${A-x}", "${A:=x}", "${A:?x}", "${A+x}"])
def test_defaults_of_a_shell_are_named(text):
    ((message, remedy),) = fill(text, {"A": "a"}).faults
    assert "how a shell gives A a default" in message
    assert remedy == "write ${A} and set the variable"
