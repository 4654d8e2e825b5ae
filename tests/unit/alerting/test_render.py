"""What people read: titles, facts, remedies, links and mentions, within the limit of each far side."""

from __future__ import annotations

import re
from datetime import UTC
from html import unescape
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventer.alerting.digest import fold
from eventer.alerting.notification import Item, Notification, Why
from eventer.alerting.render import dingtalk, feishu, slack, teams, wecom
from eventer.alerting.render.links import LinkTemplate
from eventer.alerting.render.mail import mail
from eventer.alerting.render.message import NAMED, Mention, Mentions, View, compose, event_of
from eventer.alerting.render.preview import page
from eventer.alerting.render.words import title
from eventer.catalog import Catalog, Language
from eventer.catalog.changes import CatalogChanges, ReasonChange
from eventer.match import Rule
from tests.helpers.notes import SAMPLES, SHANGHAI, START, item, leaves, note

ZH = View(language="zh", zone=SHANGHAI)
EN = View(language="en", zone=UTC)


def parts(told: Notification, view: View) -> dict[str, str]:
    return {part.name: part.text for part in compose(told, view).parts}


@pytest.mark.parametrize(
    ("told", "english", "chinese"),
    [
        (note(item()), "[prod] 🟠 BackOff · Pod shop/api-7d9 ×14", "[prod] 🟠 BackOff · Pod shop/api-7d9 ×14"),
        (
            note(item(), item(name="b"), reasons={"BackOff": 2}),
            "[prod/shop] 🟠 2 problems · BackOff 2",
            "[prod/shop] 🟠 2 个问题 · BackOff 2",
        ),
        (
            note(item(ended=1_800_002_000.0, count=1), severity="info", why=Why.RESOLVED),
            "[prod] ✅ Resolved: BackOff · Pod shop/api-7d9",
            "[prod] ✅ 已恢复：BackOff · Pod shop/api-7d9",
        ),
        (
            note(item(count=1), why=Why.REPEAT, severity="critical"),
            "[prod] 🔴 BackOff · Pod shop/api-7d9 · still going on",
            "[prod] 🔴 BackOff · Pod shop/api-7d9 · 仍在持续",
        ),
        (
            note(why=Why.SUMMARY, events=300, group={}, reasons={"BackOff": 200, "Failed": 100}),
            "🔵 300 earlier events · BackOff 200, Failed 100",
            "🔵 300 个较早的事件 · BackOff 200，Failed 100",
        ),
        (
            note(item(), item(name="b"), reasons={"BackOff": 2}, shared={"owner": "Deployment api", "zone": "a"}),
            "[prod/shop] 🟠 2 problems · Deployment api · Zone a · BackOff 2",
            "[prod/shop] 🟠 2 个问题 · Deployment api · 可用区 a · BackOff 2",
        ),
        (
            note(item(), item(name="b"), why=Why.QUOTA, groups=3, group={"cluster": "prod"}),
            "[prod] 🟠 2 problems · 3 groups in one",
            "[prod] 🟠 2 个问题 · 3 组合并",
        ),
        (
            note(why=Why.ALIVE, firing=2, events=0, group={}, severity="info"),
            "✅ Alerting works · 2 problems go on",
            "✅ 告警正常 · 2 个问题仍在持续",
        ),
        (
            note(why=Why.ALIVE, events=0, group={}, severity="info"),
            "✅ Alerting works · no problem goes on",
            "✅ 告警正常 · 没有未恢复的问题",
        ),
        (
            note(untracked=40, group={}),
            "[everything else] 🟠 40 events not followed one by one",
            "[其他] 🟠 另有 40 个事件未逐一跟踪",
        ),
        (note(untracked=1), "[prod/shop] 🟠 1 event not followed one by one", "[prod/shop] 🟠 另有 1 个事件未逐一跟踪"),
        (note(firing=1), "[prod/shop] 🟠 1 problem", "[prod/shop] 🟠 1 个问题"),
        (note(why=Why.SUMMARY, events=1, group={}), "🔵 1 earlier event", "🔵 1 个较早的事件"),
        (note(why=Why.ALIVE, firing=1), "✅ Alerting works · 1 problem goes on", "✅ 告警正常 · 1 个问题仍在持续"),
    ],
)
def test_the_title_is_enough_on_a_lock_screen(told: Notification, english: str, chinese: str) -> None:
    assert compose(told, EN).title == english
    assert compose(told, ZH).title == chinese
    assert dingtalk.payload(told, ZH)["markdown"]["title"] == chinese


