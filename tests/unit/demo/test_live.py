"""The picture on a terminal: it fits, it says what matters at each size, and no event's text commands it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console

from eventer.control.report import JournalReport, SinkReport, Status, StreamReport
from eventer.demo.live import Terminal, frame, svg
from eventer.demo.picture import Picture
from eventer.demo.problems import Problem
from eventer.demo.tail import Line

SIZES = [(80, 24), (100, 30), (140, 40)]
HOSTILE = "\x1b[2J\x1b]0;owned\x07[bold red]text[/bold red]\r\n\u202e" + "订单库" * 60
STATUS = Status(
    version="0",
    now=0.0,
    journal=JournalReport(directory="/state", head=70),
    streams=[StreamReport(cluster="demo", scope="events", connected=True, received=100, filtered=30, appended=70)],
    sinks=[
        SinkReport(name="file", state="ok", outcomes={"delivered": 70}),
        SinkReport(
            name="webhook", state="retrying", error="It refused the connection.", pending=40, outcomes={"delivered": 30}
        ),
    ],
)


def event(message: str, reason: str = "BackOff", name: str = "web-0") -> Line:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    return Line(
        id="x", origin="event", time=now, type="Warning", reason=reason, message=message, namespace="shop", name=name
    )


def moment(message: str = "words", status: Status | None = STATUS) -> Picture:
    picture = Picture(cluster="a recording", filter="of Normal events: Pulled", status=status, daemon="running")
    picture.headline, picture.words = "2/5  a sink dies", ["The webhook refuses connections.", "The file goes on."]
    picture.changes = 103
    picture.problems = [Problem(f"pod shop/web-{n} crash-loops: 14 times in 3 minutes", 5, 14, "") for n in range(9)]
    picture.events.extend(event(f"{n} {message}") for n in range(50))
    return picture


def drawn(picture: Picture, width: int, height: int, *, colour: bool = False) -> str:
    out = io.StringIO()
    system = "truecolor" if colour else None
    Console(file=out, width=width, height=height, force_terminal=True, color_system=system).print(  # type: ignore[arg-type]
        frame(picture, width, height)
    )
    return out.getvalue()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_at_usual_sizes_everything_that_matters_is_there(width: int, height: int) -> None:
    text = drawn(moment(), width, height)
    for words in (
        "2/5  a sink dies",
        "The webhook refuses connections.",
        "● connected   103 changes   3 not read yet",
        "- 30 left out",
        "+ 70 on disk",
        "●    70 delivered      0 waiting",
        "✗    30 delivered     40 waiting",
        "pod shop/web-0 crash-loops: 14 times in 3 minutes",
        "BackOff shop/web-0: 49 words",
        "The books balance ✓",
        "✓ received 100 = poison 0 + seen 0 + filtered 30 + appended 70",
        "✓ offered 70 = delivered 30 + waiting 40",
    ):
        assert words in text, words


@pytest.mark.parametrize(("width", "height"), [*SIZES, (40, 10), (20, 5), (80, 12), (300, 100), (1, 1)])
@pytest.mark.parametrize("make", [moment, lambda: moment(HOSTILE), lambda: moment(status=None)])
def test_it_fits_whatever_is_shown(width: int, height: int, make: Callable[[], Picture]) -> None:
    picture = make()
    picture.words = [HOSTILE.translate(dict.fromkeys(range(32))), "b" * 500, "c", "more than there is room for"]
    picture.cluster = "长" * 200
    lines = drawn(picture, width, height).removesuffix("\n").split("\n")
    assert len(lines) == height
    assert max(map(cell_len, lines)) <= width


def test_more_room_shows_more() -> None:
    small, large = (drawn(moment(), *size).count("crash-loops") for size in ((80, 24), (140, 40)))
    assert 2 <= small < large
    assert drawn(moment(), 80, 24).count("words") < drawn(moment(), 140, 40).count("words")


@pytest.mark.parametrize("place", ["message", "reason", "name", "sink", "stream"])
def test_a_hostile_text_commands_nothing(place: str) -> None:
    picture = moment()
    if place == "sink":
        sink = msgspec.structs.replace(STATUS.sinks[1], error=HOSTILE, name=HOSTILE[:8])
        picture.status = msgspec.structs.replace(STATUS, sinks=[sink])
    elif place == "stream":
        stream = msgspec.structs.replace(STATUS.streams[0], connected=False, error=HOSTILE)
        picture.status = msgspec.structs.replace(STATUS, streams=[stream])
    else:
        picture.events.append(event(**({"message": "words"} | {place: HOSTILE})))
    text = drawn(picture, 200, 40, colour=True)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)  # colours of our own
    assert not set(plain) & {chr(n) for n in [*range(10), *range(11, 32), 0x202E]}
    assert r"\x1b[2J" in plain
    assert "[bold red]" in plain or place == "sink"


def test_a_killed_daemon_and_books_that_do_not_balance_are_plain_to_see() -> None:
    picture = moment(status=msgspec.structs.replace(STATUS, journal=JournalReport(directory="/state", head=71)))
    picture.daemon = "killed"
    text = drawn(picture, 80, 24)
    assert "✗ killed: nobody reads" in text
    assert "THE BOOKS DO NOT BALANCE ✗" in text
    assert "✗ offered 71 = delivered 70 + waiting 0" in text


def test_without_colour_nothing_is_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    Console(file=out, width=80, height=24, force_terminal=True).print(frame(moment(), 80, 24))
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", out.getvalue())


def test_the_terminal_is_given_back_with_the_end_on_it() -> None:
    out = io.StringIO()
    terminal = Terminal(Console(file=out, width=80, height=24, force_terminal=True, color_system=None))
    terminal.begin("Eventer demo.")
    terminal.draw(moment())
    terminal.end(moment(), "✓ nothing is lost", "[bold]as it is[/bold]")
    taken, given = out.getvalue().split("\x1b[?1049l")
    assert "\x1b[?1049h" in taken
    assert "2/5  a sink dies" in taken
    assert "The books balance ✓" in given
    assert "✓ nothing is lost\n[bold]as it is[/bold]\n" in given
    assert "\x1b[?25h" in out.getvalue()


def test_the_svg_needs_nothing_from_elsewhere() -> None:
    text = svg(moment(HOSTILE), 100, 28)
    ET.fromstring(text)
    assert "a&#160;sink&#160;dies" in text
    assert "@font-face" not in text
    assert "url(http" not in text.replace('"', "")
    assert len(text.encode()) < 100_000


def test_what_is_cut_off_is_marked() -> None:
    lines = drawn(moment("long " * 50), 80, 24).split("\n")
    assert {line.rstrip()[-1] for line in lines if "long long" in line} == {"…"}


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_chat_takes_room_from_the_stream_and_from_nothing_else(width: int, height: int) -> None:
    picture = moment()
    picture.chat.extend(f"[prod] 🟠 problem {n}\x1b[2J of many" for n in range(30))
    text = drawn(picture, width, height)
    assert len(text.splitlines()) == height
    assert "The books balance" in text
    assert "pod shop/web-0 crash-loops" in text
    assert "problem 29\\x1b[2J" in text or "What people are told" not in text
    assert "\x1b[2J" not in text


def test_the_chat_is_shown_where_there_is_room() -> None:
    picture = moment()
    picture.chat.append("[prod] 🔴 NodeNotReady · Node n1")
    assert "✉ [prod] 🔴 NodeNotReady · Node n1" in drawn(picture, 100, 40)
