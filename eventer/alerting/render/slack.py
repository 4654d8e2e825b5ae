"""Slack's blocks, in an attachment for the sake of its colour.

Text, escaping and mentions: https://docs.slack.dev/messaging/formatting-message-text; lengths of blocks:
https://docs.slack.dev/reference/block-kit/blocks/section-block; `verbatim`, which keeps names and addresses as text:
https://docs.slack.dev/reference/block-kit/composition-objects/text-object. What is mentioned in an attachment
notifies nobody, so mentions stand in the text above it.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from eventer.alerting.notification import Notification
from eventer.alerting.render.message import Mentions, Message, Told, View, fit
from eventer.alerting.render.plain import APART, defuse

__all__ = ["payload", "plain"]

SECTION: Final = 3_000
"""Characters of a section's text."""
TEXT: Final = 4_000
"""Characters of the text above the attachment; Slack cuts it at ten times as many."""
_KEPT: Final = 30_000
"""Bytes of a request's body: what no reader would scroll through."""
_COLOURS: Final = {"critical": "#d00000", "warning": "#e8912d", "info": "#3b82c4", "resolved": "#2eb67d"}
_MARKUP: Final = re.compile(r"[*_~`]")


def payload(note: Notification, view: View) -> dict[str, Any]:
    """Put a notification into the body of a request.

    Args:
        note: what to tell.
        view: for whom; users are ids of members (`U...`) and of groups (`S...`).
    """
    return fit(note, view, _write, _short)


def _write(message: Message) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [_section(message.body)] if message.body else []
    # Lines, not fields: on a phone those stand below each other, two lines each.
    if message.facts:
        blocks.append(_section("\n".join(f"*{name}* {plain(value)}" for name, value in message.facts)))
    if message.problems:
        blocks.append(_section("\n".join(map(_line, message.problems))))
    if message.rest:
        blocks.append({"type": "context", "elements": [_text(plain(said)) for said in message.rest]})
    for part in message.parts:
        text = f"```{plain(part.text)}```" if part.code else plain(part.text)
        blocks.append(_section(f"*{part.name}* {text}"))
    if message.links:
        links = (f"<{link.url.replace('&', '&amp;')}|{plain(link.name)}>" for link in message.links)
        blocks.append(_section(" | ".join(links)))
    title = plain(message.title)
    made: dict[str, Any] = {
        "text": f"{_called(message.mentions)}*{title}*",
        "unfurl_links": False,
        "unfurl_media": False,
    }
    if blocks:
        made["attachments"] = [{"color": _COLOURS[message.colour], "fallback": title, "blocks": blocks}]
    return made


def _short(made: dict[str, Any]) -> bool:
    blocks = [block for attachment in made.get("attachments", ()) for block in attachment["blocks"]]
    texts = [(block["text"]["text"], SECTION) for block in blocks if "text" in block]
    texts.append((made["text"], TEXT))
    return all(len(text) <= most for text, most in texts) and len(msgspec.json.encode(made)) <= _KEPT


def _line(told: Told) -> str:
    said = f": {plain(told.message)}" if told.message else ""
    return f"{told.mark} *{plain(told.reason)}* {plain(told.name)}{told.times}{said}"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _text(text)}


def _text(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _called(who: Mentions) -> str:
    called = [f"<!subteam^{user}>" if user.startswith("S") else f"<@{user}>" for user in who.users]
    called += ["<!channel>"] if who.all else []
    return f"{' '.join(called)} " if called else ""


def plain(text: str) -> str:
    """Return text of strangers as text; the three characters that can begin anything become entities."""
    text = defuse(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(lambda match: APART + match[0] + APART, text)
