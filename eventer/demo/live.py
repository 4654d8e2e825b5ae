"""The demo as a picture on a terminal. The sole importer of rich, which is an extra that only people need.

Nothing here is markup: texts go into `Text`, which takes them as they are, after `escape` has made visible what
commands a terminal. Widths are those of cells, so wide characters do not push a line over the edge.
"""

from __future__ import annotations

import io
import re
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from eventer.control.report import SinkReport
from eventer.demo.books import equations
from eventer.demo.picture import Picture, readable
from eventer.text import escape

__all__ = ["Terminal", "frame", "svg"]

_FONT_FACE: Final = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""rich's SVG fetches its font from a server, which a picture in a README may not."""
_MOODS: Final = {"calm": "bold cyan", "trouble": "bold red", "good": "bold green"}
_TITLE: Final = "bold white on blue"
_HEAD: Final = "bold"
_BAR: Final = 24
"""Cells of the bar of waiting events."""
_FULL: Final = 120
"""Waiting events that fill it."""


class Terminal:
    """See `eventer.demo.picture.Screen`.

    Args:
        console: of the terminal; that of standard output if None.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = Live(
            console=self._console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )

    def begin(self, *lines: str) -> None:
        """Take the screen."""
        self._live.start()
        self._live.update(Group(*(_line(line) for line in lines)), refresh=True)

    def draw(self, picture: Picture) -> None:
        """Show a moment."""
        size = self._console.size
        self._live.update(frame(picture, size.width, size.height), refresh=True)

    def tell(self, picture: Picture) -> None:
        """Show a moment."""
        self.draw(picture)

    def end(self, picture: Picture | None, *lines: str) -> None:
        """Give the screen back, and leave on it how it ended."""
        self._live.stop()
        width = self._console.width
        if picture is not None:
            self._console.print(Group(*_problems(picture, width, 5), Text(), *_books(picture, width), Text()))
        for line in lines:
            self._console.print(_line(line), overflow="fold", no_wrap=False)


def frame(picture: Picture, width: int, height: int) -> RenderableType:
    """Return a picture of this size exactly: never wider, never higher.

    Args:
        picture: what to show.
        width: cells.
        height: rows; what matters most is at the top, and the rest shares what is left.
    """
    lines = [_title(picture, width), *_caption(picture, width), *_path(picture, width)]
    books = _books(picture, width)
    room = height - len(lines) - len(books) - 1
    if room > 3:
        most = room // 5 + 1 if picture.chat else room * 2 // 5 + 1  # half of it is the chat's
        problems = max(2, min(max(len(picture.problems), 1) + 1, most, 9))
        lines += [Text(), *_problems(picture, width, problems - 1)]
        room = height - len(lines) - len(books) - 2
        if picture.chat and room > 4:
            lines += [Text(), *_chat(picture, width, min(len(picture.chat), room // 2 - 1))]
            room = height - len(lines) - len(books) - 2
        if room > 1:
            lines += [Text(), *_events(picture, width, room - 1)]
    lines += [Text()] * (height - len(lines) - len(books))
    lines += books
    return Group(*lines[:height])


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis", end="\n")


def _fit(text: Text, width: int) -> Text:
    text.no_wrap = True
    text.truncate(width, overflow="ellipsis")
    return text


def _title(picture: Picture, width: int) -> Text:
    left = f" Eventer demo   {picture.cluster}   {int(picture.seconds) // 60}:{int(picture.seconds) % 60:02}"
    right = f"{picture.after} "
    text = Text(left, style=_TITLE)
    text.truncate(max(0, width - len(right) - 1), overflow="ellipsis")
    text.append(" " * max(0, width - text.cell_len - len(right)) + right)
    return _fit(text, width)


def _caption(picture: Picture, width: int) -> list[Text]:
    """Always of the same height, so that what is under it stands still."""
    rows = [_fit(Text(f" {picture.headline}", style=_MOODS[picture.mood]), width)]
    rows += [_fit(Text(f" {words}"), width) for words in picture.words[:3]]
    return rows + [Text()] * (4 - len(rows))


def _path(picture: Picture, width: int) -> list[Text]:
    """The way of an event: cluster, filter, journal, and each sink."""
    status = picture.status
    streams = status.streams if status else []
    received = sum(stream.received for stream in streams)
    filtered = sum(stream.filtered for stream in streams)
    head = status.journal.head if status else 0
    if picture.daemon == "killed":
        state, style = "✗ killed: nobody reads", "bold red"
    elif picture.daemon != "running" or not streams:
        state, style = "… starting" if picture.daemon != "stopping" else "… stopping", "yellow"
    elif all(stream.connected for stream in streams):
        state, style = "● connected", "green"
    else:
        state, style = f"✗ {next(escape(each.error) for each in streams if not each.connected)}", "red"
    cluster = _row(("cluster", _HEAD), (state, style))
    if picture.changes is not None:
        unread = max(0, picture.changes - received)
        cluster.append(f"   {picture.changes} changes")
        cluster.append(f"   {unread} not read yet" if unread else "", style="bold yellow")
    else:
        cluster.append(f"   {received} changes read")
    rows = [
        cluster,
        _row(("filter", _HEAD), (f"- {filtered} left out", "yellow"), (f"   {picture.filter}", "dim")),
        _row(
            ("journal", _HEAD), (f"+ {head} on disk", "green"), ("   first of all, with its place in the stream", "dim")
        ),
    ]
    sinks = sorted(status.sinks, key=lambda sink: sink.name) if status else []
    return [_fit(row, width) for row in [*rows, *(_sink(sink, picture) for sink in sinks)]]


def _row(head: tuple[str, str], *parts: tuple[str, str]) -> Text:
    text = Text(f" {head[0]:<9}", style="")
    text.stylize(head[1])
    for part, style in parts:
        text.append(part, style=style)
    return text


def _sink(sink: SinkReport, picture: Picture) -> Text:
    if picture.daemon == "killed":
        mark, style, why = "✗", "red", "Eventer is dead"
    elif picture.daemon != "running":
        mark, style, why = "…", "yellow", ""
    elif sink.state in {"retrying", "blocked"}:
        mark, style, why = "✗", "bold red", sink.error
    else:
        mark, style, why = "●", "green", ""
    delivered = sink.outcomes.get("delivered", 0)
    text = Text.assemble(("  └ ", "dim"), (f"{escape(sink.name)[:12]:<9}", _HEAD))
    text.append(f"{mark} {delivered:>5} delivered", style=style)
    if sink.pending:
        text.append(f"   {sink.pending:>4} waiting ", style="bold yellow")
        text.append("▇" * max(1, min(_BAR, sink.pending * _BAR // _FULL)), style="yellow")
    else:
        text.append("      0 waiting", style="dim")
    if sink.parked or sink.dead:
        text.append(f"   {sink.parked} parked, {sink.dead} dead letters", style="red")
    if why:
        text.append(f"   {escape(why)}", style="red")
    return text


def _problems(picture: Picture, width: int, most: int) -> list[Text]:
    rows = [Text(" Worst problems of the moment", style=_HEAD)]
    for problem in picture.problems[:most]:
        style = "red" if problem.weight >= 4 else "yellow"
        rows.append(_fit(Text.assemble(("  ▲ ", style), (problem.text, style)), width))
    if not picture.problems:
        rows.append(Text("  none so far", style="dim"))
    return [_fit(row, width) for row in rows[: most + 1]]


def _chat(picture: Picture, width: int, most: int) -> list[Text]:
    rows = [Text(" What people are told in the chat", style=_HEAD)]
    rows += [Text.assemble(("  ✉ ", "cyan"), escape(title)) for title in list(picture.chat)[-most:]]
    return [_fit(row, width) for row in rows]


def _events(picture: Picture, width: int, most: int) -> list[Text]:
    rows = [Text(" Events as they arrive in the file", style=_HEAD)]
    for event in list(picture.events)[-most:] if most > 0 else []:
        kind, reason, rest = readable(event)
        style = "yellow" if event.type == "Warning" else ""
        row = Text.assemble((f"  {event.time:%H:%M:%S} ", "dim"), (f"{kind[:8]:<8}", style or "green"))
        rows.append(row.append(f"{reason} ", style="bold").append(rest))
    return [_fit(row, width) for row in rows]


def _books(picture: Picture, width: int) -> list[Text]:
    """The equations, each with its verdict."""
    if picture.status is None:
        return []
    rows = equations(picture.status)
    good = all(row.holds for row in rows)
    text = " The books balance ✓" if good else " THE BOOKS DO NOT BALANCE ✗"
    lines = [Text(text, style="bold green" if good else "bold red")]
    for row in rows:
        # The verdict goes first: it must not be what a narrow terminal cuts off.
        verdict = ("✓ ", "green") if row.holds else ("✗ ", "bold red")
        lines.append(Text.assemble(f"  {escape(row.name)[:9]:<10}", verdict, f"{row.total} = {row.terms}"))
    return [_fit(line, width) for line in lines]


def svg(picture: Picture, width: int, height: int) -> str:
    """Return the picture as SVG that needs nothing from elsewhere: any monospaced font will do."""
    console = Console(
        record=True, width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(frame(picture, width, height))
    drawn = console.export_svg(title="eventer demo", unique_id="eventer-demo")
    return _FONT_FACE.sub("", drawn).replace("Fira Code,", "ui-monospace, Menlo, Consolas,")
