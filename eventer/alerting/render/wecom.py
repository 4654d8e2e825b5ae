"""The markdown of WeCom's group robots.

At most 4,096 bytes of UTF-8; headings, bold, links, inline code, quotes and three colours; `<@userid>` mentions, and
nothing takes a character's meaning away: https://developer.work.weixin.qq.com/document/path/91770.
"""

from __future__ import annotations

import re
from typing import Any, Final

from eventer.alerting.notification import Notification
from eventer.alerting.render.message import Message, View, fit
from eventer.alerting.render.plain import APART, apart, defuse

__all__ = ["LIMIT", "payload", "plain"]

LIMIT: Final = 4096
"""Bytes of the markdown."""
_COLOURS: Final = {"critical": "warning", "warning": "warning", "info": "comment", "resolved": "info"}
_MARKUP: Final = re.compile(r"(?<=\*)(?=\*)|(?<=\])(?=\()|(?<=_)(?=_)")


def payload(note: Notification, view: View, limit: int = LIMIT) -> dict[str, Any]:
    """Put a notification into the body of a request.

    Args:
        note: what to tell.
        view: for whom; users are those of the address book.
        limit: bytes that the markdown may have.
    """
    return fit(
        note,
        view,
        lambda message: {"msgtype": "markdown", "markdown": {"content": _content(message)}},
        lambda made: len(made["markdown"]["content"].encode()) <= limit,
    )


def _content(message: Message) -> str:
    lines = [f'**<font color="{_COLOURS[message.colour]}">{plain(message.title)}</font>**']
    lines += [message.body] if message.body else []
    lines += [f'> <font color="comment">{name}</font> {plain(value)}' for name, value in message.facts]
    for each in message.problems:
        said = f": {plain(each.message)}" if each.message else ""
        lines.append(f"{each.mark} **{plain(each.reason)}** {plain(each.name)}{each.times}{said}")
    lines += [f'<font color="comment">{plain(said)}</font>' for said in message.rest]
    for part in message.parts:
        quote = "`" if part.code else ""
        lines.append(f"**{part.name}** {quote}{plain(part.text)}{quote}")
    if message.links:
        lines.append(" | ".join(f"[{plain(link.name)}]({link.url})" for link in message.links))
    if message.mentions:
        lines.append("".join(f"<@{user}>" for user in message.mentions.users))
    return "\n".join(lines)


def plain(text: str) -> str:
    """Return text of strangers as text. A backtick becomes an apostrophe: it would end the code that it stands in.

    A backslash is kept from a `u`: a request with an escaped character is refused with 40033.
    """
    return _MARKUP.sub(APART, apart(defuse(text).replace("`", "'"), "<\\"))
