"""What /metrics says: the books and the state of every part, read at the scrape.

The names and what to do about them are in docs/operations.md. Time stamps are exported as such, not as
ages, and what can fall is no counter (https://prometheus.io/docs/practices/instrumentation/).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from eventer.control.view import View
from eventer.delivery.breaker import State
from eventer.delivery.runner import Health
from eventer.errors import DiskRefused
from eventer.event import Outcome
from eventer.journal import Journal
from eventer.journal.books import Books
from eventer.observe.metrics import REGISTRY

__all__ = ["Metrics"]

_Family = TypeVar("_Family", CounterMetricFamily, GaugeMetricFamily)

STAGES: Final = ("threshold", "silence", "inhibition", "window")
"""What keeps quiet about problems; see `eventer.alerting.muting`."""
KEPT: Final = (Outcome.PARKED, Outcome.DEAD)
"""Outcomes that an event can leave again, so their numbers can fall."""

OLDEST: Final = "Age of the oldest event or notification that waits for the sink, parked ones included; 0 if none does."


class Page:
    """Families in the order in which their first samples come."""

    def __init__(self) -> None:
        self._families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}

    def count(self, name: str, text: str, value: float, **labels: str) -> None:
        """Add a sample of a counter; the exposition puts `_total` behind its name."""
        self._family(CounterMetricFamily, name, text, list(labels)).add_metric(list(labels.values()), value)

    def gauge(self, name: str, text: str, value: float, **labels: str) -> None:
        """Add a sample of a gauge."""
        self._family(GaugeMetricFamily, name, text, list(labels)).add_metric(list(labels.values()), value)

    def _family(self, made: type[_Family], name: str, text: str, labels: Sequence[str]) -> _Family:
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = made(name, text, labels=labels)
        assert isinstance(family, made)
        return family

    def __iter__(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        return iter(self._families.values())


class Metrics:
    """Collects what the daemon's parts know when Prometheus asks."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._books = _remembered(view.journal)
        REGISTRY.register(self)

    def close(self) -> None:
        """Leave the registry, so that another daemon in this process can enter it."""
        REGISTRY.unregister(self)

    async def render(self) -> bytes:
        """Return the text that Prometheus reads.

        The books, the letters and what waits are of one moment: of one transaction on the disk, which is never
        behind what anybody was told. While the disk cannot be read, they are those last committed, without
        letters and ages.

        Raises:
            Corrupt: the journal is damaged; a new one will be begun.
        """
        journal = self._view.journal
        try:
            self._books = await journal.books()
        except DiskRefused:
            self._books = _remembered(journal)
        return generate_latest(REGISTRY)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Return all families; called by the registry."""
        page = Page()
        self._intake(page)
        self._readers(page)
        self._notifiers(page)
        self._journal(page)
        self._streams(page)
        self._sinks(page)
        self._config(page)
        self._mirror(page)
        return iter(page)

    def _config(self, page: Page) -> None:
        report = self._view.config
        for result, n in report.results.items():
            page.count(
                "eventer_config_reloads",
                "Times that the configuration was read again, by what came of it.", n, result=result,
            )  # fmt: skip
        page.gauge(
            "eventer_config_last_reload_successful",
            "0 while the file is not what runs, because it was refused.",
            int(report.refused is None),
        )
        page.gauge("eventer_config_last_reload_success_timestamp_seconds", "When what runs was read.", report.taken)
        page.gauge(
            "eventer_config_waiting_options", "Changed options that take effect at the next start.", len(report.waiting)
        )

    def _intake(self, page: Page) -> None:
        for key, record in self._books.streams.items():
            for outcome in ("received", "poison", "seen", "filtered", "appended"):
                page.count(
                    "eventer_intake_events",
                    "What became of lines and items at intake: received = poison + seen + filtered + appended.",
                    getattr(record, outcome), cluster=key.cluster, scope=key.scope, outcome=outcome,
                )  # fmt: skip

    def _readers(self, page: Page) -> None:
        books = self._books
        now = self._view.clock.now().timestamp()
        for name, reader in books.readers.items():
            for outcome in (each for each in Outcome if each is not Outcome.FOLDED):
                n = reader.outcomes.get(outcome, 0)
                if outcome in KEPT:
                    page.gauge(
                        "eventer_reader_kept_events",
                        "Events that the sink has passed and that are kept as letters.",
                        n, sink=name, state=outcome,
                    )  # fmt: skip
                else:
                    page.count(
                        "eventer_reader_events",
                        "What became of events at each sink: cursor - origin = sum over all outcomes + kept.",
                        n, sink=name, outcome=outcome,
                    )  # fmt: skip
            page.gauge("eventer_reader_cursor", "Offset of the first unsettled event.", reader.cursor, sink=name)
            page.gauge("eventer_reader_origin", "Offset at which the sink began.", reader.origin, sink=name)
            page.gauge(
                "eventer_reader_pending", "Events that wait for the sink.", books.head - reader.cursor, sink=name
            )
            if name in books.waiting:
                since, size = books.waiting[name]
                page.gauge("eventer_reader_pending_bytes", "Bytes of them in the journal.", size, sink=name)
                page.gauge(
                    "eventer_sink_oldest_pending_seconds", OLDEST,
                    0.0 if since is None else max(0.0, now - since), sink=name,
                )  # fmt: skip
        for (name, state), n in books.letters.items():
            page.gauge("eventer_letters", "Rows of letters in the journal.", n, sink=name, state=state)

    def _notifiers(self, page: Page) -> None:
        books = self._books
        now = self._view.clock.now().timestamp()
        for name, reader in books.alerting.items():
            for outcome in ("represented", "suppressed", "expired", "unmatched", "duplicate", "dropped"):
                page.count(
                    "eventer_alerting_events",
                    "What became of events at alerting: cursor - origin = sum over all outcomes + waiting.",
                    getattr(reader, outcome), sink=name, outcome=outcome,
                )  # fmt: skip
            for stage in STAGES:
                page.count(
                    "eventer_alerting_suppressed_events", "Those that are suppressed, by what kept quiet about them.",
                    sum(n for by, n in reader.muted.items() if by.split(" ", 1)[0] == stage), sink=name, stage=stage,
                )  # fmt: skip
            page.gauge(
                "eventer_alerting_waiting_events", "Events that the next notifications will stand for.",
                reader.waiting, sink=name,
            )  # fmt: skip
            page.gauge(
                "eventer_alerting_pending", "Events that alerting has not read.", books.head - reader.cursor, sink=name
            )
            page.count("eventer_notifications_opened", "Notifications made.", reader.opened, sink=name)
            record = books.notifiers[name]
            for each in (Outcome.DELIVERED, Outcome.DUPLICATE, Outcome.FOLDED, Outcome.EXPIRED, Outcome.DROPPED):
                page.count(
                    "eventer_notifications",
                    "What became of notifications: opened = sum over all outcomes + kept + pending.",
                    record.outcomes.get(each, 0), sink=name, outcome=each,
                )  # fmt: skip
            for each in KEPT:
                page.gauge(
                    "eventer_notifications_kept", "Notifications that are kept as letters.",
                    record.outcomes.get(each, 0), sink=name, state=each,
                )  # fmt: skip
            page.gauge(
                "eventer_notifications_pending", "Notifications that wait.", reader.opened - record.cursor, sink=name
            )
            if name in books.told:
                since = books.told[name].since
                page.gauge(
                    "eventer_sink_oldest_pending_seconds", OLDEST,
                    0.0 if since is None else max(0.0, now - since), sink=name,
                )  # fmt: skip

    def _journal(self, page: Page) -> None:
        journal = self._view.journal
        page.gauge("eventer_journal_head", "Offset after the last event.", self._books.head)
        page.gauge("eventer_journal_bytes", "Bytes of the database in use.", journal.used)
        page.gauge("eventer_journal_backlog_bytes", "Bytes of events in it (state.max_size).", journal.backlog)
        page.gauge(
            "eventer_journal_trouble",
            "1 while the disk refuses or does not answer; reading is paused meanwhile.",
            int(bool(journal.trouble)),
        )
        page.count(
            "eventer_journal_commit_failures",
            "Times that the disk refused; nothing of what was asked for happened.",
            journal.commit_failures,
        )
        page.count(
            "eventer_journal_quarantines",
            "Damaged databases set aside since the process began.",
            self._view.quarantines,
        )

    def _streams(self, page: Page) -> None:
        view = self._view
        page.gauge(
            "eventer_streams_missing",
            "Streams whose cluster could not be reached or identified since the start.",
            max(0, view.expected_streams - len(view.streams)),
        )
        for key, stream in view.streams.items():
            where = {"cluster": key.cluster, "scope": key.scope}
            status = stream.status
            record = view.journal.stream(key)
            page.gauge("eventer_watch_connected", "1 while a watch is open.", int(status.connected), **where)
            page.gauge(
                "eventer_watch_blocked",
                "1 while only a person can help (rights, credentials).",
                int(bool(status.blocked)), **where,
            )  # fmt: skip
            page.gauge(
                "eventer_watch_position", "resourceVersion up to which all is stored.", record.position or 0, **where
            )
            times = (
                ("eventer_watch_last_contact_timestamp_seconds", "Last answer of the API, as stored.", record.contact),
                ("eventer_watch_last_line_timestamp_seconds", "Last line of a watch.", status.last_line),
                ("eventer_watch_last_event_timestamp_seconds", "Last Event from a watch.", status.last_event),
            )  # fmt: skip
            for name, text, at in times:
                if at is not None:
                    page.gauge(name, text, at, **where)
            if status.lag is not None:
                text = "How old the newest Event was when the watch brought it."
                page.gauge("eventer_watch_lag_seconds", text, status.lag, **where)
            page.count("eventer_watches", "Watches asked for.", status.watches, **where)
            for cause, n in status.ended.items():
                page.count("eventer_watch_ended", "Ends of watches and lists by cause.", n, **where, cause=cause)
            page.count("eventer_watch_relists", "Lists read for what a watch could not tell.", status.relists, **where)
            page.count("eventer_watch_bookmarks", "Bookmarks received.", status.bookmarks, **where)
            page.count("eventer_watch_garbage", "Lines that are none of Kubernetes'.", status.garbage, **where)
            page.count(
                "eventer_watch_rollbacks", "Times that a cluster's history went back.", status.rollbacks, **where
            )
            page.count("eventer_gaps", "Times without contact for longer than events live.", status.gaps, **where)
            page.count("eventer_gap_seconds", "Length of them.", status.gap_seconds, **where)
            page.count("eventer_audits", "Audits that ended.", status.audits, **where)
            page.count("eventer_audit_failures", "Audits that could not be completed.", status.audits_failed, **where)
            page.count(
                "eventer_audit_missed",
                "Objects that an audit found unseen; must stay 0.",
                status.audit_missed, **where,
            )  # fmt: skip

    def _sinks(self, page: Page) -> None:
        clock = self._view.clock
        for name, runner in self._view.runners.items():
            status = runner.status
            for result, n in status.attempts.items():
                page.count("eventer_sink_sends", "Sends by result.", n, sink=name, result=result)
            page.gauge("eventer_sink_in_flight", "Sends under way.", status.in_flight, sink=name)
            for health in Health:
                page.gauge(
                    "eventer_sink_state", "1 for the state that the sink is in.",
                    int(health is status.health), sink=name, state=health,
                )  # fmt: skip
            for state in State:
                page.gauge(
                    "eventer_sink_breaker", "1 for the state that the sink's breaker is in.",
                    int(state is runner.breaker.state), sink=name, state=state,
                )  # fmt: skip
                page.count(
                    "eventer_sink_breaker_transitions", "Changes of the breaker to a state.",
                    runner.breaker.transitions[state], sink=name, state=state,
                )  # fmt: skip
            stuck = sum(breaker.state is not State.CLOSED for breaker in runner.parked.destinations.values())
            page.gauge(
                "eventer_sink_destinations_stuck",
                "Parts of the far side (topics, indexes, robots) that fail while others go on.",
                stuck, sink=name,
            )  # fmt: skip
            if status.last_success is not None:
                at = clock.now().timestamp() - (clock.monotonic() - status.last_success)
                page.gauge("eventer_sink_last_success_timestamp_seconds", "Last success.", at, sink=name)

    def _mirror(self, page: Page) -> None:
        mirror = self._view.mirror
        if mirror is None:
            return
        page.count("eventer_mirror_writes", "Notes of what sinks have settled that were written.", mirror.writes)
        page.count("eventer_mirror_failures", "Tries to read or write them that failed.", mirror.failures)
        page.count("eventer_mirror_conflicts", "Times that another Eventer had written there.", mirror.conflicts)
        if mirror.current is not None:
            age = self._view.clock.monotonic() - mirror.current
            page.gauge("eventer_mirror_age_seconds", "How long ago the notes held all there was to hold.", age)


def _remembered(journal: Journal) -> Books:
    """Return the books as they were committed last, without what only the disk knows."""
    return Books(
        head=journal.head,
        streams=dict(journal.streams),
        readers=dict(journal.readers),
        letters={},
        waiting={},
        alerting=dict(journal.alerting.readers),
        notifiers=dict(journal.alerting.notifiers),
    )
