"""The daemon's own log: one line per record, and nothing in it that must not be there."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog

from eventer.observe import log
from eventer.values import Duration, Size

SECRET = "s3cr3t-5b1c"
FORMS = ("json", "console")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave logging as other tests expect it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def stderr(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == ""  # it belongs to the sink of that name
    return err


def one(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the only line, decoded."""
    (line,) = stderr(capsys).splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def fail(text: str) -> BaseException:
    """Return an exception as it is caught: with a traceback."""
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def test_json_is_an_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    structlog.get_logger().bind(sink="archive").warning("events let go", expired=3, share=0.5, told=True, why=None)
    found = one(capsys)
    assert datetime.fromisoformat(found.pop("timestamp")).utcoffset() == timedelta(0)
    assert found == {
        "event": "events let go",
        "level": "warning",
        "sink": "archive",
        "expired": 3,
        "share": 0.5,
        "told": True,
        "why": None,
    }


def test_numbers_of_types_of_our_own_are_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    structlog.get_logger().warning("no room", max_size=Size.parse("1GiB"), after=Duration.parse("1m"))
    found = one(capsys)
    assert (found["max_size"], found["after"]) == (1 << 30, 60.0)


def test_console_is_a_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "console")
    structlog.get_logger().warning("sink takes events", sink="archive")
    (line,) = stderr(capsys).splitlines()
    assert "warning" in line
    assert "sink takes events" in line
    assert "sink=archive" in line
    assert "\x1b" not in line  # this is no terminal


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_lines_below_the_level_are_left_out(
    form: Any, level: Any, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure(level, form)
    logger = structlog.get_logger()
    for name in ("debug", "info", "warning", "error"):
        getattr(logger, name)(f"it-is-{name}")
    lines = stderr(capsys).splitlines()
    assert [
        name for line in lines for name in ("debug", "info", "warning", "error") if f"it-is-{name}" in line
    ] == shown


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "text",
    [
        f"POST https://robot.example/send?access_token={SECRET} failed",
        f"Authorization: Bearer {SECRET}",
        f"https://user:{SECRET}@example.org/path",
        f'{{"password": "{SECRET}"}}',
    ],
)
@pytest.mark.parametrize("how", ["event", "value", "nested", "listed", "object", "exception"])
def test_secrets_are_not_written(form: Any, text: str, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", form)
    logger = structlog.get_logger()
    match how:
        case "event":
            logger.error(text)
        case "value":
            logger.error("it failed", error=text)
        case "nested":
            logger.error("it failed", answers={"archive": {"error": text}})
        case "listed":
            logger.error("it failed", answers=[text])
        case "object":
            logger.error("it failed", error=ValueError(text))
        case _:
            logger.error("it failed", exc_info=fail(text))
    written = stderr(capsys)
    assert SECRET not in written
    assert "<secret>" in written


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("character", "shown"),
    [
        ("\n", r"\n"),
        ("\r", r"\r"),
        ("\x1b", r"\x1b"),
        ("\x00", r"\x00"),
        ("\x9b", r"\x9b"),
        ("\x85", r"\x85"),
        ("\u2028", r"\u2028"),
        ("\u202e", r"\u202e"),
        ("\ud800", r"\ud800"),
    ],
)
@pytest.mark.parametrize("how", ["event", "value", "nested", "object"])
def test_a_record_stays_on_its_line_and_moves_nothing(
    form: Any, character: str, shown: str, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("info", form)
    logger = structlog.get_logger()
    text = f"before{character}after"
    match how:
        case "event":
            logger.info(text)
        case "value":
            logger.info("said", words=text)
        case "nested":
            logger.info("said", words=[{"in": text}])
        case _:
            logger.info("said", words=ValueError(text))
    (line,) = stderr(capsys).splitlines()  # which splits at all that anybody takes for the end of a line
    assert character not in line
    assert f"before{shown}after" in line.replace("\\\\", "\\")


@pytest.mark.parametrize("character", ["\x1b", "\x9b", "\r", "\u202e", "\ud800"])
def test_a_traceback_cannot_move_anything_either(character: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = fail(f"before{character}after")
    log.configure("info", "json")
    structlog.get_logger().error("unexpected", exc_info=error)
    found = one(capsys)
    assert "Traceback (most recent call last)" in found["exception"]
    assert character not in found["exception"]
    log.configure("info", "console")
    structlog.get_logger().error("unexpected", exc_info=error)
    text = stderr(capsys)
    assert character not in text
    assert "Traceback (most recent call last)" in text


def test_a_traceback_for_people_cannot_pass_for_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "console")
    forged = "2026-01-01T00:00:00Z [info     ] all is well"
    structlog.get_logger().error("unexpected", exc_info=fail(f"no\n{forged}"))
    first, *rest = stderr(capsys).splitlines()
    assert "unexpected" in first
    assert any(forged in line for line in rest)
    assert all(line.startswith("  ") for line in rest if line)


@pytest.mark.parametrize("form", FORMS)
def test_what_libraries_report_is_written_in_the_same_way(form: Any, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", form)
    # asyncio reports what nobody awaited like this.
    error = fail(f"https://user:{SECRET}@example.org \x1b[31m")
    logging.getLogger("asyncio").error("Task exception was\nnever retrieved", exc_info=error)
    written = stderr(capsys)
    assert SECRET not in written
    assert "\x1b" not in written
    assert r"Task exception was\nnever retrieved" in written.replace("\\\\", "\\")
    if form == "json":
        (line,) = written.splitlines()
        found = json.loads(line)
        assert (found["level"], found["logger"]) == ("error", "asyncio")
        assert "ValueError" in found["exception"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["httpx", "httpcore", "aiohttp", "kubernetes_asyncio", "aiohttp.access"])
def test_libraries_that_would_tell_addresses_are_silent(
    form: Any, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("debug", form)
    logging.getLogger(name).error("HTTP Request: POST https://robot.example/send")
    assert stderr(capsys) == ""


def test_it_can_be_set_up_again(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("error", "console")
    log.configure("info", "json")
    structlog.get_logger().info("once")
    assert one(capsys)["event"] == "once"
    logging.getLogger("asyncio").error("once more")
    assert one(capsys)["event"] == "once more"
    assert logging.getLogger().handlers[-1].stream is sys.stderr  # type: ignore[attr-defined]
