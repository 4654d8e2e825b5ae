"""Events of objects, a small catalog, and a notifier's alerting with its journal, all in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec

from eventer.alerting.alerts import Alerts
from eventer.alerting.notification import Notification
from eventer.alerting.plan import Plan
from eventer.alerting.state import State
from eventer.catalog import Condition, Reason, Severity, Text
from eventer.event import Event, Origin, problem_key

START = 1_800_000_000.0
"""When everything begins, seconds since 1970."""
_WORDS = Text(means="It says so.")


class Words:
    """What these tests' reasons mean."""

    reasons: ClassVar = {
        "BackOff": Reason(names=("BackOff",), severity="warning", family="crash", opposite=("Started",)),
        "Unhealthy": Reason(names=("Unhealthy",), severity="warning", family="crash"),
        "FailedScheduling": Reason(
            names=("FailedScheduling",), severity="warning", family="scheduling", opposite=("Scheduled",), patience=300
        ),
        "OOMKilling": Reason(names=("OOMKilling",), severity="critical", family="memory"),
        "NodeNotReady": Reason(names=("NodeNotReady",), severity="critical", family="node-down"),
    }
    conditions: ClassVar = {
        name: Condition(names=(name,), bad=bad, severity="critical", family="node-down", en=_WORDS, zh=_WORDS)
        for name, bad in (("Ready", "False"), ("NetworkUnavailable", "True"))
    }

    version = ""

    def of(self, event: Event) -> Reason | Condition | None:
        return self.conditions.get(event.condition) or self.reasons.get(event.reason)

    def said(self, event: Event) -> tuple[bool, ...]:
        return ()

    def meaning(self, event: Event) -> tuple[Severity, str]:
        known = self.of(event)
        if known is None or event.state == "resolved":
            return ("info" if event.type == "Normal" else "warning"), (known.family if known else "other")
        return known.severity, known.family


def pod(reason: str, at: float, *, name: str = "api", namespace: str = "shop", container: str = "") -> Event:
    """An Event about a pod; `at` in seconds after `START`."""
    key = f"prod/Pod/{namespace}/{name}"
    path = f"spec.containers{{{container}}}" if container else ""
    return Event(
        id=f"{name}/{reason}/{at}",
        time=datetime.fromtimestamp(START + at, UTC),
        cluster="prod",
        origin=Origin.EVENT,
        type="Normal" if reason in {"Started", "Scheduled"} else "Warning",
        reason=reason,
        message=f"{reason} of {name}",
        kind="Pod",
        namespace=namespace,
        name=name,
        count=1,
        delta=1,
        field_path=path,
        entity=f"{name}/{reason}",
        version=1,
        object=key,
        problem=problem_key(key, reason, path),
    )


def node(condition: str, state: str, at: float, *, name: str = "n1") -> Event:
    """A change of a node's condition; `at` in seconds after `START`."""
    key = f"prod/Node//{name}"
    return Event(
        id=f"{name}/{condition}/{at}",
        time=datetime.fromtimestamp(START + at, UTC),
        cluster="prod",
        origin=Origin.NODE,
        type="Warning" if state == "firing" else "Normal",
        reason=f"{condition}Changed",
        message=f"{condition} is {state}",
        kind="Node",
        namespace="",
        name=name,
        count=1,
        delta=1,
        condition=condition,
        state=state,
        entity=f"{name}/{condition}",
        version=1,
        object=key,
        problem=f"{key}/{condition}",
    )


class Played:
    """Alerting with a journal: what a step returns is stored whole, or not at all."""

    def __init__(
        self,
        by: Sequence[str] = ("cluster", "namespace", "family"),
        **plan: Any,
    ) -> None:
        self._stored: bytes | None = None
        self.log: list[Event] = []
        self.cursor = 0
        self.told: list[Notification] = []
        self.restart(by, **plan)

    def restart(self, by: Sequence[str] = ("cluster", "namespace", "family"), **plan: Any) -> None:
        """Go on from what is stored, with another plan."""
        self._made = (lambda events: [event.type == "Warning" for event in events], Words(), Plan(by=by, **plan))
        self.alerts = Alerts(*self._made, self._stored)

    @property
    def books(self) -> State:
        return self.alerts.books

    def settle(self, at: float, *, killed: bool = False) -> list[Notification]:
        """Read what is new, decide, and store all of it in one transaction; or be killed before that."""
        notes = self.alerts.step(self.log[self.cursor :], START + at)
        if killed:
            self.alerts = Alerts(*self._made, self._stored)
            return []
        self.cursor = len(self.log)
        self._stored = self.alerts.state()
        assert msgspec.json.decode(self._stored, type=State) == self.books
        self.told += notes
        self.check()
        return notes

    def run(self, until: float, since: float = 0.0) -> None:
        """Let time pass: a step whenever one is due."""
        now = since
        for _ in range(10_000):
            due = self.alerts.due - START
            if due > until:
                return
            now = max(now, due)
            self.settle(now)
        raise AssertionError("A step is always due: a daemon would turn without a pause.")

    def check(self) -> None:
        """The books balance: of what is settled, and of what was told."""
        books = self.books
        assert books.taken == self.cursor
        held = sum(group.waiting for group in books.groups.values()) + (books.old.events if books.old else 0)
        assert books.taken == books.represented + books.unmatched + books.suppressed + held
        assert books.waiting == held
        assert books.represented == sum(note.events for note in self.told)
        assert [note.number for note in self.told] == list(range(1, books.number + 1))
