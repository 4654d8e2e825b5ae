"""/metrics: what Prometheus can read, books that balance, and not a word of any event."""

from __future__ import annotations

import errno
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from eventer import failpoint
from eventer.control.report import ConfigReport
from eventer.delivery.breaker import State
from eventer.delivery.runner import Health
from eventer.demo.apiserver import ApiServer
from eventer.event import Outcome
from eventer.journal import StreamKey
from eventer.observe.metrics import DEFAULTED, ENRICHED, LOOKUPS, SEND_SECONDS, UNREMEMBERED
from eventer.source.outcomes import Cause
from tests.helpers.farside import Answer, FarSide
from tests.helpers.inprocess import Life, Site, StillClock
from tests.helpers.oracle import Books
from tests.helpers.until import until

CANARY = "canary9d41"


@pytest.fixture
def with_nodes(tmp_path: Path, server: ApiServer) -> Site:
    return Site(tmp_path, server, nodes=True)


async def scrape(life: Life) -> str:
    status, text = await life.get("/metrics")
    assert status == 200
    return text


def families(text: str) -> dict[str, Metric]:
    """Parse a page; each family must be there once."""
    found = list(text_string_to_metric_families(text))
    assert len({family.name for family in found}) == len(found)
    return {family.name: family for family in found}


def values(text: str, name: str, **labels: str) -> list[float]:
    return [
        s.value
        for family in families(text).values()
        for s in family.samples
        if s.name == name and labels.items() <= s.labels.items()
    ]


def no_uid(server: ApiServer, name: str) -> None:
    """Create what no cluster should hold: an Event without uid, which cannot be exported."""
    server.create(fields={"metadata": {"name": name, "namespace": "default"}})


async def test_every_family_says_what_it_is(site: Site) -> None:
    async with (
        site.running() as life,
        aiohttp.ClientSession() as session,
        session.get(life.url + "/metrics") as answer,
    ):
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        found = families(await answer.text())
    assert {family.type for family in found.values()} <= {"counter", "gauge", "histogram"}
    assert all(family.documentation for family in found.values())
    own = {name for name in found if not name.startswith("process_")}
    assert all(name.startswith("eventer_") for name in own)
    assert all(found[name].samples for name in ("eventer_intake_events", "eventer_reader_events", "eventer_sink_state"))


async def test_the_books_balance_whatever_became_of_the_events(site: Site, server: ApiServer) -> None:
    async with FarSide() as far:
        far.answer = Answer(400)
        site.document["sinks"]["picky"] = {
            "kind": "webhook",
            "url": far.url,
            "match": [{"reason": "Failed"}],
            "batch": {"count": 1},
        }
        site.add_dead_sink("dead")
        site.document["filter"] = [{"drop": {"type": "Normal"}}]
        for number in range(4):
            server.create(f"kept-{number}")
        server.create("dropped", type="Normal")
        server.create("failed", reason="Failed")
        no_uid(server, "poison")
        async with site.running() as life:
            server.create("failed-too", reason="Failed")
            server.patch("kept-0", count=2)
            server.patch("kept-1", metadata=server.store.objects["default", "kept-1"]["metadata"])  # nothing changed
            no_uid(server, "poison-too")
            await until(lambda: life.journal.head == 7, "all to be stored")
            await until(lambda: life.journal.readers["picky"].cursor == 7, "the refusals")
            await until(lambda: life.journal.readers["out"].cursor == 7, "the deliveries")
            await until(lambda: life.journal.stream(StreamKey("prod", "events")).seen == 1, "the repeat")
            books = Books.from_metrics(await scrape(life))
            assert books.faults() == []
            stream = ("prod", "events")
            assert books.intake[stream] == {"received": 11, "poison": 2, "seen": 1, "filtered": 1, "appended": 7}
            assert (books.outcome("picky", "dead"), books.outcome("picky", "unmatched")) == (2, 5)
            assert books.letters["picky"] == {"dead": 2}
            assert books.letters["intake:prod/events"] == {"dead": 2}
            assert books.outcome("out", "delivered") == 7
            assert books.pending == {"out": 0, "picky": 0, "dead": 7}
    # After the end the journal says the same.
    assert Books.from_journal(site.state).faults() == []


async def test_the_books_balance_at_every_scrape(site: Site, server: ApiServer) -> None:
    site.add_dead_sink("dead")
    heads = []
    async with site.running() as life:
        for number in range(20):
            server.create(f"number-{number}")
            books = Books.from_metrics(await scrape(life))
            assert books.faults() == []
            heads.append(books.head)
        await site.has(*(f"number-{number}" for number in range(20)))
    assert heads == sorted(heads)


