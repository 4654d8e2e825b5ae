"""A real Alertmanager: what it takes, and an alert's life while the daemon and Alertmanager are killed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from eventer.clock import SystemClock
from eventer.demo.apiserver import ApiServer
from eventer.errors import Blocked
from eventer.journal import read_books
from eventer.sink import SinkContext
from eventer.values import Duration
from sinks.alertmanager import AlertGroupConfig, Config, Sink
from tests.helpers.farside import FarSide
from tests.helpers.notes import SAMPLES, batch_of, item, note
from tests.helpers.process import until
from tests.helpers.sinks import HOSTILE
from tests.real.alertmanager import Alertmanager
from tests.real.conftest import MakeDaemon, _children


@pytest_asyncio.fixture(loop_scope="session")
async def hook() -> AsyncIterator[FarSide]:
    async with FarSide() as far:
        yield far


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path: Path, hook: FarSide) -> AsyncIterator[Alertmanager]:
    directory = tmp_path / "alertmanager"
    directory.mkdir()
    made = Alertmanager(directory, hook.url)
    _children.append(made.child)
    try:
        await made.start()
        yield made
    finally:
        made.kill9()
        _children.remove(made.child)


def notified(hook: FarSide) -> list[str]:
    """Return what people would have been told, in order."""
    return [json.loads(request.body)["status"] for request in hook.requests]


async def test_an_alert_outlives_restarts_of_both_and_ends_when_the_problem_does(
    daemons: MakeDaemon, server: Alertmanager, hook: FarSide
) -> None:
    """Times are scaled: it is posted again every 2 s in place of five minutes, and over after 3 s of calm."""
    api = ApiServer()
    await api.start()
    daemon = daemons(sources=[], scaled={"eventer.alerting.terms:Timing.calm": 3.0})
    kubeconfig = api.write_kubeconfig(daemon.directory / "kubeconfig")
    daemon.config["sources"] = [
        {
            "cluster": "prod",
            "labels": {"region/zone": "cn-1"},
            "kubernetes": {"kubeconfig": str(kubeconfig), "nodes": False},
        }
    ]
    daemon.config["sinks"] = {
        "alerts": {
            "kind": "alertmanager",
            "url": server.url,
            "annotations": {"summary": "{{ problem.reason }} at {{ problem.name }}"},
            "group": {"interval": "1s", "repeat": "2s"},
        }
    }
    try:
        await daemon.start()
        api.create(about="pod-1", type="Warning", reason="BackOff", message="Back-off restarting failed container")

        found: list[dict[str, Any]] = []

        async def fires() -> bool:
            found[:] = await server.firing()
            return len(found) == 1

        await until(fires, "the alert")
        (first,) = found
        assert first["labels"] == {
            "alertname": "BackOff", "severity": "warning", "cluster": "prod", "namespace": "default", "kind": "Pod",
            "name": "pod-1", "node": "node-1", "reason": "BackOff", "family": first["labels"]["family"], "region_zone": "cn-1",
        }  # fmt: skip
        assert first["annotations"]["message"] == "Back-off restarting failed container"
        assert first["annotations"]["summary"] == "BackOff at pod-1"

        async def moved(since: dict[str, Any]) -> bool:
            found = await server.firing()
            return bool(found) and found[0]["endsAt"] > since["endsAt"]

        await until(lambda: moved(first), "the alert to be posted again")

        server.kill9()  # it forgets all alerts
        await server.start()
        await until(fires, "the alert after Alertmanager's restart")

        daemon.kill9()
        await daemon.start()
        await until(fires, "the alert after the daemon's restart")
        (now,) = found
        assert (now["fingerprint"], now["startsAt"]) == (first["fingerprint"], first["startsAt"])
        await until(lambda: moved(now), "the alert to be posted again by the next life")

        api.create(about="pod-1", type="Normal", reason="Started", message="Started container")

        async def over() -> bool:
            return await server.firing() == []

        await until(over, "the end of the alert")
        await until(lambda: notified(hook)[-1:] == ["resolved"], "people to be told that it is over")
        assert notified(hook)[0] == "firing"
        assert await daemon.term() == 0
    finally:
        await api.stop()
    books = read_books(daemon.state)
    reader, record = books.alerting["alerts"], books.notifiers["alerts"]
    assert reader.waiting == 0
    assert record.cursor == reader.opened == sum(record.outcomes.values())


def sink_of(server: Alertmanager, **group: Any) -> Sink:
    times = {name: Duration(value) for name, value in group.items()}
    config = Config(kind="alertmanager", url=server.url, labels={"team": "日志"}, group=AlertGroupConfig(**times))
    return Sink(config, SinkContext(name="alerts", clock=SystemClock()))


async def test_what_nobody_posts_any_more_ends_by_itself(server: Alertmanager, hook: FarSide) -> None:
    sink = sink_of(server, interval=1, repeat=1)
    assert await sink.probe() == "Alertmanager answers at 1 of 1 addresses."
    now = SystemClock().now().timestamp()
    await sink.send(batch_of(note(item(since=now, last=now))))
    assert len(await server.firing()) == 1
    await until(lambda: notified(hook) == ["firing", "resolved"], "the end of the alert")
    assert await server.firing() == []
    await sink.close()


async def test_it_takes_every_text_that_anybody_may_write(server: Alertmanager) -> None:
    sink = sink_of(server)
    await sink.open(None)
    now = SystemClock().now().timestamp()
    for text in HOSTILE.values():
        short = text[:253] or "x"
        told = item(
            message=text[:100_000], name=short, namespace=short, reason=short, node=short, since=now, last=now,
            labels={short: short},
        )  # fmt: skip
        assert not (await sink.send(batch_of(note(told)))).failed
    for sample in SAMPLES.values():
        fresh = [msgspec.structs.replace(each, since=now - 60, last=now) for each in sample.items if each.ended is None]
        await sink.send(batch_of(msgspec.structs.replace(sample, items=fresh, at=now)))
    await sink.close()
    assert len(await server.firing()) >= len(HOSTILE)


async def test_of_a_post_with_a_bad_alert_it_takes_the_others(server: Alertmanager) -> None:
    """What `sinks.alertmanager` does with a 400, and the server that unit tests ask, are made after this."""
    good = {"labels": {"alertname": "good"}, "annotations": {}}
    status, text = await server.ask("POST", "/api/v2/alerts", json=[good, {"labels": {"a": ""}, "annotations": {}}])
    assert (status, "label" in text) == (400, True)
    assert [alert["labels"]["alertname"] for alert in await server.firing()] == ["good"]
    assert await server.ask("POST", "/api/v2/alerts", json=[good]) == (200, "")


async def test_an_address_that_is_not_its_own_is_blocked(server: Alertmanager) -> None:
    config = Config(kind="alertmanager", url=server.url + "/nothing")
    sink = Sink(config, SinkContext(name="alerts", clock=SystemClock()))
    await sink.open(None)
    with pytest.raises(Blocked, match=r"Check the address\."):
        await sink.send(batch_of(SAMPLES["crash"]))
    await sink.close()
