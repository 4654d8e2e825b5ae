"""Rows about InfluxDB, a store with identity: a real one that dies, refuses points, or is read again.

What it holds at the end is compared by `id` with what the API server acknowledged: nothing is missing, and nothing
is there twice, whatever was repeated on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eventer.clock import SystemClock
from eventer.errors import Rejected
from eventer.sink import SinkContext
from eventer.values import Secret
from sinks._auth import BasicConfig
from sinks.influxdb import Config, InfluxAuthConfig, Sink
from tests.helpers.daemon import Daemon
from tests.helpers.oracle import judge
from tests.helpers.process import until
from tests.helpers.sinks import HOSTILE, batch_of, make_event
from tests.helpers.writer import Truth, Writer
from tests.real.conftest import MakeDaemon
from tests.real.controlplane import ControlPlane
from tests.real.influxdb import PASSWORD, TLS, USER, Influxdb
from tests.real.rows import end_well, scale, settled, source, truth_of, write

SOON = {f"eventer.delivery.breaker:Pace.{name}": 2.0 for name in ("retry_cap", "probe_base", "probe_cap")}
"""How often what fails is tried again: up to a minute otherwise, and what is blocked every one to five minutes."""
PAGE = Path(__file__).parents[2] / "docs/sinks/influxdb.md"
GRAFANA = {
    "$timeFilter": "time > now() - 1h",
    "$__interval": "1h",
    "v.timeRangeStart": "-1h",
    "v.timeRangeStop": "now()",
    "v.windowPeriod": "1h",
}


def store(server: Influxdb, bucket: str, **options: Any) -> dict[str, Any]:
    """Return an entry of `sinks:`."""
    auth = {"basic": {"username": USER, "password": PASSWORD}}
    return {"kind": "influxdb", "url": server.url, "bucket": bucket, "timeout": "5s", "auth": auth} | options


@contextlib.asynccontextmanager
async def sinking(server: Influxdb, bucket: str, **options: Any) -> AsyncIterator[Sink]:
    auth = InfluxAuthConfig(basic=BasicConfig(username=USER, password=Secret.literal(PASSWORD)))
    config = Config(kind="influxdb", url=server.url, bucket=bucket, auth=auth, **options)
    sink = Sink(config, SinkContext(name="points", clock=SystemClock()))
    try:
        await sink.open(None)
        yield sink
    finally:
        await sink.close()


async def all_there(server: Influxdb, database: str, truth: Mapping[str, Truth], daemon: Daemon) -> None:
    """Wait until the sink has settled everything, and compare the store with the truth."""

    async def even() -> bool:
        books = await daemon.books()
        caught_up = books.cursors.get("points") == books.head >= len(truth)
        return caught_up and not books.letters.get("points", {}).get("parked")

    await until(even, "the sink to be settled", timeout=90)
    verdict = judge(truth, await server.sights(database), exact=True)
    assert verdict.faults(repeats=0) == []
    assert verdict.records > 0


async def begun(plane: ControlPlane, daemons: MakeDaemon, name: str, sink: dict[str, Any]) -> tuple[Daemon, Writer]:
    """Start a daemon with this sink beside a file, on a namespace of its own."""
    await plane.namespace(name)
    daemon = daemons(sources=[source(plane, namespaces=[name])], scaled=SOON)
    daemon.config["sinks"]["points"] = sink
    await daemon.start()
    return daemon, Writer(plane.api, seed=11, namespaces=(name,))


async def blocked(daemon: Daemon) -> None:
    """Wait until the sink says that a person must act."""

    async def says() -> bool:
        return await daemon.metric("eventer_sink_state", sink="points", state="blocked") == 1

    await until(says, "the sink to be blocked")


async def test_each_point_once_though_store_and_daemon_are_killed_under_load(
    plane: ControlPlane, daemons: MakeDaemon, influxdb: Influxdb
) -> None:
    """S1, S2, S5 for this sink: killed at full load, in place of 500 events/s for 10 minutes; then frozen."""
    database = await influxdb.database("killed")
    daemon, writer = await begun(plane, daemons, "in-killed", store(influxdb, database, timeout="2s"))
    load = scale(400, 30_000)

    async def holds(least: int) -> bool:
        return await influxdb.count(database) >= least

    await write(writer, load)
    await until(lambda: holds(1), "the first points")
    writing = asyncio.create_task(write(writer, load))
    influxdb.kill9()
    await writing
    truth = await truth_of(plane, writer, "in-killed")
    assert (await settled(truth, daemon.sights, exact=True)).faults() == []  # the sink beside it goes on
    daemon.kill9()
    await daemon.start()
    await influxdb.start()
    writing = asyncio.create_task(write(writer, load))
    await until(lambda: holds(load + 1), "more points")
    influxdb.freeze()
    try:
        await writing
        await write(writer, 20)  # what went before may be there already

        async def timed_out() -> bool:
            return await daemon.metric("eventer_sink_sends_total", sink="points", result="retry:timeout") > 0

        await until(timed_out, "a send without an answer")
        daemon.kill9()
    finally:
        influxdb.thaw()
    await daemon.start()
    truth = await truth_of(plane, writer, "in-killed")
    await all_there(influxdb, database, truth, daemon)
    await end_well(daemon, truth, exact=True)


async def test_s13_a_field_of_another_type_refuses_its_points_and_no_others(
    plane: ControlPlane, daemons: MakeDaemon, influxdb: Influxdb
) -> None:
    """S13. Somebody has written `action` as a number; one event in 20 has an action."""
    database = await influxdb.database("conflict")
    status, text = await influxdb.ask("POST", f"/api/v2/write?bucket={database}&org=-", data="events action=1i")
    assert status == 204, text
    daemon, writer = await begun(plane, daemons, "in-conflict", store(influxdb, database))
    await write(writer, 190)
    refused = {(await writer.create(series=True)).uid for _ in range(10)}
    truth = await truth_of(plane, writer, "in-conflict")

    async def even() -> bool:
        books = await daemon.books()
        return books.cursors.get("points") == books.head == 200

    await until(even, "all to be settled")
    await influxdb.query('DELETE FROM "events" WHERE time < now() + 1h AND "cluster" = \'\'', database)
    await all_there(influxdb, database, {uid: item for uid, item in truth.items() if uid not in refused}, daemon)
    assert (await daemon.books()).outcome("points", "dead") == 10
    assert await daemon.metric("eventer_sink_sends_total", sink="points", result="rejected:conflict") > 0
    await end_well(daemon, truth, exact=True)
    assert daemon.journal().outcome("points", "delivered") == 190


async def test_s13_what_is_beyond_the_retention_is_named_at_once(influxdb: Influxdb) -> None:
    """S13. Counted as dead, with one request: the times say which points the server drops."""
    database = await influxdb.database("short", keeps="1h", shards="1h")
    now = datetime.now(UTC)
    fresh = [make_event(number, time=now - timedelta(minutes=number)) for number in range(20)]
    old = [make_event(100 + number, time=now - timedelta(hours=2 + number)) for number in range(5)]
    events = [*fresh[:10], *old, *fresh[10:]]
    async with sinking(influxdb, database) as sink:
        sent = await sink.send(batch_of(events))
        assert {place: (type(error), error.reason) for place, error in sent.failed.items()} == dict.fromkeys(
            range(10, 15), (Rejected, "retention")
        )
        assert len((await sink.send(batch_of(old))).failed) == 5
        assert list((await sink.send(batch_of(old[:1]))).failed) == [0]
    assert {point["id"] for point in await influxdb.points(database)} == {event.id for event in fresh}


async def test_s13_nothing_beyond_the_retention_is_sent_again(
    plane: ControlPlane, daemons: MakeDaemon, influxdb: Influxdb
) -> None:
    """S13. A bucket that keeps an hour, and Events that say that they happened before that."""
    database = await influxdb.database("brief", keeps="1h", shards="1h")
    daemon, writer = await begun(plane, daemons, "in-brief", store(influxdb, database))
    await write(writer, 50)
    fresh = await truth_of(plane, writer, "in-brief")
    path = "/api/v1/namespaces/in-brief/events"
    stamp = (datetime.now(UTC) - timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    subject = {"kind": "Pod", "namespace": "in-brief", "name": "late"}
    for number in range(5):
        body = {"metadata": {"name": f"late-{number}", "namespace": "in-brief"}, "involvedObject": subject}
        await plane.api.create(path, body | {"reason": "Late", "firstTimestamp": stamp, "lastTimestamp": stamp})

    async def given_up() -> bool:
        return (await daemon.books()).outcome("points", "dead") == 5

    await until(given_up, "the late ones to be dead letters")
    await all_there(influxdb, database, fresh, daemon)
    assert (await daemon.books()).faults() == []


@pytest.mark.parametrize("layout", ["eventer", "kube-eventer"])
async def test_s14_two_events_of_one_second_with_equal_tags_are_both_there(influxdb: Influxdb, layout: Any) -> None:
    """S14. And each once, though they are sent again, in other batches."""
    database = await influxdb.database(f"second-{layout}")
    events = [make_event(1, id=f"prod/0/uid-1/{version}", version=version) for version in range(300)]
    async with sinking(influxdb, database, layout=layout) as sink:
        assert not (await sink.send(batch_of(events))).failed
        assert not (await sink.send(batch_of(events[100:]))).failed
    points = await influxdb.points(database)
    assert sorted(point["id"] for point in points) == sorted(event.id for event in events)
    assert len({point["time"][:19] for point in points}) == 1


async def test_the_queries_that_the_page_shows_find_something(influxdb: Influxdb) -> None:
    """For Grafana, in both languages; its variables are filled in as it would."""
    create, show = re.findall(r"-execute '([^']+)'", PAGE.read_text(encoding="utf-8"))
    await influxdb.query(create)
    await influxdb.query(f"GRANT ALL ON {(database := 'events')} TO {USER}")
    # A point's nanoseconds come from the event's id: within the present second they can lie ahead of `now()`.
    now = datetime.now(UTC) - timedelta(seconds=1)
    events = [
        make_event(number, time=now - timedelta(seconds=number), delta=2, reason=reason)
        for number, reason in enumerate(["BackOff", "Failed", "BackOff"])
    ]
    events[0].object = "prod/Pod/shop/web-0"
    async with sinking(influxdb, database, tags=["reason", "namespace", "type"], tag_values=1) as sink:
        assert (await sink.send(batch_of(events))).note
    blocks = re.findall(r"^```(sql|flux)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 7
    sums = []
    for language, text in blocks:
        query = text
        for name, value in GRAFANA.items():
            query = query.replace(name, value)
        rows = await (influxdb.query(query, database) if language == "sql" else influxdb.flux(query))
        assert rows, query
        sums += [float(row[key] or 0) for row in rows for key in ("sum", "times", "_value") if key in row]
    assert sum(sums) == 4 * 6  # two queries in each language, each over three events that happened twice
    assert len(await influxdb.query(show, database)) == 3
    listed = await influxdb.query("SHOW TAG VALUES WITH KEY = reason", database)
    assert {row["value"] for row in listed} == {"BackOff", "(more)"}


async def test_any_text_comes_back_as_it_was(influxdb: Influxdb) -> None:
    database = await influxdb.database("hostile")
    texts = {name: text for name, text in HOSTILE.items() if name != "empty"}
    events = [
        make_event(number, message=text, reason=f"a,b=c d\\{number}", namespace='"quo\nted"', uid=text[:99] + "\\")
        for number, text in enumerate(texts.values())
    ]
    async with sinking(influxdb, database, gzip=True) as sink:
        assert not (await sink.send(batch_of(events))).failed
    points = {point["id"]: point for point in await influxdb.points(database)}
    for event in events:
        point = points[event.id]
        assert (point["message"], point["uid"]) == (event.message, event.uid)
        assert (point["reason"], point["namespace"]) == (event.reason.replace("\\", " "), '"quo ted"')


async def test_a_bucket_that_is_not_there_and_one_that_is_not_ours(influxdb: Influxdb) -> None:
    await influxdb.query('CREATE DATABASE "foreign"')
    await influxdb.database("ours")
    found = {}
    for bucket in ("ours", "ours/autogen", "absent", "ours/absent", "foreign"):
        async with sinking(influxdb, bucket) as sink:
            try:
                await sink.probe()
                found[bucket] = "taken"
                await sink.send(batch_of([make_event(1)]))
            except Exception as error:
                found[bucket] = f"{type(error).__name__} {getattr(error, 'reason', error)}"
    assert found == {
        "ours": "taken",
        "ours/autogen": "taken",
        "absent": "Blocked bucket",
        "ours/absent": "Blocked bucket",
        "foreign": "Blocked denied",
    }
    assert await influxdb.count("ours") == 1


async def test_a_write_that_is_too_large_goes_in_halves(
    plane: ControlPlane, daemons: MakeDaemon, influxdb: Influxdb
) -> None:
    """413: the server takes 2 MB, the sink was told 16 MiB."""
    database = await influxdb.database("large")
    batch = {"bytes": "16MiB", "count": 300, "age": "1m"}  # all in one, however slowly they are written
    daemon, writer = await begun(plane, daemons, "in-large", store(influxdb, database, batch=batch))
    await write(writer, 300, message=lambda number: f"{number} " * 2500)
    truth = await truth_of(plane, writer, "in-large")
    await all_there(influxdb, database, truth, daemon)
    assert await daemon.metric("eventer_sink_sends_total", sink="points", result="rejected:too_large") > 0
    assert (await daemon.books()).outcome("points", "dead") == 0
    await end_well(daemon, truth, exact=True)


async def test_a_password_that_is_changed_under_load_and_a_certificate_of_another_host(
    plane: ControlPlane, daemons: MakeDaemon, tmp_path: Path
) -> None:
    """What the store refuses waits; the file with the new password is all that is needed."""
    (tmp_path / "influxdb").mkdir()
    server = Influxdb(tmp_path / "influxdb")
    server.certificate = "wronghost"
    try:
        await server.start()
        database = await server.database("gated")
        secret = tmp_path / "password"
        secret.write_text(PASSWORD)
        auth = {"basic": {"username": USER, "password_file": str(secret)}}
        sink = store(server, database, auth=auth, tls={"ca_file": str(TLS / "ca.pem")})
        daemon, writer = await begun(plane, daemons, "in-gated", sink)
        await write(writer, 50)
        await blocked(daemon)
        assert "is not trusted" in str(daemon.log())
        assert await server.count(database) == 0
        server.kill9()
        server.certificate = "good"
        await server.start()

        async def holds() -> bool:
            return await server.count(database) == 50

        await until(holds, "what waited")
        writing = asyncio.create_task(write(writer, 300))
        await server.query(f"SET PASSWORD FOR {USER} = 'second-password'")
        await writing
        await blocked(daemon)
        secret.write_text("second-password")
        truth = await truth_of(plane, writer, "in-gated")
        await all_there(server, database, truth, daemon)
        await end_well(daemon, truth, exact=True)
    finally:
        await server.stop()
