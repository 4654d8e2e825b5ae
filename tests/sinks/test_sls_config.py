"""`kind: sls`: what its options cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from eventer.sink import BatchConfig
from eventer.values import Secret
from sinks import sls
from sinks._sls_credentials import SlsAuthConfig
from tests.helpers.sinks import columns


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"project": "My_Project"}, "project: 'My_Project' can be no name"),
        ({"logstore": "a/b"}, "logstore: 'a/b' can be no name"),
        ({"region": "https://cn-hangzhou"}, "region: .* can be no name"),
        ({"endpoint": "cn-hangzhou.log.aliyuncs.com"}, "endpoint: the address is no URL"),
        ({"endpoint": "http://100.100.100.200"}, "endpoint: the address leads to 100.100.100.200"),
        ({"endpoint": "https://my-project.log.example"}, "leave the project out; write https://log.example"),
        ({"endpoint": "https://log.example/logstores"}, "nothing behind the host"),
        ({"endpoint": "https://me:x@log.example"}, "no user name"),
        ({"batch": BatchConfig(count=5000)}, "at most 4096"),
        ({"layout": "kube-eventer", "fields": columns(a="message")}, "contradict each other"),
        ({"fields": columns(__time__="time")}, "keeps for itself"),
        ({"tags": {"": "x"}}, "tags: '' is no name"),
        ({"fields": columns(**{"x" * 129: "message"})}, "1 to 128 bytes"),
    ],
)
def test_what_options_cannot_be(options: dict[str, Any], words: str) -> None:
    usual = {
        "project": "my-project",
        "logstore": "events",
        "region": "cn-hangzhou",
        "auth": SlsAuthConfig(ecs_role="auto"),
    }
    with pytest.raises(ValueError, match=words):
        sls.Config(kind="sls", **(usual | options))


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        ({}, "one of access_key_id, sts_file and ecs_role"),
        ({"sts_file": "/x", "ecs_role": "auto"}, "one of access_key_id, sts_file and ecs_role"),
        ({"access_key_id": Secret.literal("x")}, "together"),
        ({"access_key_secret": Secret.literal("x"), "ecs_role": "auto"}, "together"),
        ({"sts_file": "/x", "security_token": Secret.literal("x")}, "belongs to access_key_id"),
        ({"ecs_role": "../../x"}, "a role has letters"),
    ],
)
def test_what_auth_cannot_be(auth: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SlsAuthConfig(**auth)