class Gate:
    """Holds each commit between the disk and the memory, which then differ."""

    def __init__(self) -> None:
        self.closed = False
        self.reached = threading.Event()
        self._go = threading.Semaphore(0)

    def hit(self, name: str) -> None:
        if self.closed and name == "journal.committed":
            self.reached.set()
            self._go.acquire()

    def let_one_pass(self) -> None:
        self.reached.clear()
        self._go.release()

    def open(self) -> None:
        self.closed = False
        self._go.release()


async def test_one_scrape_is_of_one_moment(site: Site, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    monkeypatch.setattr(failpoint, "hit", gate.hit)
    async with FarSide() as far:
        far.answer = Answer(400)
        site.document["sinks"]["picky"] = {"kind": "webhook", "url": far.url}
        async with site.running() as life:
            gate.closed = True
            try:
                server.create("refused")
                dead = 0
                while not dead:
                    await until(gate.reached.is_set, "a commit that nobody knows of")
                    books = Books.from_metrics(await scrape(life))
                    assert books.faults() == []
                    dead = books.letters.get("picky", {}).get("dead", 0)
                    known = life.journal.readers["picky"].outcomes.get(Outcome.DEAD, 0)
                    gate.let_one_pass()
            finally:
                gate.open()
            assert (dead, known) == (1, 0)  # the page was ahead of the memory, as a whole


async def test_a_disk_that_cannot_be_read_does_not_hide_the_rest(
    site: Site, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> None:
        if name == "journal.read":
            raise OSError(errno.EIO, "no")

    server.create("first")
    async with site.running() as life:
        await life.settled("out")
        monkeypatch.setattr(failpoint, "hit", refuse)
        text = await scrape(life)
        monkeypatch.undo()
    books = Books.from_metrics(text)
    assert books.faults() == []
    assert books.outcome("out", "delivered") == 1
    assert values(text, "eventer_sink_oldest_pending_seconds") == []  # unknown, and not nothing


async def test_what_waits_is_told_with_its_age_and_bytes(site: Site, server: ApiServer) -> None:
    site.add_dead_sink("dead")
    server.create("first")
    clock = StillClock()
    async with site.running(clock) as life:
        await life.settled("out")
        clock.advance(100.0)
        server.create("second")
        await until(lambda: life.journal.readers["out"].cursor == 2, "the second one")
        clock.advance(20.0)
        text = await scrape(life)
        assert values(text, "eventer_sink_oldest_pending_seconds", sink="dead") == [pytest.approx(120.0, abs=5.0)]
        assert values(text, "eventer_sink_oldest_pending_seconds", sink="out") == [0]
        assert values(text, "eventer_reader_pending", sink="dead") == [2]
        assert values(text, "eventer_reader_pending_bytes", sink="out") == [0]
        (size,) = values(text, "eventer_reader_pending_bytes", sink="dead")
        assert size == values(text, "eventer_journal_backlog_bytes")[0] > 0


async def test_times_of_the_watch_and_how_far_it_lags(site: Site, server: ApiServer) -> None:
    clock = StillClock()
    async with site.running(clock) as life:
        text = await scrape(life)
        assert values(text, "eventer_watch_last_event_timestamp_seconds") == []
        (contact,) = values(text, "eventer_watch_last_contact_timestamp_seconds")
        assert contact == pytest.approx(clock.now().timestamp(), abs=5.0)
        clock.advance(1000.0)
        stamp = (clock.now() - timedelta(seconds=90)).astimezone(UTC)
        server.create("late", lastTimestamp=stamp.strftime("%Y-%m-%dT%H:%M:%SZ"))
        await life.settled("out")
        await until(lambda: life.journal.head == 1, "the Event")
        text = await scrape(life)
        (at,) = values(text, "eventer_watch_last_event_timestamp_seconds")
        assert datetime.fromtimestamp(at, UTC) == pytest.approx(clock.now(), abs=timedelta(seconds=5))
        assert values(text, "eventer_watch_last_line_timestamp_seconds") == [at]
        assert values(text, "eventer_watch_lag_seconds") == [pytest.approx(90.0, abs=5.0)]
        server.create("ahead", lastTimestamp=(clock.now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"))
        await until(lambda: life.journal.head == 2, "the Event of a clock that is ahead")
        assert values(await scrape(life), "eventer_watch_lag_seconds") == [0.0]


async def test_of_nodes_a_heartbeat_is_news_and_no_lag_is_claimed(with_nodes: Site, server: ApiServer) -> None:
    server.nodes.add("n1")
    key = StreamKey("prod", "nodes")
    async with with_nodes.running() as life:
        await until(lambda: life.view.streams[key].status.connected, "nodes to be watched")
        server.nodes.heartbeat("n1")
        await until(lambda: life.journal.stream(key).position == server.nodes.store.version, "the heartbeat")
        text = await scrape(life)
    assert len(values(text, "eventer_watch_last_event_timestamp_seconds", scope="nodes")) == 1
    assert values(text, "eventer_watch_lag_seconds", scope="nodes") == []


async def test_labels_are_of_closed_sets_and_hold_no_word_of_an_event(with_nodes: Site, server: ApiServer) -> None:
    site = with_nodes
    for metric in (SEND_SECONDS, DEFAULTED, ENRICHED, LOOKUPS, UNREMEMBERED):
        metric.clear()  # other daemons of this process had sinks of other names
    site.add_dead_sink("dead")

    def create(number: int) -> None:
        word = f"{CANARY}-{number}"
        server.create(
            word, namespace=word, about=word, kind=word, reason=word, message=word, type=word, action=word,
            reportingComponent=word, reportingInstance=word, source={"component": word, "host": word},
        )  # fmt: skip
        no_uid(server, word)

    async with site.running() as life:
        create(0)
        await until(lambda: life.journal.readers["out"].cursor == 1, "the first one")
        await until(lambda: life.journal.stream(StreamKey("prod", "events")).poison == 1, "the first one without uid")
        few = await scrape(life)
        for number in range(1, 50):
            create(number)
        await until(lambda: life.journal.readers["out"].cursor == 50, "all of them")
        await until(lambda: life.journal.stream(StreamKey("prod", "events")).poison == 50, "those without uid")
        many = await scrape(life)
        pages = [few, many, *[(await life.get(path))[1] for path in ("/healthz", "/readyz", "/livez")]]
    assert CANARY in site.out.read_text()  # it was there to be told
    assert all(CANARY not in page for page in pages)
    allowed = {
        "cluster": {"", "prod"},
        "scope": {"own", "events", "nodes"},
        "sink": {"out", "dead", "intake:prod/events"},
        "outcome": {*Outcome, "received", "poison", "seen", "filtered", "appended"},
        "state": {*Outcome, *Health, *State},
        "cause": set(Cause),
    }
    for family in families(many).values():
        for sample in family.samples:
            for label, value in sample.labels.items():
                if label == "result" and family.name.startswith("eventer_config"):
                    assert value in ConfigReport().results
                elif label == "result":
                    assert value == "sent" or value.partition(":")[0] in {"retry", "rejected", "blocked"}
                elif label != "le":
                    assert value in allowed[label], (family.name, label)
    assert len(few.splitlines()) == len(many.splitlines())


async def test_a_cluster_that_cannot_be_reached_still_has_metrics(site: Site, server: ApiServer) -> None:
    await server.stop()
    async with site.running(watching=False) as life:
        await until(lambda: life.view.waiting, "the refused connection")
        text = await scrape(life)
    assert values(text, "eventer_journal_head") == [0]
    assert values(text, "eventer_watch_connected") == []
    assert values(text, "eventer_streams_missing") == [1]


async def test_the_watch_and_the_sink_are_shown_as_they_are(site: Site, server: ApiServer) -> None:
    site.add_dead_sink("dead")
    server.create("first")
    async with site.running() as life:
        await site.has("first")
        await until(lambda: life.view.runners["dead"].status.error, "the dead sink to be found dead")
        await life.settled("out")
        text = await scrape(life)
        assert values(text, "eventer_watch_connected") == [1]
        assert values(text, "eventer_watch_position") == [server.store.version]
        states = families(text)["eventer_sink_state"].samples
        now = {s.labels["sink"]: s.labels["state"] for s in states if s.value}
        assert now["out"] == "ok"
        assert now["dead"] in {"retrying", "blocked"}
        assert values(text, "eventer_streams_missing") == [0]
        assert values(text, "eventer_sink_breaker", sink="out", state="closed") == [1]
        assert values(text, "eventer_sink_breaker", sink="dead", state="open") == [1]
        assert values(text, "eventer_sink_breaker_transitions_total", sink="dead", state="open")[0] >= 1
        assert values(text, "eventer_sink_breaker_transitions_total", sink="dead", state="closed") == [0]
        assert values(text, "eventer_sink_in_flight", sink="out") == [0]
        assert values(text, "eventer_sink_last_success_timestamp_seconds", sink="dead") == []
        assert len([s for s in states if s.value]) == 2  # one state each
        await server.stop()
        await until(lambda: not next(iter(life.view.streams.values())).status.connected, "the watch to be down")
        text = await scrape(life)
        assert values(text, "eventer_watch_connected") == [0]
