"""The registry and the metrics that are observed where they happen, once per batch.

All other figures are read from where they live at each scrape (`eventer.control.metrics`).
Label values come from the configuration or from closed sets, never from events.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

__all__ = ["COMMIT_SECONDS", "DEFAULTED", "ENRICHED", "LOOKUPS", "REGISTRY", "SEND_SECONDS", "UNREMEMBERED"]

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

SEND_SECONDS: Final = Histogram(
    "eventer_sink_send_seconds",
    "Duration of sends, failed ones included.",
    ["sink"],
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60),
    registry=REGISTRY,
)
DEFAULTED: Final = Counter(
    "eventer_sink_defaulted",
    "Messages that went out in the usual words because the user's template failed on them.",
    ["sink"],
    registry=REGISTRY,
)
COMMIT_SECONDS: Final = Histogram(
    "eventer_journal_commit_seconds",
    "Duration of the journal's commits, each of which serves all operations that had gathered.",
    buckets=(0.0005, 0.002, 0.01, 0.05, 0.2, 1, 5),
    registry=REGISTRY,
)
ENRICHED: Final = Counter(
    "eventer_enriched_events",
    "Events that were sent with what was looked up about them, by how that ended; tries count each.",
    ["sink", "result"],
    registry=REGISTRY,
)
LOOKUPS: Final = Counter(
    "eventer_lookups",
    "Requests to API servers for what sinks want looked up, by how they ended.",
    ["result"],
    registry=REGISTRY,
)
UNREMEMBERED: Final = Counter(
    "eventer_alerting_unremembered_sources",
    "Times that what keeps others quiet, by a rule of inhibit, found no room to be remembered: the others are told.",
    ["sink"],
    registry=REGISTRY,
)
