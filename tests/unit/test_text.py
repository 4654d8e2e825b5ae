"""Cutting, escaping and redacting text that strangers wrote."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventer.text import escape, redact, shorten, valid
from tests.helpers.sinks import HOSTILE

ANY_TEXT = st.text(st.characters(), max_size=400)  # with lone surrogates


@given(ANY_TEXT, st.integers(0, 300))
def test_shorten_keeps_within_the_limit_at_whole_characters(text: str, limit: int) -> None:
    cut = shorten(text, limit)
    size = len(text.encode("utf-8", "surrogatepass"))
    assert len(cut.encode("utf-8", "surrogatepass")) <= limit
    if size <= limit:
        assert cut == text
    else:
        head, _, tail = cut.partition(" …[")
        assert text.startswith(head)
        if tail:
            assert text.endswith(tail.partition("]… ")[2])


@given(ANY_TEXT.filter(lambda text: len(text) > 60), st.integers(64, 120))
def test_shorten_says_exactly_how_much_is_gone(text: str, limit: int) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    note = re.search(r" …\[(\d+) bytes cut, sha256 [0-9a-f]{8}\]… ", shorten(text, limit))
    if size > limit:
        assert note
        left = shorten(text, limit).replace(note[0], "", 1)
        assert size - int(note[1]) == len(left.encode("utf-8", "surrogatepass"))


def test_shorten_keeps_head_and_tail() -> None:
    text = "head " + "x" * 1000 + " cause: no space"
    cut = shorten(text, 100)
    assert cut.startswith("head x")
    assert cut.endswith(" cause: no space")
    assert len(cut.encode()) > 90


def test_shorten_tells_texts_apart_that_differ_in_the_middle() -> None:
    a, b = ("x" * 500 + middle + "x" * 500 for middle in "ab")
    assert shorten(a, 100) != shorten(b, 100)
    assert shorten(a, 100) == shorten(a, 100)


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("", 0, ""),
        ("abc", 3, "abc"),
        ("abcd", 3, "abc"),
        ("日本", 6, "日本"),
        ("日本", 5, "日"),
        ("日本", 2, ""),
        ("💥", 3, ""),
        ("abc", -1, ""),
    ],
)
def test_shorten_at_the_edge(text: str, limit: int, expected: str) -> None:
    assert shorten(text, limit) == expected


@given(ANY_TEXT)
def test_escape_gives_one_encodable_line(text: str) -> None:
    shown = escape(text)
    shown.encode()
    assert len((shown + "x").splitlines()) == 1
    assert escape(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain: ünï 日本 💥 \\n", "plain: ünï 日本 💥 \\n"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
        ("\u202egpj.exe\u2066\u2069\u200f\u061c", r"\u202egpj.exe\u2066\u2069\u200f\u061c"),
        ("a\u200bb\ufeffc\u2060d\xade", r"a\u200bb\ufeffc\u2060d\xade"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("\ud800x\udfff", r"\ud800x\udfff"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_escape_shows_what_hides(text: str, shown: str) -> None:
    assert escape(text) == shown


SECRET = "s3cr3tValue0123"


@pytest.mark.parametrize(
    "text",
    [
        f"POST https://oapi.dingtalk.com/robot/send?access_token={SECRET}&timestamp=1&sign={SECRET}%3D failed",
        f"/robot/send?access_token={SECRET}",
        f"https://hooks.slack.com/services/T0000/B0000/{SECRET}",
        f"https://hooks.slack.com/triggers/T0000/1/{SECRET}",
        f"https://open.feishu.cn/open-apis/bot/v2/hook/{SECRET}",
        f"https://open.larksuite.com/open-apis/bot/hook/{SECRET}: refused",
        f"https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={SECRET}",
        f"https://api.telegram.org/bot123456:{SECRET}/sendMessage",
        f"https://discord.com/api/webhooks/1234/{SECRET}?wait=true",
        f"https://discord.com/api/v10/webhooks/1234/{SECRET}",
        f"https://x.webhook.office.com/webhookb2/{SECRET}@y/IncomingWebhook/z",
        f"https://mattermost.example/hooks/{SECRET}",
        f"https://a.logic.azure.com/workflows/x/triggers/manual?sp=1&sv=1.0&sig={SECRET}",
        f"https://user:{SECRET}@es.example:9200/_bulk",
        f"https://{SECRET}@sentry.example/1",
        f"Authorization: Bearer {SECRET}",
        f"authorization: Basic {SECRET}=",
        f"Proxy-Authorization: {SECRET}",
        f'{{"headers": {{"Authorization": "Splunk {SECRET}"}}}}',
        f"the bearer {SECRET} is not known",
        f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIi{SECRET}.{SECRET}",
        f"token xoxb-12-{SECRET}",
        f'{{"access_token": "{SECRET}", "expires": 1}}',
        f"{{'password': '{SECRET}'}}",
        f'"{{\\"client_secret\\": \\"{SECRET}\\"}}"',
        f"password={SECRET};host=db",
        f"api_key={SECRET}",
        f"<https://h/?a={SECRET}>",
    ],
)
def test_redact_hides_credentials(text: str) -> None:
    shown = redact(text)
    assert SECRET not in shown
    assert "<secret>" in shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Back-off restarting failed container web in pod web-0_shop(1f2e)",
        "https://es.example:9200/_bulk answered 503",
        "the token is not known; sign not match",
        "Failed to pull image registry.example/team/app@sha256:0123456789abcdef",
        "user@example.com: key: value, a=b c==d x&y?",
        "",
    ],
)
def test_redact_leaves_other_text(text: str) -> None:
    assert redact(text) == text


def test_redact_keeps_what_helps_to_find_the_fault() -> None:
    assert (
        redact(f"https://u:{SECRET}@h:9200/in?a={SECRET}#f refused")
        == "https://<secret>@h:9200/in?a=<secret>#f refused"
    )


@given(ANY_TEXT)
def test_valid_text_can_be_encoded(text: str) -> None:
    made = valid(text)
    made.encode()
    try:
        text.encode()
    except UnicodeEncodeError:
        assert made != text
    else:
        assert made == text


def test_valid_replaces_lone_halves_and_joins_pairs() -> None:
    assert valid("a\ud800b\udc00\ud83d\ude00") == "a\ufffdb\ufffd😀"


@pytest.mark.parametrize("name", HOSTILE)
def test_the_hostile_corpus_goes_through_everything(name: str) -> None:
    text = HOSTILE[name]
    assert len(shorten(text, 500).encode()) <= 500
    assert escape(text).isprintable() or name == "lines"
    assert valid(redact(text)) == redact(text)
