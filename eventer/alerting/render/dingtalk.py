"""The messages of DingTalk's robots: markdown, text, actionCard, link, and the text that kube-eventer sends.

Types, fields and what markdown can do: https://open.dingtalk.com/document/orgapp/custom-robots-send-group-messages
and https://open.dingtalk.com/document/orgapp/message-type. The markdown knows headings, bold, quotes, links and
lists, no tables and no fenced code, and swallows a single line break; a backslash takes a character's meaning away.
Who is mentioned stands both in `at` and in the text. A message has at most 20,000 bytes: more is answered with
460101 ("message too long, exceed 20000 bytes").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Any, Final, Literal

import msgspec

from eventer.alerting.notification import Item, Notification
from eventer.alerting.render.message import NAMED, Mentions, Message, View, compose, fit, line
from eventer.alerting.render.plain import defuse
from eventer.text import escape, shorten

__all__ = ["LIMIT", "Format", "payload", "plain"]

Format = Literal["markdown", "text", "actionCard", "link", "kube-eventer"]
LIMIT: Final = 20_000
"""Bytes of a request's body."""
_KEPT: Final = 18_000
"""Bytes that we use of them: nobody says how they are counted."""
_SPECIAL: Final = re.compile(r"([\\`*_\[\]~])")


def payload(
    note: Notification, view: View, form: Format = "markdown", keyword: str = "", labels: Sequence[str] = ()
) -> dict[str, Any]:
    """Put a notification into the body of a request.

    Args:
        note: what to tell.
        view: for whom.
        form: type of the message; `kube-eventer` is a text of the seven lines that kube-eventer sends. An
            actionCard or a link without an address to lead to goes as markdown, since it needs one.
        keyword: a word that the robot wants in each message; empty if it wants none.
        labels: lines that come before the seven.
    """
    if form == "kube-eventer":
        who = compose(note, view, 0).mentions
        for named in range(min(len(note.items), NAMED), 0, -1):
            rest = compose(note, view, named).rest
            made = _text("\n".join([_seven(note.items[:named], labels, view.zone), *rest]), keyword, who)
            if _short(made):
                return made
        form = "text"  # a summary names no problem: it has no seven lines
    return fit(note, view, lambda message: _write(message, form, keyword), _short)


def _write(message: Message, form: Format, keyword: str) -> dict[str, Any]:
    if form == "text":
        return _text(_lines(message), keyword, message.mentions)
    if form == "link" and message.links:
        return _link(message, keyword)
    card = form == "actionCard" and bool(message.links)
    blocks = _blocks(message, buttons=card)
    title = escape(message.title)
    if keyword and keyword not in "\n".join(blocks):
        blocks.append(keyword)
    if card:
        buttons = [{"title": link.name, "actionURL": link.url} for link in message.links]
        body = {"title": title, "text": "\n\n".join(blocks), "btnOrientation": "1", "btns": buttons}
        return {"msgtype": "actionCard", "actionCard": body}
    at, called = _at(message.mentions)
    text = "\n\n".join([*blocks, called] if called else blocks)
    return {"msgtype": "markdown", "markdown": {"title": title, "text": text}, "at": at}


def _blocks(message: Message, *, buttons: bool) -> list[str]:
    """Return what an empty line parts, since a single line break is none."""
    blocks = [f"### {plain(message.title)}", *([message.body] if message.body else [])]
    if message.facts:
        # Two blanks at the end of a line break it within a quote.
        blocks.append("  \n".join(f"> **{name}** {plain(value)}" for name, value in message.facts))
    for each in message.problems:
        said = f": {plain(each.message)}" if each.message else ""
        blocks.append(f"- {each.mark} **{plain(each.reason)}** {plain(each.name)}{each.times}{said}")
    blocks += map(plain, message.rest)
    # There is no code to put a message into: the quote is what comes closest.
    blocks += [f"{'> ' if part.code else ''}**{part.name}** {plain(part.text)}" for part in message.parts]
    if message.links and not buttons:
        blocks.append(" | ".join(f"[{plain(link.name)}]({link.url})" for link in message.links))
    return blocks


def _link(message: Message, keyword: str) -> dict[str, Any]:
    # Chats show the first lines of it: what the event says comes first, what the title says comes last.
    lines = [f"{part.name}: {part.text}" for part in message.parts] + [line(told) for told in message.problems]
    lines += [*message.rest, *(f"{name}: {value}" for name, value in message.facts)]
    title = escape(message.title)
    text = "\n".join([*([message.body] if message.body else []), *map(defuse, lines)]) or title
    if keyword and keyword not in title + text:
        text = f"{text}\n{keyword}"
    return {
        "msgtype": "link",
        "link": {"title": title, "text": text, "messageUrl": message.links[0].url, "picUrl": ""},
    }


def _lines(message: Message) -> str:
    head = [defuse(message.title), *([message.body] if message.body else [])]
    lines = [*(f"{name}: {value}" for name, value in message.facts), *map(line, message.problems)]
    lines += [*message.rest, *(f"{part.name}: {part.text}" for part in message.parts)]
    links = [f"{defuse(link.name)}: {link.url}" for link in message.links]
    return "\n".join([*head, *map(defuse, lines), *links])


def _text(content: str, keyword: str, who: Mentions) -> dict[str, Any]:
    at, called = _at(who)
    more = [keyword] if keyword and keyword not in content else []
    lines = [content, *more, *([called] if called else [])]
    return {"msgtype": "text", "text": {"content": "\n".join(lines)}, "at": at}


def _at(who: Mentions) -> tuple[dict[str, Any], str]:
    at = {"atMobiles": list(who.mobiles), "atUserIds": list(who.users), "isAtAll": who.all}
    return at, " ".join(f"@{name}" for name in (*who.mobiles, *who.users))


def _seven(items: Sequence[Item], labels: Sequence[str], zone: tzinfo) -> str:
    """Return what kube-eventer writes for each event, but with the name of the object, not that of the Event.

    A line for each label comes first; each line of the seven ends with a blank
    (https://github.com/AliyunContainerService/kube-eventer/blob/master/sinks/dingtalk/dingtalk.go).
    """
    blocks = []
    for item in items:
        at = datetime.fromtimestamp(item.last, zone)
        values = {
            "Level": item.type,
            "Kind": item.kind,
            "Namespace": item.namespace,
            "Name": item.name,
            "Reason": item.reason,
            "Timestamp": f"{at:%Y-%m-%d %H:%M:%S}",
            "Message": item.message,
        }
        lines = [*map(defuse, labels), *(f"{name}:{defuse(shorten(value, 600))} " for name, value in values.items())]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _short(made: dict[str, Any]) -> bool:
    return len(msgspec.json.encode(made)) <= _KEPT


def plain(text: str) -> str:
    """Return text of strangers as text: no markup, no link, no mention, no second line."""
    return _SPECIAL.sub(r"\\\1", defuse(text)).replace("&", "&amp;").replace("<", "&lt;")
