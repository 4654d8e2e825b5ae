"""Templates of a user for titles and bodies: what they see, what they may do, and what happens where one fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventer.alerting.notification import Notification, Why
from eventer.alerting.render import dingtalk, feishu, slack, wecom
from eventer.alerting.render.message import Mention, Mentions, View, compose
from eventer.alerting.render.own import OwnWords
from eventer.alerting.render.plain import defuse
from tests.helpers.markup import SLIPS
from tests.helpers.notes import SAMPLES, SHANGHAI, START, item, leaves, note

BODY = "{% for problem in problems %}**{{ problem.reason }}** {{ problem.message }}\n{% endfor %}"


def view(title: str = "", body: str = "", plain: Callable[[str], str] = str, **given: Any) -> View:
    return View(zone=SHANGHAI, own=OwnWords(title, body, plain), **given)


def test_a_template_sees_the_problems_in_the_zone_of_the_reader() -> None:
    body = (
        "{{ why }} {{ severity }} {{ group.namespace }} {{ firing }}/{{ resolved }} {{ events }}\n"
        "{% for problem in problems %}{{ problem.kind }} {{ problem.name }} {{ problem.owner }} {{ problem.count }} "
        "{{ problem.since.strftime('%H:%M') }} {{ problem.labels.team }}{{ problem.ended }}\n{% endfor %}"
        "{% for part in parts %}{{ part.name }}={{ part.text }};{% endfor %}"
    )
    told = note(item(owner="Deployment api", labels={"team": "red"}))
    message = compose(told, view("{{ title }} !", body))
    assert message.title == "[prod] 🟠 BackOff · Pod shop/api-7d9 ×14 !"
    assert message.body is not None
    assert message.body.splitlines()[:2] == ["first warning shop 1/0 14", "Pod api-7d9 Deployment api 14 16:00 red"]
    assert "Message=Back-off restarting failed container;Meaning=" in message.body
    assert (message.facts, message.problems, message.parts, message.rest) == ((), (), (), ())


def test_mentions_and_links_stay_below_words_of_ones_own() -> None:
    mine = view(body="mine", plain=dingtalk.plain, mentions=[Mention(who=Mentions(users=("ann",)))])
    text = dingtalk.payload(SAMPLES["oom"], mine)["markdown"]["text"]
    assert text.split("\n\n")[1:] == ["mine", "[Documentation](" + text.split("](")[1].split(")")[0] + ")", "@ann"]


@pytest.mark.parametrize(
    "payload",
    [
        lambda told, body: dingtalk.payload(told, view(body=body, plain=dingtalk.plain)),
        lambda told, body: dingtalk.payload(told, view(body=body, plain=defuse), "text"),
        lambda told, body: dingtalk.payload(told, view(body=body, plain=dingtalk.plain), "actionCard"),
        lambda told, body: dingtalk.payload(told, view(body=body, plain=defuse), "link"),
        lambda told, body: feishu.payload(told, view(body=body, plain=feishu.plain)),
        lambda told, body: wecom.payload(told, view(body=body, plain=wecom.plain)),
        lambda told, body: slack.payload(told, view(body=body, plain=slack.plain)),
    ],
)
def test_each_dialect_writes_the_body_as_it_is(payload: Callable[[Notification, str], Any]) -> None:
    made = payload(SAMPLES["oom"], "**Call** <@ops> {{ problems[:1] | map(attribute='reason') | join }}")
    assert any("**Call** <@ops> OOMKilling" in text for text in leaves(made))
    assert not any("Killed process" in text for text in leaves(made))


FILTERS = [*SLIPS, "{{ problem.message | replace('a', 'b') }}"]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FILTERS), st.lists(st.sampled_from(
    ["<@U1>", "<!channel>", "*", "_", "`", "**", "[a](", "http://evil.example", ")", "@all", "<at id=all></at>", "\n",
     "{{ 7 * 7 }}", '<font color="info">', "www.evil.example", "\u202e", "\\", "汉", "](https://evil.example)"]
), min_size=1, max_size=6).map("".join))  # fmt: skip
def test_x3_what_is_filled_in_is_text_whatever_the_template_does_with_it(filled: str, text: str) -> None:
    body = f"{{% for problem in problems %}}{filled}{{% endfor %}}"
    told = note(item(message=text))
    for plain, marks in (
        (dingtalk.plain, r"(?<!\\)[*_`\[\]~]|<|://|@(?!\u200b)|\n"),
        (wecom.plain, r"<(?!\u200b)|\*\*|\]\(|`|://|@(?!\u200b)|\n"),
        (feishu.plain, r"[<>*_~`\[\]()@]|://|\n"),
        (slack.plain, r"[<>]|(?<!\u200b)[*_~`]|://|@(?!\u200b)|\n"),
        (defuse, r"://|@(?!\u200b)|\n"),
    ):
        said = compose(told, view(body=body, plain=plain)).body
        assert said is not None
        assert re.findall(marks, said.replace("\\\\", "")) == []
        assert "49" not in said


@pytest.mark.parametrize(
    ("title", "body", "said"),
    [
        ("{{ titel }}", "", "title: the template fails on the sample oom: 'titel' is undefined"),
        ("", "{{ problems[0].reason }}", "go through them by `{% for problem in problems %}...{% endfor %}`"),
        ("", "a\n{% for problem in problems %}\n{{ problem.reasn }}{% endfor %}", "a problem has no field reasn (line 3)"),
        ("", "{% for problem in problems %}{{ problem.reasn }}{% endfor %}", "did you mean problem.reason?"),
        ("", "a\nb {% if %}", "body: the template cannot be compiled (line 2)"),
        ("", "{% for x in problems %}", "cannot be compiled"),
        ("{{ '' }}", "", "the result is empty, and a message needs a title"),
        ("", "{{ {}.__class__ }}", "a template may read"),
        ("", "{{ 'x' * 100000 }}", "a repeat gives more than"),
        ("", "{% include '/etc/passwd' %}", "include, import and extends are not possible here"),
        ("", "{{range .Problems}}{{.Reason}}{{end}}", "templates are Jinja2 here, not Go's: {% for problem"),
    ],
)  # fmt: skip
def test_a_bad_template_is_refused_with_its_line_and_a_remedy(title: str, body: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        OwnWords(title, body)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "escape",
    [
        "{{ problems.__class__ }}",
        "{{ title.__class__.__mro__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ title.format.__globals__ }}",
        "{{ '{0.__class__}'.format(title) }}",
        "{{ problems.append(1) }}",
        "{{ group.update(a=1) }}",
        "{% for x in range(1000000000) %}{% endfor %}",
    ],
)
def test_x2_a_template_reaches_nothing_but_what_it_is_given(escape: str) -> None:
    for title, body in ((escape, ""), ("", escape)):
        with pytest.raises(ValueError, match="; "):
            OwnWords(title, body)


def test_x2_an_event_that_looks_like_a_template_is_text() -> None:
    told = note(item(message="{{ 7 * 7 }}{% raw %}", reason="{{ problems }}", name="{{ title }}"))
    said = compose(told, view("{{ title }}", BODY))
    assert said.title == "[prod] 🟠 {{ problems }} · Pod shop/{{ title }} ×14"
    assert said.body == "**{{ problems }}** {{ 7 * 7 }}{% raw %}"


def test_a_template_that_raises_costs_its_words_and_never_the_message() -> None:
    mine = view("{{ 100 // (events - 7) }}", "mine")
    for events in range(10):
        message = compose(note(item(), events=events), mine)
        assert message.defaulted == (events == 7)
        assert message.body == (None if events == 7 else "mine")
    broken = compose(note(item(), events=7), mine)
    assert broken.title == "[prod] 🟠 BackOff · Pod shop/api-7d9 ×14"
    (fault,) = broken.faults
    assert fault.startswith("The template `title` fails on a notification, which went out in the usual words: ZeroDiv")


@pytest.mark.parametrize("payload", [dingtalk.payload, feishu.payload, slack.payload, wecom.payload])
def test_words_that_are_too_long_name_fewer_problems_and_then_give_way(payload: Callable[..., Any]) -> None:
    long = [item(name=f"p{n}", message="汉" * 600) for n in range(20)]
    many = payload(note(*long), view(body=BODY + "{{ 'x' * 1000 }}"))
    assert any("x" * 1000 in text for text in leaves(many))
    never = payload(note(*long), view("mine", "{% for n in range(15) %}{{ 'x' * 1000 }}{% endfor %}"))
    limit = {wecom: wecom.LIMIT, slack: 30_000}.get(__import__("sys").modules[payload.__module__], 20_000)
    assert len(msgspec.json.encode(never)) <= limit + 200


def test_a_title_stays_one_line_and_is_cut() -> None:
    message = compose(
        note(item(reason="a\nb" * 200)), view("On:\n{% for p in problems %}{{ p.reason }}\n\n{% endfor %}")
    )
    assert "\n" not in message.title
    assert len(message.title.encode()) <= 200


def test_a_summary_without_problems_is_told_too() -> None:
    summary = note(why=Why.SUMMARY, events=3, group={}, reasons={"BackOff": 3})
    assert compose(summary, view("{{ events }} old", BODY)).title == "3 old"
    ended = note(item(ended=START + 60), why=Why.RESOLVED)
    said = compose(ended, view(body="{% for p in problems if p.ended %}{{ p.ended.strftime('%d %H:%M') }}{% endfor %}"))
    assert said.body == "15 16:01"