def test_a_digest_says_how_many_messages_it_is() -> None:
    folded = fold([note(item(), reasons={"BackOff": 1}), note(item(name="b"), group={"cluster": "prod"})])
    assert title(folded, "en") == "[prod] 🟠 2 problems · BackOff 1 · 2 messages in one"
    assert title(folded, "zh") == "[prod] 🟠 2 个问题 · BackOff 1 · 2 条消息合并"


def test_one_problem_is_told_with_its_facts_in_the_zone_of_the_reader() -> None:
    told = note(item(container="web", node="n1", returns=2, owner="Deployment api"))
    assert compose(told, ZH).facts == [
        ("集群", "prod"),
        ("对象", "Pod shop/api-7d9"),
        ("所属", "Deployment api"),
        ("容器", "web"),
        ("节点", "n1"),
        ("次数", "23 分钟内 14 次，首次 01-15 16:00 +08:00"),
        ("反复", "2 次"),
    ]
    assert compose(told, EN).facts[5] == ("Seen", "14 times in 23 min, first 01-15 08:00 +00:00")


def test_a_problem_that_is_over_says_how_long_it_lasted_and_nothing_about_remedies() -> None:
    message = compose(note(item(ended=1_800_007_300.0), why=Why.RESOLVED, severity="info"), EN)
    assert ("Lasted", "2 h, until 01-15 10:01 +00:00") in message.facts
    assert message.colour == "resolved"
    assert [part.name for part in message.parts] == ["Message"]


def test_what_the_catalog_knows_is_told_in_the_language_of_the_reader() -> None:
    assert parts(SAMPLES["node"], ZH)["含义"] == "节点心跳超时，主机或网络可能已中断。"
    assert parts(SAMPLES["node"], EN)["Look first"] == "kubectl describe node cn-shanghai.10.0.3.17"
    changed = Catalog(
        CatalogChanges(reasons={"BackOff": ReasonChange(en="Call Ann.", command="kubectl -n {namespace} x")})
    )
    mine = parts(SAMPLES["crash"], View(catalog=changed))
    assert (mine["Meaning"], mine["Look first"]) == ("Call Ann.", "kubectl -n shop x")


def test_a_command_can_be_pasted_whatever_an_object_is_called() -> None:
    command = parts(note(item(name="$(reboot)")), EN)["Look first"]
    assert "'$(reboot)'" in command


def test_what_all_problems_say_is_said_once() -> None:
    message = compose(SAMPLES["storm"], EN)
    assert [told.message for told in message.problems] == [""] * NAMED
    said = parts(SAMPLES["storm"], EN)
    assert said["Owner"] == "Deployment checkout"
    assert said["Message"].startswith("Failed to pull image")
    assert said["Look first"] == "kubectl -n shop describe pod checkout-6c5f9d7b8-x2k4p"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_not_named_is_counted(language: Language) -> None:
    over = [item(name=f"r{n}", ended=START + 2000) for n in range(3)]
    told = note(*[item(name=f"p{n}") for n in range(12)], *over, untracked=7)
    message = compose(told, View(language=language))
    assert len(message.problems) == NAMED
    assert [re.findall(r"\d+", said) for said in message.rest] == [["2"], ["3"], ["7"]]
    for text in (*leaves(dingtalk.payload(told, ZH)), *leaves(slack.payload(told, ZH))):
        assert "p11" not in text


