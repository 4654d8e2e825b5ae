"""`kind: webhook`: what a configuration may not say, and what to write instead."""

from __future__ import annotations

from typing import Any

import pytest

from eventer.values import Secret
from sinks._http import AuthConfig, BasicConfig
from sinks.webhook import Config


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"headers": {"X Team": "a"}}, "X-Team"),
        ({"headers": {"Host": "a"}}, "leave it out"),
        ({"headers": {"X-A": "a", "x-a": "b"}}, "leave it out"),
        ({"headers": {"X-A": "a\r\nb"}}, "line break"),
        ({"headers": {"Authorization": "x"}, "auth": AuthConfig(bearer=Secret.literal("x"))}, "leave one"),
        ({"headers": {"X-A": "{{ event.reason }}"}}, "format: single"),
        ({"headers": {"X-A": "{{ event.message }}"}, "format": "single"}, "line break"),
        ({"headers": {"X-A": "{{ event.nothing }}"}, "format": "single"}, "event.reason"),
        ({"template": "{{ event.reason"}, "raw"),
        ({"template": '{"m": "{{ event.message }}"}'}, "tojson"),
        ({"template": "{{ event.reason }}"}, "tojson"),
        ({"template": "{{ event.__class__ }}"}, "unsafe"),
    ],
)
def test_a_wrong_configuration_is_refused_with_a_remedy(options: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        Config(kind="webhook", url=Secret.literal("http://h/"), **options)


@pytest.mark.parametrize(
    "options", [{}, {"bearer": Secret.literal("a"), "basic": BasicConfig(username="a", password=Secret.literal("b"))}]
)
def test_auth_is_one_of_two(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one of bearer and basic"):
        AuthConfig(**options)


def test_a_user_name_holds_no_colon() -> None:
    with pytest.raises(ValueError, match="colon"):
        BasicConfig(username="a:b", password=Secret.literal("c"))
