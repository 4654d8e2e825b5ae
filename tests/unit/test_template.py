"""Templates: what they can do, what they cannot, and that they are tried before they are used."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from eventer.event import Event
from eventer.template import LIMIT, Template, as_header, as_json
from tests.helpers.sinks import HOSTILE, make_event


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ event.reason }} in {{ event.namespace }}/{{ event.name }}", "BackOff in shop/web-1"),
        ("{{ event.reason | upper }}", "BACKOFF"),
        ("{% if event.count > 2 %}often{% endif %}", "often"),
        ("{{ event.delta }}|{{ event.first }}", "|"),
        ("{{ event.delta | tojson }}", "null"),
        ("{{ event.time.strftime('%H:%M') }}", "12:00"),
        ("{{ event.labels.team }}|{{ event.labels['region'] }}", "shop|"),
        ("{{ event.labels | tojson }}", '{"team":"shop"}'),
        ("{{ event.origin }}", "event"),
        ("{{ '=' * 5 }}", "====="),
    ],
)
def test_renders(text: str, expected: str) -> None:
    assert Template(text).render(make_event(1, labels={"team": "shop"})) == expected


def test_a_whole_event_as_json() -> None:
    text = Template("{{ event | tojson }}", check=as_json).render(make_event(1))
    assert msgspec.json.decode(text, type=Event) == make_event(1)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "large"])
def test_event_text_is_data(name: str) -> None:
    """X2: event text that looks like a template is not evaluated."""
    event = make_event(1, message=HOSTILE[name], name="{{ 7 * 7 }}{% raw %}")
    plain = Template("{{ event.message }}|{{ event.name }}").render(event)
    assert plain == f"{HOSTILE[name]}|{{{{ 7 * 7 }}}}{{% raw %}}"
    made = Template('{"m": {{ event.message | tojson }}}', check=as_json).render(event)
    assert msgspec.json.decode(made) == {"m": HOSTILE[name]}


ESCAPES = [
    "{{ event.__class__ }}",
    "{{ event.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''.__class__ }}",
    "{{ event.reason.__init__.__globals__ }}",
    "{{ event['__class__'] }}",
    "{{ event | attr('__class__') }}",
    "{{ '%s' | format(event).__class__ }}",
    "{{ '{0.__class__}'.format(event) }}",
    "{{ '{x.__class__.__mro__}'.format_map({'x': event}) }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ event.labels.update({'a': 'b'}) }}",
    "{{ event.labels.clear() }}",
    "{% set event.reason = 'x' %}",
    "{% include '/etc/passwd' %}",
    "{% import 'x' as x %}",
    "{% extends 'x' %}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ 'x' * 1000000000 }}",
    "{{ [0] * 1000000000 }}",
    "{{ 1000000000 * 'x' }}",
    "{% for i in range(1000000000) %}x{% endfor %}",
    "{% for i in range(99999) %}x{% endfor %}",
]


@pytest.mark.parametrize("text", ESCAPES)
def test_x2_escapes_are_refused_when_the_template_is_read(text: str) -> None:
    """X2: the corpus of ways out of the sandbox."""
    with pytest.raises(ValueError, match="template"):
        Template(text)


def test_x2_what_is_not_refused_shows_nothing() -> None:
    assert Template("{{ [event] | map(attribute='__class__') | list }}").render(make_event(1)) == "[Undefined]"


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("{{ event.reason", "raw"),
        ("{{ event.reson }}", "event.reason"),
        ("{{ reason }}", "event.reason"),
        ("{{ nothing | tojson }}", "event.reason"),
        ("{{ event.reason | nofilter }}", "nofilter"),
        ("{{ event.first.isoformat() }}", "without its optional fields"),
        ("{{ event.delta + 1 }}", "without its optional fields"),
        ("{{ 1 / 0 }}", "ZeroDivision"),
    ],
)
def test_faults_are_found_before_use_and_name_a_remedy(text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        Template(text)


def test_at_run_time_a_missing_name_is_nothing() -> None:
    text = "{% if event.reason == 'Odd' %}{{ event.nothing.at.all }}[{{ nobody | tojson }}]{% endif %}ok"
    assert Template(text).render(make_event(1, reason="Odd")) == "[null]ok"


def test_what_fails_on_one_event_says_so() -> None:
    template = Template("{{ 6 // (event.name | length - 6) }}")
    assert template.render(make_event(1, name="1234567")) == "6"
    with pytest.raises(ValueError, match="ZeroDivisionError"):
        template.render(make_event(1, name="123456"))


def test_the_result_is_capped_in_bytes() -> None:
    event = make_event(1, message="日" * 10)
    assert Template("{{ event.message }}", limit=60).render(event) == "日" * 10
    with pytest.raises(ValueError, match="60 bytes"):
        Template("{{ event.message }}", limit=60).render(make_event(1, message="日" * 21))
    with pytest.raises(ValueError, match=str(LIMIT)):
        Template("{{ event.message }}").render(make_event(1, message="x" * (LIMIT + 1)))


def test_the_result_can_be_encoded() -> None:
    assert Template("{{ event.message }}\ud800").render(make_event(1, message="a")) == "a\ufffd"


@pytest.mark.parametrize("text", ["a\nb", "a\r\nSet-Cookie: x", "a\x00", "\x7f"])
def test_a_header_holds_no_control_character(text: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        as_header(text)
    with pytest.raises(ValueError, match="line break"):
        Template("{{ event.reason }}", check=as_header).render(make_event(1, reason=text))


def test_a_header_is_stripped() -> None:
    assert as_header(" \tsome\tvalue 日 ") == "some\tvalue 日"


@pytest.mark.parametrize("text", ["", "{", "{'a': 1}", '{"a": 1} x', '"a\nb"', "nul", "[1,]", '{"a": NaN}'])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="tojson"):
        as_json(text)


def test_json_is_written_on_one_line() -> None:
    assert as_json('{"a":\n [1,\t2]}\n') == '{"a":[1,2]}'


def test_jinja2_is_not_imported_before_a_template_is_made() -> None:
    code = "import sys, eventer.template, sinks.webhook; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
