"""Silences in the configuration: what is refused, with what to write instead, and what may be meant otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventer.config.load import examine
from eventer.config.types import Config
from eventer.errors import Fault
from eventer.values import Time

GOOD: dict[str, Any] = {
    "name": "works", "match": [{"namespace": "shop"}], "until": "2026-12-01T06:00:00+01:00", "owner": "ann",
    "reason": "the registry moves",
}  # fmt: skip


def examined(write: Any, *silences: dict[str, Any], **sink: Any) -> tuple[Config | None, list[Fault]]:
    chat = {"kind": "webhook", "url": "${HOOK}", "format": "single", "group": {}} | sink
    file = {"sources": [{"cluster": "prod"}], "sinks": {"chat": chat}, "silences": list(silences)}
    found = examine(write(json.dumps(file, indent=1)), {"HOOK": "http://127.0.0.1:9"})
    assert all(fault.line and fault.remedy for fault in found.faults)
    return found.config, found.faults


def test_a_silence_is_read(write: Any) -> None:
    config, faults = examined(write, GOOD | {"from": "2026-11-30T22:00Z"})
    assert config is not None and not faults
    (silence,) = config.silences
    assert (silence.start, silence.until) == (Time.parse("2026-11-30T23:00:00+01:00"), Time(1_796_101_200))


@pytest.mark.parametrize(
    ("changes", "path", "message", "remedy"),
    [
        ({"until": None}, "until", "this silence has no end", "add until: with a time"),
        ({"until": "2h"}, "until", "'2h' is no time", "write a time with its zone"),
        ({"until": "2026-12-01 06:00:00"}, "until", "has no zone", "write 2026-12-01T06:00:00Z for UTC, or +01:00"),
        ({"from": "2026-12-01T05:00:00Z"}, "until", "the silence ends before it begins", "write a later time"),
        ({"match": [{"kind": "Pod"}, {}]}, "match[1]", "this silences everything", "name a field, such as cluster"),
        ({"match": []}, "match", "expected a list of at least 1 item", "write a list"),
        ({"match": [{"owner": "Job/x"}]}, "match[0].owner", "no notifier looks owner up", "write enrich: [owner] in"),
        ({"name": "My works"}, "name", "this is no name for a silence", "use at most 63 small letters"),
        ({"reason": ""}, "reason", "expected a text of 1 to 500 characters", ""),
        ({"owner": "x" * 101}, "owner", "expected a text of 1 to 100 characters", ""),
    ],
)
def test_what_cannot_be_used_is_refused(
    write: Any, changes: dict[str, Any], path: str, message: str, remedy: str
) -> None:
    config, faults = examined(write, GOOD | changes)
    assert config is None
    (fault,) = faults
    assert fault.path == f"silences[0].{path}"
    assert message in fault.message and remedy in f"{fault.message} {fault.remedy}"


def test_a_silence_without_end_is_refused_with_what_to_use_instead(write: Any) -> None:
    endless = {name: value for name, value in GOOD.items() if name != "until"}
    config, (fault,) = examined(write, endless)
    assert config is None
    assert (fault.path, fault.message) == ("silences[0].until", "this silence has no end")
    assert fault.remedy.startswith("add until: with a time such as 2026-12-01T06:00:00+01:00; what nobody ever wants")
    assert "match of the sinks that notify" in fault.remedy and "filter" in fault.remedy


def test_names_are_told_apart(write: Any) -> None:
    _, faults = examined(write, GOOD, GOOD | {"name": "other"}, GOOD)
    assert [fault.path for fault in faults] == ["silences[0].name", "silences[2].name"]


def test_what_a_notifier_looks_up_can_be_silenced_by(write: Any) -> None:
    rule = {"owner": "Deployment/web", "namespace.labels": {"team": "shop"}}
    config, faults = examined(write, GOOD | {"match": [rule]}, enrich=["owner", "namespace"])
    assert config is not None and not faults
    _, faults = examined(write, GOOD | {"match": [rule]}, enrich=["owner"])
    assert [fault.path for fault in faults] == ["silences[0].match[0].namespace.labels"]


def test_what_is_doubtful_in_a_rule_is_told(write: Any) -> None:
    config, (fault,) = examined(write, GOOD | {"match": [{"reason": "CrashLoopBackOff"}]})
    assert config is not None and fault.warning
    assert fault.path == "silences[0].match[0].reason" and fault.remedy.startswith("did you mean BackOff?")
