"""What the catalog is asked: once for what is said again of the same, and anew where anything counts that is another."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eventer.alerting import meant
from eventer.alerting.meant import Asked
from eventer.alerting.terms import key_of
from eventer.catalog import Catalog, Condition, Reason, Severity, shipped
from eventer.event import Event, Origin, problem_key
from tests.helpers.alerting import Played, pod


class Counting(Catalog):
    """The catalog, and how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    def meaning(self, event: Event) -> tuple[Severity, str]:
        self.asked["meaning"] += 1
        return super().meaning(event)


def test_what_is_said_again_is_not_asked_again() -> None:
    catalog = Counting()
    asked = Asked(catalog)
    for number in range(5):
        event = pod("BackOff", number)
        event.message = f"Back-off restarting failed container, {number // 2} minutes"
        assert asked(event).key == "prod/Pod/shop/api/crash_loop"
    assert catalog.asked["meaning"] == 1
    asked(msgspec.structs.replace(pod("BackOff", 9), message="Back-off pulling image"))
    assert catalog.asked["meaning"] == 2


def test_a_new_problem_asks_once_where_others_of_its_object_are_known() -> None:
    catalog = Counting()
    played = Played()
    played._made = played._made[0], catalog, played._made[2]  # type: ignore[assignment]
    played.alerts = type(played.alerts)(*played._made)
    for at, reason in enumerate(("OOMKilling", "FailedMount", "Unhealthy")):
        played.log += [pod(reason, at)]
        played.settle(at)
    assert catalog.asked["meaning"] == 3


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meant, "REMEMBERED", 3)
    asked = Asked(shipped())
    for number in range(50):
        asked(pod("BackOff", 0, name=f"p{number}"))
        assert len(asked._answers) <= 3


_VALUES: dict[str, list[Any]] = {
    "origin": [Origin.EVENT, Origin.NODE],
    "type": ["Normal", "Warning"],
    "reason": ["BackOff", "Failed", "NodeNotReady", "Odd"],
    "component": ["", "kubelet", "node-controller"],
    "kind": ["Pod", "Node"],
    "condition": ["", "Ready", "KernelDeadlock"],
    "status": ["", "True", "False", "Unknown"],
    "state": ["", "firing", "resolved", "unknown"],
    "cause": ["", "DockerHung", "NodeNotReady"],
    "message": ["", "Back-off pulling image", "Back-off restarting failed container", "Failed to pull image", "x"],
    "field_path": ["", "spec.containers{web}", "spec.containers{job}"],
}


_PLAIN: dict[str, Any] = {field: values[0] for field, values in _VALUES.items()} | {"origin": Origin.EVENT}


@settings(deadline=None)
@given(
    st.lists(st.fixed_dictionaries({field: st.sampled_from(values) for field, values in _VALUES.items()}), max_size=8)
)
@example([_PLAIN | {"reason": "Odd", "cause": cause} for cause in ("", "NodeNotReady")])
@example([_PLAIN | {"reason": "NodeNotReady", "origin": origin, "condition": "Ready"} for origin in Origin])
@example([_PLAIN | {"reason": "Failed", "message": message} for message in ("Failed to pull image", "x", "")])
def test_the_answer_is_always_that_of_the_catalog(said: list[dict[str, Any]]) -> None:
    catalog = shipped()
    asked = Asked(catalog)
    for each in said:
        about = f"prod/{each['kind']}//x"
        event = msgspec.structs.replace(
            pod("", 0), **each, object=about, problem=problem_key(about, each["reason"], each["field_path"])
        )
        severity, family = catalog.meaning(event)
        known: Reason | Condition | None = catalog.of(event)
        over = known.opposite if isinstance(known, Reason) else ()
        found = asked(event)
        assert (found.severity, found.family, found.key) == (severity, family, key_of(event, family))
        assert (found.known, found.over) == (known, over)
