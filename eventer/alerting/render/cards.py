"""An Adaptive Card and an e-mail as parts of the page that shows how messages look (`eventer.alerting.render.preview`).

Styles are those of Teams on a phone, as far as they matter for reading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape as entities
from typing import Any, Final

__all__ = ["adaptive", "letter"]

_STYLES: Final = {
    "attention": "background:#f7e9e9;color:#a1262f;margin:-8px -12px 8px;padding:8px 12px",
    "warning": "background:#fbf3de;color:#855a06;margin:-8px -12px 8px;padding:8px 12px",
    "accent": "background:#e5e9f7;color:#2b4a8f;margin:-8px -12px 8px;padding:8px 12px",
    "good": "background:#e6f2e7;color:#1c6b2c;margin:-8px -12px 8px;padding:8px 12px",
    "emphasis": "background:#f3f2f1;padding:6px 8px",
}
_RUN: Final = {
    ("weight", "Bolder"): "font-weight:600",
    ("size", "Medium"): "font-size:16px",
    ("size", "Small"): "font-size:13px",
    ("fontType", "Monospace"): "font-family:Menlo,Consolas,monospace",
    ("isSubtle", True): "color:#616161",
}


def adaptive(card: Mapping[str, Any]) -> str:
    """Return an Adaptive Card as HTML."""
    return "".join(_element(each) for each in card["body"])


def letter(mail: Mapping[str, str]) -> str:
    """Return an e-mail as HTML: what a list of mails shows of it, and the whole below."""
    found = re.search(r"<body style=\"([^\"]*)\">(.*)</body>", mail["html"], re.DOTALL)
    assert found is not None
    head = f'<p style="border-bottom:1px solid #c9cdd4;padding-bottom:8px"><b>{entities(mail["subject"])}</b></p>'
    return f'{head}<div style="{found[1]};padding:0">{found[2]}</div>'


def _element(element: Mapping[str, Any]) -> str:
    space = {"None": "0", "Small": "4px"}.get(element.get("spacing", ""), "8px")
    if element["type"] == "Container":
        first, *others = element["items"]
        inner = "".join(map(_element, [{**first, "spacing": "None"}, *others]))
        return f'<div style="margin:{space} 0 0;{_STYLES.get(element.get("style", ""), "")}">{inner}</div>'
    if element["type"] == "RichTextBlock":
        return f'<div style="margin:{space} 0 0">{"".join(map(_run, element["inlines"]))}</div>'
    if element["type"] == "TextBlock":
        return f'<div style="margin:{space} 0 0">{_markdown(element["text"])}</div>'
    links = ((entities(each["url"]), entities(each["title"])) for each in element["actions"])
    return "".join(f'<a class="button" href="{url}">{title}</a>' for url, title in links)


def _run(run: Mapping[str, Any]) -> str:
    styles = ";".join(style for (name, value), style in _RUN.items() if run.get(name) == value)
    return f'<span style="{styles}">{entities(run["text"])}</span>'


def _markdown(text: str) -> str:
    text = re.sub(r"&lt;at&gt;(.*?)&lt;/at&gt;", r'<span class="at">\1</span>', entities(text))
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
    text = re.sub(r"\[([^\]\n]*)\]\((https?://[^()\s]*)\)", r'<a href="\2">\1</a>', text)
    return text.replace("\n\n", "<br>")
