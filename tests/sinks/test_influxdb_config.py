"""Options of `kind: influxdb` that contradict each other or cannot be, and the words that say so."""

from __future__ import annotations

from typing import Any

import pytest

from eventer.values import Secret
from sinks._auth import BasicConfig
from sinks._proxy import ProxyConfig
from sinks.influxdb import Config, InfluxAuthConfig
from tests.helpers.sinks import columns


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "influxdb:8086"}, "write for example http://host:8086"),
        ({"url": "http://me:word@influxdb:8086"}, "write them under auth"),
        ({"url": "http://influxdb:8086/?db=x"}, "no address"),
        ({"url": "http://169.254.169.254/"}, "metadata"),
        ({"bucket": ""}, "bucket: a name has"),
        ({"bucket": "a\nb"}, "bucket: a name has"),
        ({"measurement": "_internal"}, "measurement: names that begin with _"),
        ({"measurement": "#events"}, "measurement: a line that begins with # is a comment"),
        ({"tags": ["uid"]}, "uid' can be no tag"),
        ({"tags": ["labels."]}, "can be no tag"),
        ({"tags": ["reason", "reason"]}, "twice"),
        ({"tags": ["labels.message"]}, "would hide"),
        ({"fields": columns(time="time")}, "knows no field named 'time'"),
        ({"fields": columns(reason="reason")}, "the name of a tag"),
        ({"fields": columns(what="message"), "layout": "kube-eventer"}, "contradict"),
        ({"proxy": ProxyConfig(url="https://proxy:3128")}, "http proxies only"),
    ],
)
def test_a_wrong_option_is_refused_with_a_remedy(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Config(**{"kind": "influxdb", "url": "http://influxdb:8086", "bucket": "events"} | options)


@pytest.mark.parametrize("both", [True, False])
def test_auth_takes_one_of_two(both: bool) -> None:
    token = Secret.literal("token")
    options: dict[str, Any] = {"token": token, "basic": BasicConfig(username="me", password=token)} if both else {}
    with pytest.raises(ValueError, match="one of token and basic"):
        InfluxAuthConfig(**options)
