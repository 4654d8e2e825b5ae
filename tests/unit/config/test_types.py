import math

import pytest

from eventer.config.sources import Kubernetes, Namespace, Start
from eventer.config.types import FilterRule, Listen
from eventer.errors import ConfigError
from eventer.match import Rule


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":8080", "", 8080),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("localhost:65535", "localhost", 65_535),
        ("[::1]:80", "::1", 80),
    ],
)
def test_an_address_is_read_and_written_back(text, host, port):
    listen = Listen.parse(text)
    assert listen == Listen(host=host, port=port)
    assert str(listen) == text


@pytest.mark.parametrize(
    "text", ["", "8080", ":", ":-1", ":٣", ":65536", ":123456", "::1:80", "[::1]", "[a]:1", "a b:1", "-a:1"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="is no address to listen on; write"):
        Listen.parse(text)


@pytest.mark.parametrize(
    ("text", "seconds", "back"), [("all", math.inf, "all"), ("now", 0, "now"), ("1h", 3600, "3600s")]
)
def test_a_start_is_read_and_written_back(text, seconds, back):
    start = Start.parse(text)
    assert start == seconds
    assert str(start) == back


@pytest.mark.parametrize("text", ["", "All", "1", "-1h"])
def test_what_is_no_start_is_refused(text):
    with pytest.raises(ValueError, match="is no start; write all, now, or"):
        Start.parse(text)


@pytest.mark.parametrize("text", ["a", "a-1", "1", "a" * 63])
def test_the_name_of_a_namespace_is_kept(text):
    assert Namespace.parse(text) == text


@pytest.mark.parametrize("text", ["", "A", "a-", "-a", "a.b", "a*", "!a", "a" * 64, "a\n"])
def test_what_no_namespace_can_be_called_is_refused(text):
    with pytest.raises(ValueError, match="is no name of a namespace; write"):
        Namespace.parse(text)


def test_a_filter_rule_is_one_of_its_two():
    rule = Rule.parse({"type": "Normal"})
    assert (FilterRule(drop=rule).rule, FilterRule(drop=rule).keeps) == (rule, False)
    assert (FilterRule(keep=rule).rule, FilterRule(keep=rule).keeps) == (rule, True)


def test_a_namespace_named_twice_is_refused():
    with pytest.raises(ConfigError) as raised:
        Kubernetes(namespaces=["shop", "web", "shop"])
    assert [fault.message for fault in raised.value.faults] == ["the namespace shop is named twice"]
