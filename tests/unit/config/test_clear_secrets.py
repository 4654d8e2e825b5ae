"""Secrets written out where the option is none are found, said, and not shown."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import inspect

from eventer.cli.check import render
from eventer.config.document import Document
from eventer.config.load import examine
from eventer.config.notes import Notes, Place

CANARY = "kanarie-7d1f9b"


def file(option: str) -> str:
    return f"sources: [{{}}]\nsinks:\n  a:\n    kind: webhook\n    url: ${{URL}}\n    {option}\n    tiemout: {CANARY}\n"


@pytest.mark.parametrize(
    "option",
    [
        "headers: {{Authorization: Bearer {}}}",
        "headers: {{authorization: {}}}",
        "headers: {{x-api-key: {}}}",
        "headers: {{X-Auth-Token: '{}'}}",
        "headers: {{Cookie: session={}}}",
        "headers: {{Link: 'https://user:{}@host/path'}}",
        "headers: {{Link: 'https://host/path?a=b&access_token={}'}}",
        "headers: {{Link: 'https://host/path?sign={}#x'}}",
    ],
)
def test_a_secret_in_clear_text_is_a_warning(write: Any, option: str) -> None:
    examined = examine(write(file(option.format(CANARY))), {"URL": "https://host/"})
    warnings = [fault for fault in examined.faults if fault.warning]
    assert [(fault.line, fault.message, fault.remedy) for fault in warnings] == [
        (
            6,
            "this looks like a secret, and can be read by everybody who may read the configuration",
            "write ${VARIABLE} in its place",
        )
    ]
    assert CANARY not in render("c.yaml", examined, colour=True)


@pytest.mark.parametrize(
    "option",
    [
        "headers: {Authorization: 'Bearer ${CANARY}'}",
        "headers: {X-Team: shop, X-Tokenizer: fast, X-Key: a}",
        "headers: {X-Token: '{{ event.name }}'}",
        "headers: {Link: 'https://host/path?team=shop'}",
        "headers: {Link: 'https://${USER}:${CANARY}@host/'}",
        "match: [{message: '/token=/', labels: {token: x}}]",
        "auth: {bearer: '${CANARY}'}",
        "auth: {bearer_file: canary}",
    ],
)
def test_what_is_no_secret_or_not_in_clear_text_is_none(write: Any, tmp_path: Any, option: str) -> None:
    (tmp_path / "canary").write_text(CANARY)
    environ = {"URL": "https://host/", "CANARY": CANARY, "USER": "joe"}
    told = [fault.message for fault in examine(write(file(option)), environ).faults]
    assert not [message for message in told if "secret" in message]


def test_what_was_found_is_in_no_message_either() -> None:
    document = Document("c.yaml", CANARY)
    notes = Notes(document, {})
    place = Place(("sinks", "a", "headers", "X-Token"))
    notes.text(inspect.StrType(), document.root, place)
    notes.fault(document.root, place.path, f"the sink says that {CANARY} is too short")
    assert [fault.message for fault in notes.finished()][1:] == ["the sink says that <secret> is too short"]
