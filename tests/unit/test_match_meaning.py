"""`severity` and `family` in rules: what the catalog says, remembered where it may be, and quick."""

from __future__ import annotations

import subprocess
import sys

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from eventer.catalog import Catalog
from eventer.catalog.changes import CatalogChanges, ReasonChange
from eventer.event import Event
from eventer.match import Rule, Verdicts
from tests.helpers.sinks import make_event

PULL = make_event(message='Back-off pulling image "web:2"')
CRASH = make_event()


def test_rules_ask_for_severity_and_family() -> None:
    assert Rule.parse({"severity": "warning", "family": ["crash_loop", "probe"]}).matches(CRASH)
    assert not Rule.parse({"severity": "!warning"}).matches(CRASH)
    assert Rule.parse({"family": "/^crash/"}).matches(CRASH)
    assert not Rule.parse({"family": "crash_loop"}).matches(PULL)
    texts = [(part.field, part.text, part.holds) for part in Rule.parse({"severity": "critical"}).parts(CRASH)]
    assert texts == [("severity", "warning", False)]
    assert str(Rule.parse({"type": "Warning", "severity": "critical"})) == "{type: Warning, severity: critical}"


def test_where_the_message_decides_it_is_looked_at_each_time() -> None:
    verdicts = Verdicts([Rule.parse({"family": "crash_loop"}), Rule.parse({"severity": "warning"})])
    assert verdicts([CRASH, PULL, CRASH, PULL]) == [0, 1, 0, 1]


def test_a_rule_asks_the_catalog_that_it_is_given() -> None:
    changes = CatalogChanges(reasons={"BackOff": ReasonChange(severity="critical")})
    rule = Rule.parse({"severity": "critical"})
    assert Verdicts([rule.by(Catalog(changes)), rule])([CRASH]) == [0]
    assert Verdicts([rule])([CRASH]) == [-1]


@given(
    st.lists(
        st.sampled_from([
            {"severity": "critical"}, {"severity": ["warning", "info"], "reason": "BackOff"}, {"family": "!crash_loop"},
            {"family": "image_pull", "namespace": "shop"}, {"name": "web-1", "severity": "warning"}, {"kind": "Node"},
        ]),
        min_size=1, max_size=4,
    ),
    st.lists(
        st.builds(
            make_event,
            st.integers(0, 2),
            reason=st.sampled_from(["BackOff", "NodeNotReady", "Killing", "Unknown", "Pulled"]),
            kind=st.sampled_from(["Pod", "Node"]),
            type=st.sampled_from(["Normal", "Warning"]),
            message=st.sampled_from(["Back-off pulling image", "restarting failed container", "failed liveness probe"]),
        ),
        min_size=1, max_size=8,
    ),
)  # fmt: skip
def test_many_rules_mean_what_each_means_alone(mappings: list[dict[str, object]], events: list[Event]) -> None:
    rules = [Rule.parse(mapping) for mapping in mappings]
    alone = [next((at for at, rule in enumerate(rules) if rule.matches(event)), -1) for event in events]
    assert Verdicts(rules)(events) == alone


def test_the_catalog_is_asked_once_for_events_that_are_alike() -> None:
    asked: list[str] = []

    class Counting(Catalog):
        def meaning(self, event: Event) -> tuple[str, str]:  # type: ignore[override]
            asked.append(event.reason)
            return super().meaning(event)

    verdicts = Verdicts([Rule.parse({"severity": "critical"}).by(Counting())])
    events = [msgspec.structs.replace(make_event(number), reason="Unhealthy") for number in range(100)]
    assert verdicts(events) == [-1] * 100
    assert asked == ["Unhealthy"]


def test_nothing_is_read_where_no_rule_asks() -> None:
    code = """
from eventer.config.load import load
from eventer.match import Rule, Verdicts
from tests.helpers.sinks import make_event
from eventer.catalog import shipped
from eventer.catalog.shipped import reasons
Verdicts([Rule.parse({"type": "Warning"})])([make_event()])
assert not reasons.cache_info().currsize
Verdicts([Rule.parse({"severity": "critical"})])([make_event()])
assert reasons.cache_info().currsize
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
