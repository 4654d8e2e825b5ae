"""Text of strangers stays text in every dialect: it neither mentions, links, breaks out nor is evaluated."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventer.alerting.notification import Notification
from eventer.alerting.render import dingtalk, feishu, slack, teams, wecom
from eventer.alerting.render.mail import mail, own_words
from eventer.alerting.render.message import View, compose
from eventer.alerting.render.own import OwnWords
from eventer.alerting.render.preview import page
from eventer.alerting.render.terminal import terminal
from eventer.alerting.render.words import title
from tests.helpers.markup import Tags
from tests.helpers.notes import SHANGHAI, item, leaves, note

ZH = View(language="zh", zone=SHANGHAI)
APART = "\u200b"


ADDRESS = rf"://|[wW]{{3}}\.(?!{APART})|@(?!{APART})|\n"
"""What a chat makes a link or a mention of, and what begins a new line."""


def marks(pattern: str, payload: Any) -> list[str]:
    return [found for text in leaves(payload) for found in re.findall(pattern, text)]


def of_dingtalk(told: Notification) -> Any:
    made = dingtalk.payload(told, ZH)
    plain = re.sub(r"\\.", "", made["markdown"]["text"])  # what a backslash has taken the meaning of
    return marks(rf"[\\*_`\[\]~<]|{ADDRESS}", plain)


def of_dingtalk_text(told: Notification) -> Any:
    return marks(ADDRESS, dingtalk.payload(told, ZH, "text"))


def of_kube_eventer(told: Notification) -> Any:
    return marks(ADDRESS, dingtalk.payload(told, ZH, "kube-eventer"))


def of_wecom(told: Notification) -> Any:
    return marks(rf"<(?!{APART})|\*\*|\]\(|`|{ADDRESS}", wecom.payload(told, ZH))


def of_feishu(told: Notification) -> Any:
    card = feishu.payload(told, ZH)["card"]
    inner = [text for node in nodes(card) if node.get("tag") == "lark_md" for text in leaves(node["content"])]
    plain = [text for node in nodes(card) if node.get("tag") == "plain_text" for text in leaves(node["content"])]
    return marks(rf"[<>*_~`\[\]()!|\\$'\"+-]|#(?!\d)|{ADDRESS}", inner), marks("\n", plain), shape(card)


def of_slack(told: Notification) -> Any:
    return marks(rf"[<>]|(?<!{APART})[*_~`]|[*_~`](?!{APART})|{ADDRESS}", slack.payload(told, ZH))


def of_teams(told: Notification) -> Any:
    card = teams.payload(told, ZH)["attachments"][0]["content"]
    texts = [node["text"] for node in nodes(card) if "text" in node]
    return marks(rf"<(?!{APART})|\{{\{{|{ADDRESS}", texts), [each.get("type") for each in nodes(card)]


def of_words_in_teams(told: Notification) -> Any:
    own = OwnWords(
        "", "{% for problem in problems %}**{{ problem.message }}** {{ problem.name }}{% endfor %}", teams.plain
    )
    (body,) = teams.payload(told, msgspec.structs.replace(ZH, own=own))["attachments"][0]["content"]["body"][1:2]
    mark = rf"(?<!{APART})[\\*_\[\]`~{{]|[\\*_\[\]`~{{](?!{APART})|<(?!{APART})"
    return body["type"], marks(f"{mark}|{ADDRESS}", body["text"])


def of_mail(told: Notification) -> Any:
    made = mail(compose(told, ZH))
    return Tags(made.html).seen, marks(ADDRESS, made.text), marks("[\x00-\x1f\x7f]", made.subject)


SAID = "{% for problem in problems %}{{ problem.message }} {{ problem.name }}{% endfor %}"
IN_MAIL = own_words("{{ title }}", SAID, f"<p title='{SAID}'>{SAID}</p><p id=\"{SAID}\"></p>")


def of_words_in_mail(told: Notification) -> Any:
    made = mail(compose(told, msgspec.structs.replace(ZH, own=IN_MAIL)))
    tags = [(tag, [name for name, _ in attributes]) for tag, attributes in Tags(made.html).seen]
    return tags, marks(ADDRESS, made.text), marks("[\x00-\x1f\x7f]", made.subject)


def of_page(told: Notification) -> Any:
    bodies = [
        *(dingtalk.payload(told, ZH, form) for form in ("markdown", "text", "kube-eventer")),
        *(write(told, ZH) for write in (feishu.payload, wecom.payload, slack.payload, teams.payload)),
        {"type": "mail", **msgspec.to_builtins(mail(compose(told, ZH)))},
    ]
    tags = Tags(page([(title(told, "zh"), body) for body in bodies])).seen
    return [(tag, [each for each in attributes if each[0] != "class"]) for tag, attributes in tags]  # `wide`, or not


def of_terminal(told: Notification) -> Any:
    return marks("[\x00-\x1f\x7f\x9b\u202e]", terminal(compose(told, ZH), colour=True))


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(value)


def shape(node: Any) -> Any:
    """Tags of a card, without what depends on the length of a text."""
    return [each.get("tag") for each in nodes(node)]


DIALECTS = [
    of_dingtalk,
    of_dingtalk_text,
    of_kube_eventer,
    of_wecom,
    of_feishu,
    of_slack,
    of_teams,
    of_words_in_teams,
    of_mail,
    of_words_in_mail,
    of_page,
    of_terminal,
]
PIECES = [
    *("[x](http://evil)", "![](http://evil/x.png)", "<http://evil|x>", "www.evil.example", "WWW.x", "dingtalk://x"),
    *("@all", "@13800000000", "<@U1>", "<!channel>", "<at id=all></at>", "<font color=red>", "<script>", "<!--"),
    *(
        "**",
        "`",
        "```",
        "_",
        "~",
        "\\",
        "&lt;",
        "&#60;",
        "{{",
        "](",
        "|",
        ">",
        "<@",
        "://",
        "@",
        "*",
        "]",
        "(",
        "#",
        "-",
    ),
    *("\x1b[31m", "\u202e", "\u200b", "\n", "\n\n# ", "\r\n> ", " ", "$x$", "https", "x"),
]
HOSTILE = st.text(min_size=1, max_size=60) | st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)


def everywhere(text: str) -> dict[str, Any]:
    # A reason that ends so is in no catalog, which would have more to say.
    return {
        "cluster": text, "namespace": text, "name": text, "container": text, "node": text, "owner": text, "reason": f"{text}-",
        "message": text, "component": text, "labels": {"team": text},
    }  # fmt: skip


def several(text: str) -> Notification:
    items = [item(**everywhere(text)), item(**everywhere(text) | {"message": f"{text}2"})]
    return note(
        *items, reasons={text: 2}, group={"cluster": text, "family": text}, shared={"owner": text, "zone": text}
    )


def single(text: str) -> Notification:
    return note(item(**everywhere(text)))


@functools.cache
def around(dialect: Callable[[Notification], Any]) -> tuple[Any, Any]:
    """Return the marks that messages have around a harmless word."""
    return dialect(single("y")), dialect(several("y"))


@settings(max_examples=150, deadline=None)
@given(HOSTILE)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_x3_text_of_strangers_has_no_meaning_in_any_dialect(dialect: Callable[[Notification], Any], text: str) -> None:
    assert (dialect(single(text)), dialect(several(text))) == around(dialect)
