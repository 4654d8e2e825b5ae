"""What chat and mail programs make of a message, as a page for a browser: close enough to see how it reads on a phone.

It reads what is really sent, so that what a dialect escapes wrongly is seen here too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape as entities
from typing import Any, Final

from eventer.alerting.render.cards import adaptive, letter

__all__ = ["page"]

_PAGE: Final = """<!DOCTYPE html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Eventer</title><style>
body{font-family:-apple-system,'Segoe UI','PingFang SC','Microsoft YaHei',sans-serif;font-size:15px;background:#e8eaed;
margin:12px;color:#1f2329}
.phone{width:351px;background:#fff;border-radius:8px;padding:0 12px 10px;margin:0 0 16px;overflow:hidden;
overflow-wrap:anywhere;line-height:1.4;padding-top:8px}
h2{font-size:13px;color:#646a73;margin:0 0 4px}h3{font-size:17px;margin:0 0 8px}p{margin:6px 0}
blockquote{border-left:3px solid #c9cdd4;margin:6px 0;padding:0 0 0 8px;color:#4e5969}
code{font-family:Menlo,Consolas,monospace;font-size:13px;background:#f2f3f5;white-space:pre-wrap}
.head{margin:-8px -12px 8px;padding:8px 12px;color:#fff;font-weight:bold}.bar{border-left:4px solid;padding-left:10px}
.said{display:block;border-left:3px solid #c9cdd4;padding-left:8px}
.at{color:#3370ff}.button{display:inline-block;border:1px solid #c9cdd4;border-radius:4px;padding:4px 10px;
margin:6px 8px 0 0;color:#1f2329;text-decoration:none}
</style></head><body>
"""
_COLOURS: Final = {"red": "#d83931", "orange": "#de7802", "blue": "#3370ff", "green": "#2ea121"}
_FONTS: Final = {"warning": "#ff8800", "comment": "#8f959e", "info": "#2ea121"}


def page(messages: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """Return a page with each message as on a phone.

    Args:
        messages: a heading, and the body of the request as the dialect wrote it.
    """
    shown = (f'<h2>{entities(head)}</h2><div class="phone">{_message(body)}</div>' for head, body in messages)
    return f"{_PAGE}{''.join(shown)}</body></html>\n"


def _message(body: Mapping[str, Any]) -> str:
    kind = body.get("msgtype", body.get("msg_type", body.get("type", "slack")))
    if kind == "message":
        return adaptive(body["attachments"][0]["content"])
    if kind == "mail":
        return letter(body)
    if kind == "text":
        return _lines(entities(body["text"]["content"]))
    if kind == "interactive":
        return _card(body["card"])
    if kind == "slack":
        return _slack(body)
    if kind == "link":
        link = body["link"]
        return f"<h3>{entities(link['title'])}</h3><p>{_lines(entities(link['text']))}</p>" + _button(
            "🔗", link["messageUrl"]
        )
    if kind == "actionCard":
        buttons = "".join(_button(each["title"], each["actionURL"]) for each in body["actionCard"]["btns"])
        return _dingtalk(body["actionCard"]["text"]) + buttons
    text = body["markdown"].get("text")
    return _dingtalk(text) if text is not None else _wecom(body["markdown"]["content"])


def _dingtalk(text: str) -> str:
    """Headings, quotes, lists, bold and links; entities and backslashes say what is none of them."""
    text = re.sub(r"\\(.)", lambda match: f"&#{ord(match[1])};", text.replace("<", "&lt;"))
    blocks = []
    for block in text.split("\n\n"):
        inner = _links(_bold(block, r"\*\*"))
        if block.startswith("### "):
            blocks.append(f"<h3>{inner[4:]}</h3>")
        elif block.startswith("> "):
            quote = _lines(re.sub(r"(^|\n)> ", r"\1", inner))
            blocks.append(f"<blockquote>{quote}</blockquote>")
        else:
            blocks.append(f"<p>{re.sub('^- ', '• ', inner)}</p>")
    return _called("".join(blocks))


def _wecom(text: str) -> str:
    """Colours, bold, code, quotes, links and mentions; what is none of them has zero-width spaces in it."""
    text = re.sub(r"`([^`\n]*)`", r"<code>\1</code>", _links(_bold(entities(text, quote=False), r"\*\*")))
    text = re.sub(
        r'&lt;font color="(\w+)"&gt;(.*?)&lt;/font&gt;',
        lambda match: f'<span style="color:{_FONTS[match[1]]}">{match[2]}</span>',
        text,
    )
    text = re.sub(r"&lt;@([\w.@-]+)&gt;", r'<span class="at">@\1</span>', text)
    return _lines(re.sub(r"(^|(?<=\n))&gt; (.*)(\n|$)", r'<span class="said">\2</span>', text))


def _card(card: Mapping[str, Any]) -> str:
    head = card["header"]
    parts = [f'<div class="head" style="background:{_COLOURS[head["template"]]}">{_lark(head["title"])}</div>']
    for element in card["elements"]:
        if "text" in element:
            parts.append(f"<p>{_lark(element['text'])}</p>")
        parts += [f'<p style="color:#8f959e">{_lark(each)}</p>' for each in element.get("elements", ())]
        parts += [_button(each["text"]["content"], each["url"]) for each in element.get("actions", ())]
    return "".join(parts)


def _lark(text: Mapping[str, str]) -> str:
    content = text["content"]
    if text["tag"] == "plain_text":
        return _lines(entities(content))
    content = re.sub(r"<at id=(\w+)></at>", r'<span class="at">@\1</span>', content)
    return _lines(_bold(content, r"\*\*"))


def _slack(body: Mapping[str, Any]) -> str:
    parts = [f"<p>{_mrkdwn(body['text'])}</p>"]
    for attachment in body.get("attachments", ()):
        parts.append(f'<div class="bar" style="border-color:{attachment["color"]}">')
        for block in attachment["blocks"]:
            parts += [f"<p>{_mrkdwn(block['text']['text'])}</p>"] if "text" in block else []
            parts += [f'<p style="color:#8f959e">{_mrkdwn(each["text"])}</p>' for each in block.get("elements", ())]
        parts.append("</div>")
    return "".join(parts)


def _mrkdwn(text: str) -> str:
    text = re.sub("\u200b([*_~`])\u200b", lambda match: f"&#{ord(match[1])};", text)
    text = re.sub(
        r"<(https?://[^|<>]*)\|([^<>]*)>", lambda match: f"[{match[2]}]({match[1].replace('&amp;', '&')})", text
    )
    text = re.sub(r"<([@!][^<>]*)>", lambda match: f"\x01{match[1].lstrip('@!')}\x02", text)
    text = re.sub("```(.*?)```|`(.*?)`", lambda match: f"<code>{match[1] or match[2]}</code>", text)
    text = _bold(text, r"\*")
    return _lines(_links(text).replace("\x01", '<span class="at">@').replace("\x02", "</span>"))


def _bold(text: str, mark: str) -> str:
    return re.sub(f"{mark}(.+?){mark}", r"<b>\1</b>", text)


def _links(text: str) -> str:
    def link(match: re.Match[str]) -> str:
        return f'<a href="{entities(match[2].replace("&amp;", "&"))}">{match[1]}</a>'

    return re.sub(r"\[([^\]\n]*)\]\((https?://[^()\s]*)\)", link, text)


def _called(text: str) -> str:
    return re.sub(r"(?<![\w&])@(?!\u200b)([\w-]+)", r'<span class="at">@\1</span>', text)


def _button(name: str, url: str) -> str:
    return f'<a class="button" href="{entities(url)}">{entities(name)}</a>'


def _lines(text: str) -> str:
    return text.replace("  \n", "\n").replace("\n", "<br>")
