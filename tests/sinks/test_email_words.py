"""Words of one's own in mails: text, HTML, and what is escaped in them."""

from __future__ import annotations

from typing import Any

from eventer.sink import Sent
from tests.helpers.intheirwords import EACH, sink_of, to_host
from tests.helpers.mailhost import MailHost
from tests.helpers.markup import SLIPS, Tags
from tests.helpers.notes import batch_of, item, note, send
from tests.helpers.sinks import HOSTILE


def tags(html: str) -> list[Any]:
    """Return the tags of a page, those of our template with the names alone of their attributes."""
    return [
        seen if seen == "comment" or seen[0] != "b" else ("b", [name for name, _ in seen[1]])
        for seen in Tags(html).seen
    ]


def _mail(host: MailHost, **template: str) -> Any:
    return sink_of("email", **to_host(host), template=template)


async def test_the_html_of_a_mail_is_that_of_the_user_between_heading_and_links() -> None:
    html = EACH + '<p class="{{ problem.kind }}">{{ problem.owner }}</p>{% endfor %}'
    async with MailHost() as host:
        await send(_mail(host, html=html), note(item(owner="1 < 2 & so on")))
        (got,) = host.got
    assert '<p class="Pod">1 &lt; 2 &amp; so on</p>' in got.text("html")
    assert "<h1" in got.text("html").partition('<p class="Pod">')[0]
    assert "Look first" not in got.text("html")
    assert "Look first" in got.text("plain")


async def test_the_text_of_the_user_is_in_the_html_as_well() -> None:
    async with MailHost() as host:
        await send(_mail(host, subject="S <b>", text="<b>mine</b>\n\nat {{ problems | length }}"))
        (got,) = host.got
    assert "S <b>\n\n<b>mine</b>\n\nat 1\n" in got.text("plain").replace("\r\n", "\n")
    assert ">&lt;b&gt;mine&lt;/b&gt;\n\nat 1</div>" in got.text("html").replace("\r\n", "\n")
    assert "S &lt;b&gt;</h1>" in got.text("html")


FILTERS = [
    *SLIPS,
    "{% set said %}{{ problem.message }}{% endset %}{{ said }}",
    "{% autoescape false %}{{ problem.message }}{% endautoescape %}",
]


async def test_x3_what_is_filled_in_is_no_markup_whatever_the_template_does_with_it() -> None:
    marked = "".join(f"<b title='{filled}'>{filled}</b><b id=\"{filled}\"></b>" for filled in FILTERS)
    texts = ["y", *HOSTILE.values(), "'\"><script>x</script>", "<!-- -->", "' onload='x", "http://e.example @all"]
    async with MailHost() as host:
        sink = _mail(host, html=f"{EACH}{marked}{{% endfor %}}")
        await sink.open(None)
        for number, text in enumerate(texts):
            sent = await sink.send(batch_of(note(item(message=text[:500], reason="Odd"), number=number)))
            assert not sent.defaulted
        await sink.close()
        usual = tags(host.got[0].text("html"))
        assert usual.count(("b", ["title"])) == usual.count(("b", ["id"])) == len(FILTERS)
        for got in host.got:
            assert tags(got.text("html")) == usual
            assert "://e.example" not in got.text("html")


async def test_a_mail_has_room_for_all_problems_that_a_message_names() -> None:
    html = EACH + "<p>{{ problem.message }}</p>{% endfor %}"
    worst = [item(name=f"p-{n}", message='"' * 16_000) for n in range(20)]
    async with MailHost() as host:
        assert await send(_mail(host, html=html), note(*worst)) == Sent()
        assert host.got[0].text("html").count("<p>&quot;") == 20