def test_what_is_counted_and_is_one_is_told_as_one() -> None:
    told = note(*[item(name=f"p{n}", returns=1) for n in range(2)], firing=3, resolved=1, untracked=1)
    said = compose(told, EN)
    assert said.rest == ["and 1 more problem", "and 1 more is over", "1 event not followed one by one"]
    assert compose(told, ZH).rest == ["另有 1 个问题", "另有 1 个已恢复", "另有 1 个事件未逐一跟踪"]
    assert ("Came back", "once") in compose(note(item(returns=1)), EN).facts


# -- links and mentions --------------------------------------------------------------------------

LINK = LinkTemplate(
    "https://logs.example/q?ns={{ event.namespace }}&m={{ event.message }}&team={{ event.labels.team }}"
)


@given(st.text(max_size=80), st.text(max_size=200))
def test_x4_no_event_ends_a_link_or_decides_where_it_leads(name: str, text: str) -> None:
    made = LINK.of(event_of(item(namespace=name, message=text, labels={"team": text})))
    assert re.fullmatch(r"https://logs\.example/q\?ns=[\w.~%-]*&m=[\w.~%-]*&team=[\w.~%-]*", made, re.ASCII)


@pytest.mark.parametrize(
    "template",
    [
        "{{ event.name }}",
        "https://{{ event.name }}",
        "https://a.{{ event.name }}/",
        "javascript:alert(1)",
        "https:///x",
        "https://a@b{{ event.name }}/",
        "//x.example/",
    ],
)
def test_a_link_without_a_host_of_its_own_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="a host that is written out"):
        LinkTemplate(template)


def test_who_is_mentioned() -> None:
    critical = Mention(match=[Rule.parse({"severity": "critical"})], who=Mentions(users=("ann",), all=True))
    shop = Mention(match=[Rule.parse({"namespace": "shop"})], who=Mentions(mobiles=("138",), users=("ann", "bob")))
    view = View(mentions=[critical, shop])

    def who(told: Notification) -> Mentions:
        return compose(told, view).mentions

    bad = item(severity="critical")
    assert who(note(bad)) == Mentions(users=("ann", "bob"), mobiles=("138",), all=True)
    assert not who(note(bad, groups=2)).all
    assert who(note(bad, folded=2)) == Mentions(users=("ann", "bob"), mobiles=("138",))
    assert who(note(item())) == Mentions(users=("ann", "bob"), mobiles=("138",))
    assert who(note(item(namespace="x"))) == Mentions()
    assert who(note(item(severity="critical", ended=START), why=Why.RESOLVED)) == Mentions()
    assert who(note(why=Why.SUMMARY, events=3)) == Mentions()
    nobody = View(mentions=[Mention(who=Mentions(users=("ann",)))])
    assert compose(note(untracked=3), nobody).mentions == Mentions()


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_page_shows_what_was_sent(sample: str) -> None:
    view = View(links={"Logs": LINK}, mentions=[Mention(who=Mentions(users=("ann",)))])
    told = SAMPLES[sample]
    bodies = [dingtalk.payload(told, view, "actionCard"), dingtalk.payload(told, view), feishu.payload(told, view)]
    bodies += [slack.payload(told, view), teams.payload(told, view)]
    bodies.append({"type": "mail", **msgspec.to_builtins(mail(compose(told, view)))})
    for body in (*bodies, wecom.payload(told, view)):
        shown = re.sub("<style>.*?</style>|<[^>]*>", "", page([("x", body)]), flags=re.DOTALL)
        assert told.items[0].reason in shown
        assert "**" not in shown
        assert "](http" not in shown


# -- limits --------------------------------------------------------------------------------------


