"""How failures are told to people."""

from __future__ import annotations

import pytest

from eventer.cli import report
from eventer.errors import ConfigError, Fault, JournalError


@pytest.mark.parametrize(
    ("message", "remedy", "told"),
    [
        ("the name is taken", "choose another", "sinks.a: the name is taken; choose another."),
        ("There is no kubeconfig.", "Name one.", "sinks.a: There is no kubeconfig. Name one."),
        ("There is no kubeconfig.", "name one, or run in a pod", "sinks.a: There is no kubeconfig. Name one, or run in a pod."),
        ("the name is taken", "Choose another.", "sinks.a: the name is taken; Choose another."),
        ("Is there a proxy?", "look", "sinks.a: Is there a proxy? Look."),
        ("it is too long", "", "sinks.a: it is too long."),
        ("It is too long.", "", "sinks.a: It is too long."),
    ],
)  # fmt: skip
def test_a_fault_is_one_line_whatever_its_parts_end_with(
    capsys: pytest.CaptureFixture[str], message: str, remedy: str, told: str
) -> None:
    fault = Fault(path="sinks.a", message=message, remedy=remedy)
    inner = ExceptionGroup("x", [ConfigError([fault, fault])])
    assert report(ExceptionGroup("x", [inner])) == 78
    assert capsys.readouterr().err == f"eventer: {told}\n" * 2


def test_a_fault_of_the_document_itself_has_no_place() -> None:
    assert Fault(path="", message="the file is empty", remedy="fill it").told == "the file is empty; fill it."


def test_what_is_no_fault_of_the_configuration_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    failures = [ConfigError([Fault(path="a", message="b", remedy="c")]), JournalError("The disk is full.")]
    assert report(ExceptionGroup("x", failures)) == 1
    assert capsys.readouterr().err == "eventer: a: b; c.\neventer: The disk is full.\n"
