"""The demo as lines: headlines once, what is new under them, events in samples, the end."""

from __future__ import annotations

from datetime import UTC, datetime

from eventer.control.report import JournalReport, Status, StreamReport
from eventer.demo.picture import Picture
from eventer.demo.plain import Plain
from eventer.demo.problems import Problem
from eventer.demo.tail import Line


def picture() -> Picture:
    return Picture(cluster="demo", filter="nothing")


def arrive(shown: Picture, *messages: str) -> None:
    for message in messages:
        now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        shown.events.append(
            Line(id="x", origin="event", time=now, type="Normal", reason="Odd", message=message, name="n-1", count=3)
        )
        shown.arrived += 1


def test_a_headline_is_said_once_and_then_what_is_new() -> None:
    written: list[str] = []
    screen, shown = Plain(written.append), picture()
    shown.headline, shown.words, shown.seconds = "a sink dies", ["one"], 65.0
    screen.tell(shown)
    shown.words = ["one", "two"]
    screen.tell(shown)
    assert written == ["\n== 1:05 a sink dies\n   one\n", "   two\n"]


async def test_events_are_shown_in_samples_and_the_others_counted() -> None:
    written: list[str] = []
    screen, shown = Plain(written.append), picture()
    arrive(shown, *"abcde")
    screen.draw(shown)
    screen.draw(shown)
    arrive(shown, "f")
    screen.draw(shown)  # too soon
    assert written == ["   | Normal  Odd n-1 (x3): d\n", "   | Normal  Odd n-1 (x3): e\n", "   | ... and 3 more\n"]


async def test_a_hostile_text_commands_nothing_and_stays_on_its_line() -> None:
    written: list[str] = []
    screen, shown = Plain(written.append), picture()
    arrive(shown, "\x1b[2J\r\n\u202e" + "x" * 500)
    screen.draw(shown)
    (text,) = written
    assert r"\x1b[2J\r\n\u202exx" in text
    assert text.count("\n") == 1
    assert len(text) < 180


async def test_what_the_chat_is_told_is_written_once() -> None:
    written: list[str] = []
    screen, shown = Plain(written.append), picture()
    shown.chat.append("two pods crash")
    screen.draw(shown)
    shown.chat.append("a node is gone\x1b[2J")
    screen.draw(shown)
    assert written == ["   > chat: two pods crash\n", "   > chat: a node is gone\\x1b[2J\n"]


def test_the_end_has_problems_books_and_verdict() -> None:
    written: list[str] = []
    shown = picture()
    shown.problems = [Problem("pod shop/web-0 crash-loops: 14 times in 3 minutes", 5, 14, "shop/web-0")]
    stream = StreamReport(cluster="demo", scope="events", received=2, filtered=2)
    shown.status = Status(version="0", now=0.0, journal=JournalReport(directory="/"), streams=[stream])
    Plain(written.append).end(shown, "✓ nothing is lost")
    (text,) = written
    assert "  pod shop/web-0 crash-loops: 14 times in 3 minutes\n" in text
    assert "  intake  received 2 = poison 0 + seen 0 + filtered 2 + appended 0  ✓\n" in text
    assert text.endswith("\n✓ nothing is lost\n")
