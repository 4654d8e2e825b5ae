"""How much of a text a regular expression may see: so much that what is worst stays bounded, and a whole message."""

from __future__ import annotations

import pytest

from eventer.match import Rule
from eventer.patterns import TEXT_CAP, TEXT_LEAST, compile_pattern
from eventer.redaction import Pattern, Redaction, RedactRule
from tests.helpers.sinks import make_event


@pytest.mark.parametrize(
    ("pattern", "cap"),
    [
        ("BackOff", TEXT_CAP),
        ("a.*b", TEXT_CAP),
        ("[^/]+/[^/]+/[^/]+:", TEXT_CAP),
        (r"\w+ \w+x", TEXT_CAP),
        (r"(\d{1,3}\.){3}\d{1,3}:\d+", TEXT_CAP),
        (r"[a-z0-9]{1,63}\.[a-z0-9]{1,63}\.[a-z0-9]{1,63}", TEXT_CAP),
        ("failed.{0,100}time.{0,100}out", TEXT_CAP),
        ("(?i)oom|out of memory|killed|evicted", TEXT_CAP),
        ("a.*b.*c", TEXT_LEAST),
        ("https?.*failed.*timeout", TEXT_LEAST),
        (".*a[^b]*b", TEXT_LEAST),
        (r"\w+\s*\w+x", TEXT_LEAST),
        ("a.*(?=a.*b)", TEXT_LEAST),
        (r"(.+)\1b", TEXT_LEAST),
    ],
)
def test_how_much_it_may_see_goes_by_its_open_repeats(pattern: str, cap: int) -> None:
    assert compile_pattern(pattern).cap == cap


def test_many_short_repeats_leave_less_or_are_refused() -> None:
    caps = [compile_pattern("a?" * number + "b").cap for number in range(1, 18)]
    assert caps[0] == TEXT_CAP
    assert caps == sorted(caps, reverse=True)
    assert TEXT_LEAST < caps[-1] < TEXT_CAP
    for pattern in ("a?" * 30 + "b", "(a|a)" * 30 + "b", "a{0,900}a{0,900}b"):
        with pytest.raises(ValueError, match="ways to share out a text, which can take for ever; write fewer"):
            compile_pattern(pattern)


def test_a_reference_to_a_group_counts_as_a_repeat() -> None:
    with pytest.raises(ValueError, match="for ever"):
        compile_pattern(r"(.*).*\1b")


@pytest.mark.parametrize(("pattern", "cap"), [("/a.*b.*c/", TEXT_LEAST), ("/a.*b/", TEXT_CAP)])
def test_a_rule_sees_so_much_and_no_more(pattern: str, cap: int) -> None:
    yes, no = Rule.parse({"message": pattern}), Rule.parse({"message": f"!{pattern}"})
    within, beyond = make_event(message="x" * (cap - 3) + "abc"), make_event(message="x" * (cap - 1) + "abc")
    assert (yes.matches(within), no.matches(within)) == (True, False)
    assert (yes.matches(beyond), no.matches(beyond)) == (False, True)


def redaction(*patterns: str) -> Redaction:
    return Redaction([RedactRule(pattern=Pattern.parse(pattern), replace="*") for pattern in patterns])


@pytest.mark.parametrize("patterns", [("/key.*is.*secret/",), ("/token/", "/key.*is.*secret/")])
def test_what_a_rule_of_redaction_may_not_see_is_cut_off(patterns: tuple[str, ...]) -> None:
    text = "key is secret " + "x" * TEXT_LEAST + " key is hidden secret"
    event = make_event(message=text)
    redaction(*patterns)([event])
    assert event.message.startswith("* xxx")
    assert "hidden" not in event.message
    assert "<cut" in event.message
    (line,) = redaction(*patterns).raw([text.encode()])
    assert line.decode() == event.message


def test_a_message_as_long_as_kubernetes_allows_is_never_cut() -> None:
    event = make_event(message="x" * 1024)
    redaction("/key.*is.*secret/", "/token/")([event])
    assert event.message == "x" * 1024


def test_what_grows_under_the_rules_is_cut_before_the_next_one_not_left_unseen() -> None:
    event = make_event(message="a" * 1000 + "key is secret")
    rules = [
        RedactRule(pattern=Pattern.parse("/a/"), replace="<long>"),
        RedactRule(pattern=Pattern.parse("/key.*is.*secret/")),
    ]
    Redaction(rules)([event])
    assert "secret" not in event.message
    assert "<cut" in event.message


def test_of_a_line_of_a_log_the_end_is_kept_without_half_a_word() -> None:
    left = redaction("/key.*is.*secret/").text("key is secret" + "y" * TEXT_LEAST + " the key is secret end")
    assert left == "the * end"
    assert redaction("/token=[^ ]+/").text("x " + "y" * TEXT_LEAST) == "x " + "y" * TEXT_LEAST