def size(made: Any) -> int:
    return len(msgspec.json.encode(made))


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(["汉", "🔥", "_", "&", "a", "\x00", '"', "<", "é", "\u202e"]), st.sampled_from([1, 2, 20]))
def test_x3_a_message_fits_into_each_limit_at_whole_characters(character: str, count: int) -> None:
    long: Item = item(
        message=character * 20_000, name=character * 253, namespace=character * 253, reason=character * 1024,
        owner=character * 300, cluster=character * 100,
    )  # fmt: skip
    told = note(*[long] * count, unnamed=500, firing=500 + count, group={"cluster": character * 100})
    for form in ("markdown", "text", "actionCard", "kube-eventer"):
        assert size(dingtalk.payload(told, ZH, form, keyword="巡检")) <= dingtalk.LIMIT  # type: ignore[arg-type]
    assert size(feishu.payload(told, ZH)) <= feishu.LIMIT
    for most in (teams.KEPT, teams.KEPT // 2, teams.LEAST):
        assert size(teams.payload(told, ZH, most)) <= most
    assert len(wecom.payload(told, ZH)["markdown"]["content"].encode()) <= wecom.LIMIT
    blocks = slack.payload(told, ZH)["attachments"][0]["blocks"]
    assert all(len(block.get("text", {}).get("text", "")) <= 3000 for block in blocks)
    assert all(len(each["text"]) <= 2000 for block in blocks for each in block.get("fields", ()))
    assert len(compose(told, ZH).title.encode()) <= 200


def test_links_that_are_too_long_together_are_left_out_before_the_message_is() -> None:
    links = {name: LinkTemplate(f"https://logs.example/{{{{ event.name }}}}/{'x' * 1900}") for name in "abc"}
    told = SAMPLES["oom"]
    view = View(links=links)
    made = slack.payload(told, view)
    assert all(len(block.get("text", {}).get("text", "")) <= 3000 for block in made["attachments"][0]["blocks"])
    content = wecom.payload(told, view)["markdown"]["content"]
    assert len(content.encode()) <= wecom.LIMIT
    for text in (content, *leaves(made)):
        assert "logs.example" not in text
    assert "OOMKilling" in content
    assert "Killed process" in content


def test_a_message_without_problems_keeps_its_title() -> None:
    told = note(
        why=Why.SUMMARY, events=300, group={}, reasons={"FailedMount": 150, "FailedScheduling": 100, "BackOff": 50}
    )
    said = "🔵 300 earlier events · FailedMount 150, FailedScheduling 100, BackOff 50"
    for payload in (dingtalk.payload, feishu.payload, slack.payload, teams.payload, wecom.payload):
        assert any(said in text for text in leaves(payload(told, EN)))


def test_a_link_longer_than_any_is_left_out_and_told() -> None:
    view = View(links={"Logs": LinkTemplate("https://logs.example/{{ event.message }}")})
    message = compose(note(item(message=f"Back-off restarting failed container {'汉' * 600}")), view)
    assert [link.name for link in message.links] == ["Documentation"]
    assert message.faults == [
        "The link Logs is missing, its template fails on a problem: the result is longer than 2048 bytes."
    ]


# -- mail ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", SAMPLES)
def test_a_mail_says_the_same_as_text_and_as_html(language: Language, name: str) -> None:
    message = compose(SAMPLES[name], View(language=language, zone=SHANGHAI, links={"Logs": LINK}))
    made = mail(message)
    shown = unescape(re.sub("<style>.*?</style>|<[^>]*>", "", made.html))
    said = [message.title, *message.rest, *(value for _, value in message.facts)]
    said += [text for part in message.parts for text in (part.name, part.text)]
    for text in said:
        assert text in made.text
        assert text in shown
    for link in message.links:
        assert link.url in made.text
        assert f'href="{link.url}"' in unescape(made.html)


def test_a_list_of_mails_shows_what_the_event_says_behind_the_subject() -> None:
    made = mail(compose(SAMPLES["oom"], EN))
    assert made.subject == "[prod] 🔴 OOMKilling · Node cn-shanghai.10.0.3.17 ×3"
    first = re.search(r"<body[^>]*><div style=\"display:none[^>]*>(.*?)</div>", made.html)
    assert first is not None
    assert first[1].startswith("Memory cgroup out of memory")


def test_a_command_in_a_mail_stands_on_a_line_of_its_own() -> None:
    assert "\nLook first:\n  kubectl describe node cn-shanghai.10.0.3.17\n" in mail(compose(SAMPLES["node"], EN)).text
