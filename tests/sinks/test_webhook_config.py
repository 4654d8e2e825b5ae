"""`kind: webhook`: what a configuration may not say, and what to write instead."""

from __future__ import annotations

from typing import Any

import pytest

from eventer.sink import BatchConfig, GroupConfig
from eventer.values import Repeats, Secret
from sinks._auth import AuthConfig, BasicConfig
from sinks._sign import SignConfig
from sinks.webhook import Config

GROUP = GroupConfig()
A = Secret.literal("a")
KEY = AuthConfig(header="X-Api-Key", value=A)
SIGN = SignConfig(secret=Secret.literal("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"headers": {"X Team": "a"}}, "X-Team"),
        ({"headers": {"Host": "a"}}, "leave it out"),
        ({"headers": {"X-A": "a", "x-a": "b"}}, "leave it out"),
        ({"headers": {"X-A": "a\r\nb"}}, "line break"),
        ({"headers": {"Authorization": "x"}, "auth": AuthConfig(bearer=Secret.literal("x"))}, "leave one"),
        ({"headers": {"Idempotency-Key": "a"}}, "leave it out"),
        ({"headers": {"Webhook-Id": "a"}, "sign": SIGN}, "leave it out"),
        ({"headers": {"x-api-key": "a"}, "auth": KEY}, "leave one"),
        ({"auth": AuthConfig(header="idempotency-key", value=Secret.literal("a"))}, "another header"),
        ({"auth": AuthConfig(header="webhook-id", value=Secret.literal("a")), "sign": SIGN}, "another header"),
        ({"headers": {"X-A": "{{ event.reason }}"}}, "format: single"),
        ({"headers": {"X-A": "{{ event.reason }}"}, "format": "cloudevents-batch"}, "format: single"),
        ({"template": "{{ event.reason }}", "format": "cloudevents-binary"}, "tojson"),
        ({"url": Secret.literal("https://{{ event.namespace }}.example/")}, "takes no template"),
        ({"url": Secret.literal("h.example/path")}, "write https://host/path"),
        ({"url": Secret.literal("ftp://h.example/")}, "write https://host/path"),
        ({"url": Secret.literal("http://169.254.169.254/latest")}, "metadata services"),
        ({"url": Secret.literal("https://h/{% if event.node %}a{% endif %}")}, "takes no template"),
        ({"headers": {"X-A": "{{ event.message }}"}, "format": "single"}, "line break"),
        ({"headers": {"X-A": "{{ event.nothing }}"}, "format": "single"}, "there are id, "),
        ({"template": "{{ event.reason"}, "raw"),
        ({"template": '{"m": "{{ event.message }}"}'}, "tojson"),
        ({"template": "{{ event.reason }}"}, "tojson"),
        ({"template": "{{ event.__class__ }}"}, "unsafe"),
        ({"group": GROUP, "format": "cloudevents-batch"}, "write format: single"),
        ({"group": GROUP, "template": "{{ event.reason | tojson }}"}, "template: a template writes events"),
        ({"group": GROUP, "headers": {"X-A": "{{ event.reason }}"}, "format": "single"}, "headers: X-A: a template"),
        ({"group": GROUP, "in_flight": 2}, "one after the other"),
        ({"group": GROUP, "batch": BatchConfig(count=20)}, "batch: it is about events"),
        ({"group": GROUP, "repeats": Repeats.parse("5m")}, "repeats: it is about events"),
    ],
)
def test_a_wrong_configuration_is_refused_with_a_remedy(options: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        Config(**{"kind": "webhook", "url": Secret.literal("http://h/"), **options})


def test_other_headers_may_go_with_a_key_or_signatures() -> None:
    for options in ({"auth": KEY}, {"sign": SIGN}, {"auth": KEY, "sign": SIGN}):
        headers = {"Authorization": "x", "webhook-team": "shop", "ce-id": "1"}
        assert Config(kind="webhook", url=Secret.literal("http://h/"), headers=headers, **options)


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({}, "one of bearer and basic"),
        ({"bearer": A, "basic": BasicConfig(username="a", password=A)}, "one of bearer and basic"),
        ({"bearer": A, "header": "X-Key", "value": A}, "one of bearer and basic"),
        ({"header": "X-Key"}, "together"),
        ({"value": A}, "together"),
        ({"bearer": A, "value": A}, "together"),
        ({"header": "X Key", "value": A}, "X-Team"),
        ({"header": "Host", "value": A}, "leave it out"),
    ],
)
def test_auth_is_one_of_three(options: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        AuthConfig(**options)


def test_a_user_name_holds_no_colon() -> None:
    with pytest.raises(ValueError, match="colon"):
        BasicConfig(username="a:b", password=Secret.literal("c"))
