"""Words of one's own at the notifiers that write into no chat: mails, incidents, alerts, and apprise's services.

Those of chats, and what templates may do at all, are in tests/unit/alerting/test_own_words.py.
"""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator

import pytest

from eventer.alerting.notification import Why
from eventer.alerting.render.message import View
from eventer.alerting.render.own import OwnWords
from eventer.alerting.render.plain import defuse
from eventer.alerting.render.preview import page
from eventer.alerting.render.terminal import terminal
from eventer.sink import Sent
from sinks.apprise import written
from tests.helpers.intheirwords import EACH, KEY, PLACES, Place, Receiver, config_of, refusal, sink_of, words
from tests.helpers.notes import SAMPLES, batch_of, item, note, send
from tests.helpers.sinks import CANARY, HOSTILE

# apprise's own, of a module that Python 3.13 removes.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

TITLE = "{{ severity }}: " + EACH + "{{ problem.reason }} at {{ problem.name }}{% endfor %}"
BODY = EACH + "{{ problem.message }}\nsince {{ problem.since.strftime('%H:%M') }}{% endfor %}"


@pytest.fixture(params=PLACES)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with PLACES[request.param]() as made:
        yield made


async def test_title_and_text_are_in_the_words_of_the_user(place: Place) -> None:
    sent = await send(place.sink(TITLE, BODY, zone="Asia/Shanghai"), note(item(message="It broke")))
    ((title, text),) = place.got
    assert sent == Sent()
    assert title == "warning: BackOff at api-7d9"
    if place.kind != "pagerduty":
        assert "It broke\nsince 16:00" in text
        assert "Back-off restarting" not in text


@pytest.mark.parametrize("sample", SAMPLES)
async def test_each_sample_is_taken_in_words_of_ones_own(place: Place, sample: str) -> None:
    sent = await send(place.sink(TITLE, BODY, language="zh"), SAMPLES[sample])
    assert sent == Sent()
    first = SAMPLES[sample].items[0]
    if place.kind != "pagerduty" or sample != "resolved":  # the end of an incident says nothing
        assert f"{first.reason} at {first.name}" in place.got[0][0]


async def test_a_template_that_raises_costs_its_words_and_never_the_message(place: Place) -> None:
    sink = place.sink("mine {% for p in problems %}{{ 7 // (p.count - 43) }}{% endfor %}", "")
    await sink.open(None)
    for count in range(40, 50):
        told = note(item(count=count, name=f"p-{count}"), group={"name": f"p-{count}"}, number=count)
        sent = await sink.send(batch_of(told))
        assert sent.defaulted == (count == 43)
        assert ("fails on a notification, which went out in the usual words: Zero" in sent.note) == (count == 43)
        assert place.got[-1][0].startswith("mine") == (count != 43)
    assert "BackOff · Pod shop/p-43 ×43" in place.got[3][0]
    await sink.close()


async def test_x3_what_an_event_says_stays_one_line_of_a_title(place: Place) -> None:
    if place.kind == "alertmanager":
        pytest.skip("an annotation may have lines")
    sink = place.sink("Eventer " + EACH + "{{ problem.message }}\n{{ problem.name | safe }}{% endfor %}", "")
    await sink.open(None)
    for number, text in enumerate(
        [*HOSTILE.values(), "x\r\nBcc: a@b.example\r\n\r\n", "\u2028To: a@b.example\x85\x0b"]
    ):
        told = item(message=f"said {text[:5000]}", name=text[:253] or "x")
        await sink.send(batch_of(note(told, number=number, group={"n": str(number)})))
        assert not re.search("[\r\n\u2028\u2029\x85\x0b\x0c]", place.got[-1][0])
    assert len(place.got) == len(HOSTILE) + 2
    await sink.close()


@pytest.mark.parametrize("text", ["x" * 65_536, "汉" * 65_536, "🔥" * 20_000, "&<'\"" * 10_000])
async def test_what_is_long_is_cut_at_whole_characters(place: Place, text: str) -> None:
    long = item(message=text[:16_000], name=text[:253], reason=text[:300])
    many = note(*[long] * 20, firing=700, unnamed=680)
    if place.kind == "alertmanager":  # where each problem is an alert of its own
        many = note(long)
    await send(place.sink("Eventer " + EACH + "{{ problem.message }}{% endfor %}", BODY), many)
    title, _ = place.got[0]
    assert title
    assert "\ufffd" not in title
    if place.kind != "alertmanager":  # it knows no limit
        assert len(title) <= 1_024


