"""What /metrics says: the books and the state of every part, read at the scrape.

The names and what to do about them are in docs/operations.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from eventer.control.view import View
from eventer.delivery.runner import Health
from eventer.event import Outcome
from eventer.observe.metrics import REGISTRY

__all__ = ["Metrics"]

Families = Iterator[CounterMetricFamily | GaugeMetricFamily]


class Metrics:
    """Collects what the daemon's parts know when Prometheus asks."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._letters: Mapping[tuple[str, Outcome], int] = {}
        REGISTRY.register(self)

    def close(self) -> None:
        """Leave the registry, so that another daemon in this process can enter it."""
        REGISTRY.unregister(self)

    async def render(self) -> bytes:
        """Return the text that Prometheus reads."""
        self._letters = await self._view.journal.letters()
        return generate_latest(REGISTRY)

    def collect(self) -> Families:
        """Yield all families; called by the registry."""
        yield from self._books()
        yield from self._journal()
        yield from self._streams()
        yield from self._sinks()

    def _books(self) -> Families:
        journal = self._view.journal
        intake = CounterMetricFamily(
            "eventer_intake_events",
            "What became of lines and items at intake: received = poison + seen + filtered + appended.",
            labels=["cluster", "scope", "outcome"],
        )
        for key, record in journal.streams.items():
            for outcome in ("received", "poison", "seen", "filtered", "appended"):
                intake.add_metric([key.cluster, key.scope, outcome], getattr(record, outcome))
        yield intake
        events = CounterMetricFamily(
            "eventer_reader_events",
            "What became of events at each sink: cursor - origin = sum over all outcomes.",
            labels=["sink", "outcome"],
        )
        cursor = GaugeMetricFamily("eventer_reader_cursor", "Offset of the first unsettled event.", labels=["sink"])
        origin = GaugeMetricFamily("eventer_reader_origin", "Offset at which the sink began.", labels=["sink"])
        pending = GaugeMetricFamily("eventer_reader_pending", "Events that wait for the sink.", labels=["sink"])
        for name, reader in journal.readers.items():
            for outcome in Outcome:
                events.add_metric([name, str(outcome)], reader.outcomes.get(outcome, 0))
            cursor.add_metric([name], reader.cursor)
            origin.add_metric([name], reader.origin)
            pending.add_metric([name], journal.head - reader.cursor)
        yield from (events, cursor, origin, pending)
        letters = GaugeMetricFamily(
            "eventer_letters", "Events kept because they could not be delivered.", labels=["sink", "state"]
        )
        for (name, state), n in self._letters.items():
            letters.add_metric([name, str(state)], n)
        yield letters

    def _journal(self) -> Families:
        journal = self._view.journal
        yield GaugeMetricFamily("eventer_journal_head", "Offset after the last event.", journal.head)
        yield GaugeMetricFamily("eventer_journal_bytes", "Bytes of the database in use.", journal.used)
        yield GaugeMetricFamily(
            "eventer_journal_backlog_bytes", "Bytes of events in it (state.max_size).", journal.backlog
        )
        yield CounterMetricFamily(
            "eventer_journal_commit_failures", "Commits that the disk refused; nothing of them happened.",
            journal.commit_failures,
        )  # fmt: skip
        yield CounterMetricFamily(
            "eventer_journal_quarantines",
            "Damaged databases set aside since the process began.",
            self._view.quarantines,
        )

    def _streams(self) -> Families:
        counters: dict[str, Any] = {}
        gauges: dict[str, Any] = {}
        labels = ["cluster", "scope"]

        def count(name: str, text: str, value: float, *extra: str) -> None:
            family = counters.setdefault(
                name, CounterMetricFamily(name, text, labels=[*labels, *(["cause"] if extra else [])])
            )
            family.add_metric([*where, *extra], value)

        def gauge(name: str, text: str, value: float) -> None:
            gauges.setdefault(name, GaugeMetricFamily(name, text, labels=labels)).add_metric(where, value)

        now = self._view.clock.now().timestamp()
        for key, stream in self._view.streams.items():
            where = [key.cluster, key.scope]
            status = stream.status
            gauge("eventer_watch_connected", "1 while a watch is open.", int(status.connected))
            gauge(
                "eventer_watch_blocked",
                "1 while only a person can help (rights, credentials).",
                int(bool(status.blocked)),
            )
            position = self._view.journal.stream(key).position
            gauge("eventer_watch_position", "resourceVersion up to which all is stored.", position or 0)
            if status.last_line is not None:
                age = max(0.0, now - status.last_line)
                gauge("eventer_watch_last_line_age_seconds", "Since the watch last brought a line.", age)
            for cause, n in status.ended.items():
                count("eventer_watch_ended", "Ends of watches and lists by cause.", n, str(cause))
            count("eventer_watch_relists", "Lists read to find what a watch could not tell.", status.relists)
            count("eventer_watch_bookmarks", "Bookmarks received.", status.bookmarks)
            count("eventer_watch_garbage", "Lines that are none of Kubernetes'.", status.garbage)
            count("eventer_watch_rollbacks", "Times that a cluster's history went back.", status.rollbacks)
            count("eventer_gap_seconds", "Time without contact for longer than events live.", status.gap_seconds)
            count("eventer_audits", "Audits that ended.", status.audits)
            count("eventer_audit_missed", "Objects that an audit found unseen; must stay 0.", status.audit_missed)
        yield from counters.values()
        yield from gauges.values()

    def _sinks(self) -> Families:
        attempts = CounterMetricFamily("eventer_sink_sends", "Sends by result.", labels=["sink", "result"])
        state = GaugeMetricFamily(
            "eventer_sink_state", "1 for the state that the sink is in.", labels=["sink", "state"]
        )
        oldest = GaugeMetricFamily(
            "eventer_sink_oldest_pending_seconds", "Age of the oldest event that waits for the sink.", labels=["sink"]
        )
        success = GaugeMetricFamily("eventer_sink_last_success_seconds", "Since the last success.", labels=["sink"])
        clock = self._view.clock
        now = clock.now().timestamp()
        for name, runner in self._view.runners.items():
            status = runner.status
            for result, n in status.attempts.items():
                attempts.add_metric([name, result], n)
            for health in Health:
                state.add_metric([name, str(health)], int(health is status.health))
            oldest.add_metric([name], 0.0 if status.oldest is None else max(0.0, now - status.oldest))
            if status.last_success is not None:
                success.add_metric([name], max(0.0, clock.monotonic() - status.last_success))
        yield from (attempts, state, oldest, success)
