"""The section `tests:`: what can be written in it, and which event it describes."""

from __future__ import annotations

from typing import Any

import pytest

from eventer.config.load import examine, load
from eventer.config.samples import Sample, to_event
from eventer.config.sources import Source
from eventer.match import EVENT_FIELDS

HEAD = "sources: [{}]\nsinks: {archive: {kind: stdout}, chat: {kind: stdout}}\n"


@pytest.mark.parametrize(
    ("test", "path", "message", "remedy"),
    [
        ("{sinks: []}", "tests[0].event", "event is missing", "add event: with a mapping"),
        (
            "{event: {}}",
            "tests[0]",
            "a test expects either sinks or filtered: true",
            "write for example `sinks: [archive]`",
        ),
        (
            "{event: {}, sinks: [chat], filtered: true}",
            "tests[0]",
            "a test expects either sinks or filtered: true",
            "write for example `sinks: [archive]`",
        ),
        (
            "{event: {resaon: x}, sinks: []}",
            "tests[0].event.resaon",
            '"resaon" is not known here',
            "did you mean reason?",
        ),
        (
            "{event: {origin: evnt}, sinks: []}",
            "tests[0].event.origin",
            "expected event, eventer or node, got evnt",
            "did you mean event?",
        ),
        (
            "{event: {state: fireing}, sinks: []}",
            "tests[0].event.state",
            "expected firing, resolved or unknown, got fireing",
            "did you mean firing?",
        ),
        (
            "{event: {status: true}, sinks: []}",
            "tests[0].event.status",
            "expected False, True or Unknown, but YAML reads true as true or false",
            'write it in quotes: "True"',
        ),
        (
            "{event: {}, sinks: [chat, archve]}",
            "tests[0].sinks[1]",
            "there is no sink 'archve'",
            "the sinks are archive, chat",
        ),
    ],
)
def test_a_fault_in_a_test_is_a_fault_of_the_file(write: Any, test: str, path: str, message: str, remedy: str) -> None:
    examined = examine(write(f"{HEAD}tests:\n  - {test}\n"), {})
    assert examined.config is None
    (fault,) = examined.faults
    assert (fault.path, fault.message, fault.remedy, fault.line) == (path, message, remedy, 4)


def test_every_field_of_the_language_can_be_given(write: Any) -> None:
    fields = {field: f"x {field}" for field in EVENT_FIELDS if field != "labels"}
    fields |= {"origin": "event", "status": "True", "state": "firing"}
    text = ", ".join(f"{field}: '{value}'" for field, value in fields.items())
    config = load(write(f"{HEAD}tests:\n  - {{event: {{{text}, labels: {{a: b}}}}, filtered: true}}\n"), {}).config
    event = to_event(config.tests[0].event, config.sources)
    assert {field: getattr(event, field) for field in fields} == fields
    assert event.labels == {"a": "b"}


def test_cluster_and_labels_are_those_of_a_source() -> None:
    sources = [Source(cluster="prod", labels={"stage": "prod"}), Source(cluster="test", labels={"stage": "test"})]
    events = [to_event(sample, sources) for sample in (Sample(), Sample(cluster="test"), Sample(cluster="new"))]
    assert [(event.cluster, event.labels) for event in events] == [
        ("prod", {"stage": "prod"}),
        ("test", {"stage": "test"}),
        ("new", {}),
    ]
    assert to_event(Sample(), [Source(labels={"a": "b"})]).labels == {"a": "b"}
