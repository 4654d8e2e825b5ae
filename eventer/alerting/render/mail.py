"""An e-mail: subject, HTML and the same as plain text (RFC 2046, 5.1.4).

Styles stand at each element, since many mail programs drop a style sheet; nothing is loaded from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape as entities
from typing import Final

import msgspec

from eventer.alerting.render.message import Message, line
from eventer.alerting.render.own import OwnWords
from eventer.alerting.render.plain import defuse
from eventer.text import escape

__all__ = ["Mail", "mail", "own_words"]

_COLOURS: Final = {"critical": "#c00000", "warning": "#c76a00", "info": "#2563a8", "resolved": "#1f7a4d"}
_FONT: Final = "font-family:-apple-system,'Segoe UI','PingFang SC','Microsoft YaHei',sans-serif;font-size:15px"
_CODE: Final = (
    "font-family:Menlo,Consolas,monospace;font-size:13px;background:#f3f4f6;padding:8px;margin:4px 0 8px;"
    "white-space:pre-wrap;overflow-wrap:anywhere"
)


_FRAME: Final = "max-width:640px;padding-left:12px"
_HIDDEN: Final = "display:none;max-height:0;overflow:hidden;mso-hide:all"
_LINES: Final = "white-space:pre-wrap;overflow-wrap:anywhere"
_ROOM: Final = 100_000
"""Bytes of words of the user's own: room for all problems that a notification names, whatever is to be escaped in
them."""


class Mail(msgspec.Struct, frozen=True):
    """The parts of an e-mail."""

    subject: str
    """One line without control characters."""
    text: str
    html: str


def own_words(subject: str, text: str, html: str) -> OwnWords:
    """Return words of the user's own for mails; an empty one changes nothing.

    Raises:
        ValueError: see `OwnWords`.
    """
    names = ("subject", "text", "html")
    return OwnWords(subject, text, defuse, html=html, entities=_plain, names=names, room=_ROOM)


def mail(message: Message) -> Mail:
    """Write a message as an e-mail."""
    return Mail(subject=escape(message.title), text=_text(message), html=_html(message))


def _text(message: Message) -> str:
    lines = [f"{name}: {value}" for name, value in message.facts]
    lines += [*map(line, message.problems), *message.rest]
    for part in message.parts:
        lines += ["", f"{part.name}:", f"  {part.text}"] if part.code else ["", f"{part.name}: {part.text}"]
    said = [*map(defuse, lines)] if message.body is None else [message.body]
    links = [f"{defuse(link.name)}: {link.url}" for link in message.links]
    return "\n".join([defuse(message.title), "", *said, *([""] if links else []), *links]) + "\n"


def _html(message: Message) -> str:
    colour = _COLOURS[message.colour]
    return (
        '<!DOCTYPE html><html><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"></head>'
        f'<body style="margin:0;padding:12px;{_FONT};color:#111;background:#fff"><div style="{_HIDDEN}">'
        f'{_glimpse(message)}</div><div style="{_FRAME};border-left:5px solid {colour}">'
        f'<h1 style="font-size:17px;line-height:1.3;margin:0 0 10px;color:{colour};overflow-wrap:anywhere">'
        f"{_plain(message.title)}</h1>{''.join(_inner(message))}</div></body></html>\n"
    )


def _glimpse(message: Message) -> str:
    """Return what a list of mails shows behind the subject, which would otherwise be the subject again, as HTML."""
    if message.body is not None:
        return entities(message.body.partition("\n")[0])
    said = next((part.text for part in message.parts), "")
    return _plain(said or ", ".join(f"{told.reason} {told.name}" for told in message.problems[:3]))


def _inner(message: Message) -> Iterator[str]:
    if message.html is not None:
        yield message.html
    elif message.body is not None:
        yield f'<div style="{_LINES}">{entities(message.body)}</div>'
    else:
        yield from _usual(message)
    links = [f'<a href="{entities(link.url)}">{_plain(link.name)}</a>' for link in message.links]
    if links:
        yield f'<p style="margin:6px 0">{" · ".join(links)}</p>'


def _usual(message: Message) -> Iterator[str]:
    if message.facts:
        rows = (
            '<tr><td style="padding:2px 12px 2px 0;color:#666;white-space:nowrap;vertical-align:top">'
            f'{entities(name)}</td><td style="padding:2px 0;overflow-wrap:anywhere">{_plain(value)}</td></tr>'
            for name, value in message.facts
        )
        yield f'<table style="border-collapse:collapse;{_FONT}">{"".join(rows)}</table>'
    for told in message.problems:
        said = f'<br><span style="color:#555">{_plain(told.message)}</span>' if told.message else ""
        yield f'<p style="margin:4px 0;overflow-wrap:anywhere">{told.mark} <b>{_plain(told.reason)}</b> '
        yield f"{_plain(told.name)}{told.times}{said}</p>"
    for said in message.rest:
        yield f'<p style="margin:6px 0;color:#555">{_plain(said)}</p>'
    for part in message.parts:
        if part.code:
            yield f'<p style="margin:6px 0 0"><b>{entities(part.name)}</b></p>'
            yield f'<div style="{_CODE}">{_plain(part.text)}</div>'
        else:
            yield f'<p style="margin:6px 0"><b>{entities(part.name)}</b> {_plain(part.text)}</p>'


def _plain(text: str) -> str:
    """Return text of strangers as text, also within quotes; mail programs make links of what looks like an address."""
    return entities(defuse(text))
