"""What the rules name is in no journal, no sink and no dead letter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventer.demo.apiserver import ApiServer
from eventer.patterns import TEXT_CAP
from eventer.redaction import Pattern, Redaction, RedactRule
from tests.helpers.inprocess import Site
from tests.helpers.sinks import make_event
from tests.helpers.until import until


def rule(pattern: str, replace: str = "<redacted>") -> RedactRule:
    return RedactRule(pattern=Pattern.parse(pattern), replace=replace)


@pytest.mark.parametrize(
    ("rules", "text", "left"),
    [
        ([rule("/token=[^ ]+/")], "GET /?token=abc HTTP token=d", "GET /?<redacted> HTTP <redacted>"),
        ([rule("/token=[^ ]+/", "token=***")], "token=abc", "token=***"),
        ([rule("/a/", r"\1 \g<0> \\")], "xay", r"x\1 \g<0> \\y"),
        ([rule("/a/", "b"), rule("/b/", "c")], "ab", "cc"),
        ([rule("/Secret/")], "secret", "secret"),
        ([rule("/(?i)secret/")], "SECRET", "<redacted>"),
        ([], "token=abc", "token=abc"),
    ],
)
def test_what_is_taken_out(rules: list[RedactRule], text: str, left: str) -> None:
    event = make_event(message=text)
    Redaction(rules)([event])
    assert event.message == left


def test_what_was_not_looked_at_is_cut_off() -> None:
    event = make_event(message="a" * TEXT_CAP + " token=abc")
    Redaction([rule("/token=[^ ]+/")])([event])
    assert "abc" not in event.message
    assert event.message.startswith("a" * TEXT_CAP)
    (line,) = Redaction([rule("/token=[^ ]+/")]).raw([b"\xff" * 5_000 + b" token=abc"])
    assert b"abc" not in line


def test_without_rules_nothing_is_cut() -> None:
    event = make_event(message="a" * 10_000)
    Redaction([])([event])
    assert len(event.message) == 10_000
    assert Redaction([]).raw([b"\xff" * 5_000]) == [b"\xff" * 5_000]


@given(st.binary(max_size=200))
def test_lines_that_nothing_matches_stay_as_they_came(line: bytes) -> None:
    assert Redaction([rule("/never there/")]).raw([line]) == [line]


@pytest.mark.parametrize("text", ["token", "/", "//", "/a", "/(a+)+/", "/a*/", "/[/", ""])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(ValueError, match=r"; "):
        Pattern.parse(text)


# -- the whole path ----------------------------------------------------------------------------------------


async def test_it_is_nowhere(tmp_path: Path, server: ApiServer) -> None:
    site = Site(tmp_path, server)
    site.document["redact"] = [{"pattern": "/hunter2/"}]
    site.document["filter"] = [{"drop": {"message": "/hunter2 dropped/"}}]
    async with site.running() as life:
        server.create("one", message="login with hunter2 failed")
        server.create("two", message="hunter2 dropped")
        server.create("three", message="hunter2", metadata={"name": "three", "namespace": "default"})
        await site.has("one")
        record = next(record for key, record in life.journal.streams.items() if key.cluster)
        server.create("last")
        await site.has("last")
        record = next(record for key, record in life.journal.streams.items() if key.cluster)
        assert (record.received, record.filtered, record.poison) == (4, 1, 1)  # the filter has seen the text as it was
        site.document["redact"] = [{"pattern": "/swordfish/", "replace": "*"}]
        site.write()
        await life.daemon.reload.asked()
        server.create("four", message="a swordfish, no hunter3")
        await site.has("four")
        await until(lambda: life.journal.readers["out"].cursor == 3, "all to be settled")
    assert [record["message"] for record in site.records()] == [
        "login with <redacted> failed",
        "Back-off restarting failed container",
        "a *, no hunter3",
    ]
    for file in [*site.state.iterdir(), site.out]:
        if file.is_file():
            assert b"hunter2" not in file.read_bytes()
    assert site.balanced() == 3