async def test_what_counts_problems_and_names_none_is_told_too(place: Place) -> None:
    summary = note(why=Why.SUMMARY, events=3, group={}, severity="info", reasons={"BackOff": 3})
    sent = await send(place.sink("{{ title }} mine", BODY), summary)
    titles = [title for title, _ in place.got]
    usual = "🔵 3 earlier events · BackOff 3"
    own = {"email": [f"{usual} mine"], "apprise": [f"{usual} mine"], "alertmanager": [usual], "pagerduty": []}
    assert titles == own[place.kind] or place.kind == "apprise"
    assert sent.note == (f"No incident is opened for a summary: {usual}" if place.kind == "pagerduty" else "")
    if place.kind == "apprise":
        assert f"{usual} mine" in "".join(place.got[0])


async def test_a_preview_shows_what_is_sent(place: Place) -> None:
    sink = place.sink(TITLE, BODY)
    message, body = sink.preview(SAMPLES["crash"])
    for shown in (page([("mine", body)]), terminal(message, colour=False)):
        assert "warning: BackOff at api-7d9" in shown
        if place.kind != "pagerduty":
            assert "since 08:00" in shown
    for each in SAMPLES.values():
        page([("mine", sink.preview(each)[1])])
    await sink.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ titel }}", "the template fails on the sample oom: 'titel' is undefined"),
        ("a\n{% for p in problems %}\n{{ p.reasn }}{% endfor %}", "a problem has no field reasn (line 3)"),
        ("{% for p in problems %}{{ p.reasn }}{% endfor %}", "did you mean problem.reason?"),
        ("a\nb {% if %}", "the template cannot be compiled (line 2)"),
        ("{{ {}.__class__ }}", "a template may read"),
        ("{% include '/etc/passwd' %}", "include, import and extends are not possible here"),
        ("{{ $labels.pod }}", "templates are Jinja2 here, not Go's"),
        ("{{range .Problems}}{{.Reason}}{{end}}", "templates are Jinja2 here, not Go's"),
    ],
)
def test_a_bad_template_is_refused_with_its_line_and_a_remedy(text: str, said: str) -> None:
    given = {
        "email": {"host": "mail.example", "sender": "a@x.example", "to": ["b@x.example"]},
        "apprise": {"url": "json://x.example"},
        "pagerduty": {"routing_key": KEY},
        "alertmanager": {"url": "http://a.example:9093"},
    }
    for kind, options in given.items():
        for title, body in ((text, ""), ("", text))[: 1 if kind == "pagerduty" else 2]:
            assert said in refusal(functools.partial(config_of, kind, **options, **words(kind, title, body)))


# -- incidents -------------------------------------------------------------------------------------


async def test_a_summary_may_have_as_many_characters_as_pagerduty_takes() -> None:
    async with PLACES["pagerduty"]() as place:
        await send(place.sink("{{ '汉' * 1100 }}", ""), SAMPLES["oom"])
        await send(place.sink("{{ '汉' * 1024 }}", ""), SAMPLES["oom"])
        await send(place.sink("{{ '@' * 1000 }}", ""), SAMPLES["oom"])
        cut, whole, longer = (summary for summary, _ in place.got)
    assert cut == "汉" * 1_023 + "…"
    assert whole == "汉" * 1_024
    assert len(longer) == 1_024


# -- apprise ---------------------------------------------------------------------------------------


def test_words_that_are_too_long_for_a_service_name_fewer_problems_and_then_give_way_and_it_is_said() -> None:
    long = [item(name=f"p{n}", message="汉" * 600) for n in range(20)]
    view = View(own=OwnWords("", BODY, defuse))
    fewer = written(note(*long), view, 100, 1_000)
    assert (fewer.message.defaulted, "since 08:00" in fewer.body) == (False, True)
    view = View(own=OwnWords("mine", "{{ 'x' * 1000 }}", defuse))
    usual = written(note(item()), view, 100, 160)
    assert (usual.message.defaulted, len(usual.title + usual.body) < 160) == (True, True)
    assert "mine" not in usual.title + usual.body
    assert usual.message.faults == ["With the template a message is too long, which went out in the usual words."]


@pytest.mark.parametrize("format_", ["text", "html", "markdown"])
async def test_x3_apprise_escapes_what_is_filled_in_for_the_service(format_: str) -> None:
    async with Receiver() as far:
        url = f"{far.url.replace('http', 'json')}/{CANARY}/?format={format_}"
        sink = sink_of("apprise", url=url, template={"body": BODY})
        await send(sink, note(item(message="<b>x</b> [a](http://evil.example) @everyone <!channel>")))
        (body,) = far.bodies
    for wrong in ("<!channel>", "@everyone", "://evil.example"):
        assert wrong not in body["message"]
    assert {"text": "\x1b", "html": "<b>", "markdown": "](http"}[format_] not in body["message"]
