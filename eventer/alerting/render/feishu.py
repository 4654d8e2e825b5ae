"""The card of Feishu's and Lark's custom bots.

Body, card and limit (20 KB): https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot; text and markdown of
a card, and that its special characters are written as HTML entities:
https://open.feishu.cn/document/ukTMukTMukTM/uADOwUjLwgDM14CM4ATN.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from eventer.alerting.notification import Notification
from eventer.alerting.render.message import Mentions, Message, Told, View, fit
from eventer.text import escape

__all__ = ["LIMIT", "payload", "plain"]

LIMIT: Final = 20_000
"""Bytes of a request's body, sign and timestamp included."""
_KEPT: Final = 18_000
_COLOURS: Final = {"critical": "red", "warning": "orange", "info": "blue", "resolved": "green"}
_SPECIAL: Final = re.compile(r"[&<>*_~`\[\]()#!|\\$@\"'+-]|:(?=//)|(?<=www)\.", re.IGNORECASE)


def payload(note: Notification, view: View, keyword: str = "") -> dict[str, Any]:
    """Put a notification into the body of a request, without its signature.

    Args:
        note: what to tell.
        view: for whom; users are open_ids (`ou_...`).
        keyword: a word that the bot wants in each message; empty if it wants none.
    """
    return fit(
        note,
        view,
        lambda message: {"msg_type": "interactive", "card": _card(message, keyword)},
        lambda made: len(msgspec.json.encode(made)) <= _KEPT,
    )


def _card(message: Message, keyword: str) -> dict[str, Any]:
    elements: list[dict[str, Any]] = [_div(message.body)] if message.body else []
    if message.facts:
        elements.append(_div("\n".join(f"**{name}** {plain(value)}" for name, value in message.facts)))
    if message.problems:
        elements.append(_div("\n".join(map(_line, message.problems))))
    if message.rest:
        elements.append({"tag": "div", "text": _text("\n".join(map(escape, message.rest)))})
    elements += [_div(f"**{part.name}** {plain(part.text)}") for part in message.parts]
    if message.links:
        buttons = [
            {"tag": "button", "text": _text(each.name), "url": each.url, "type": "default"} for each in message.links
        ]
        elements.append({"tag": "action", "actions": buttons})
    called = _called(message.mentions)
    if called:
        elements.append(_div(called))
    if keyword:
        elements.append({"tag": "note", "elements": [_text(keyword)]})
    return {
        "config": {"wide_screen_mode": True},
        "header": {"title": _text(escape(message.title)), "template": _COLOURS[message.colour]},
        "elements": elements or [{"tag": "hr"}],
    }


def _line(told: Told) -> str:
    said = f": {plain(told.message)}" if told.message else ""
    return f"{told.mark} **{plain(told.reason)}** {plain(told.name)}{told.times}{said}"


def _div(markdown: str) -> dict[str, Any]:
    return {"tag": "div", "text": _markdown(markdown)}


def _markdown(content: str) -> dict[str, Any]:
    return {"tag": "lark_md", "content": content}


def _called(who: Mentions) -> str:
    ids = [*who.users, *(["all"] if who.all else [])]
    return " ".join(f"<at id={user}></at>" for user in ids)


def _text(text: str) -> dict[str, Any]:
    # Shown as it is: nothing in it is markdown, a link or a mention.
    return {"tag": "plain_text", "content": text}


def plain(text: str) -> str:
    """Return text of strangers as text within markdown."""
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", escape(text))
