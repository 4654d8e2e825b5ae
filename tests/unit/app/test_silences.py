"""Row G5 with a whole daemon: what is silenced is not told but counted, and told once the silence is over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eventer.about import MUTE
from eventer.alerting.requests import Wanted
from eventer.demo.apiserver import ApiServer
from eventer.journal import read_books
from tests.helpers.farside import FarSide
from tests.helpers.inprocess import Life, Site, StillClock
from tests.helpers.journals import killed
from tests.helpers.objects import ObjectServer
from tests.helpers.until import until


def notifier(url: str) -> dict[str, Any]:
    return {"kind": "webhook", "url": url, "format": "single", "group": {"wait": "0s", "by": ["namespace"]}}


def told(far: FarSide) -> list[str]:
    """Names of the objects in all messages."""
    return [item["name"] for request in far.requests for item in json.loads(request.body)["items"]]


def bad(server: ApiServer, namespace: str) -> None:
    server.create(f"{namespace}-1", namespace, about=namespace)


async def arrived(far: FarSide, *names: str) -> None:
    await until(lambda: set(names) <= set(told(far)), f"{names} to be told")


async def suppressed(life: Life, clock: StillClock, count: int) -> None:
    """Wait until so many events were suppressed, and are stored as such: that takes a second."""
    readers = life.journal.alerting.readers

    def stored() -> bool:
        clock.advance(0.02)
        return readers["chat"].suppressed >= count

    await until(stored, f"{count} events to be suppressed")


async def silenced(life: Life, namespace: str) -> str:
    wanted = Wanted(match={"namespace": namespace}, owner="ann", reason="works", lasts=600.0)
    return (await life.daemon._silencing.add(wanted)).id


async def counts(life: Life) -> dict[str, int]:
    return {report.id: report.suppressed for report in await life.daemon._silencing.reports()}


async def test_g5_what_is_silenced_is_counted_and_told_when_somebody_ends_the_silence(
    site: Site, server: ApiServer
) -> None:
    clock = StillClock()
    async with FarSide() as far:
        site.document["sinks"]["chat"] = notifier(far.url)
        async with site.running(clock) as life:
            shop, web = await silenced(life, "shop"), await silenced(life, "web")
            for namespace in ("shop", "pay", "web"):
                bad(server, namespace)
            await arrived(far, "pay")
            await suppressed(life, clock, 2)
            assert await counts(life) == {shop: 1, web: 1}
            _, page = await life.get("/metrics")
            assert 'eventer_alerting_suppressed_events_total{sink="chat",stage="silence"} 2' in page
            assert told(far) == ["pay"]
            await life.daemon._silencing.expire([shop])
            await arrived(far, "shop")
            assert told(far) == ["pay", "shop"]
            assert await counts(life) == {shop: 1, web: 1}
    site.balanced()
    assert read_books(site.state).alerting["chat"].suppressed == 2


async def test_g5_killed_while_it_is_silenced_it_is_told_when_the_silence_is_over(
    site: Site, server: ApiServer, tmp_path: Path
) -> None:
    clock = StillClock()
    async with FarSide() as far:
        site.document["sinks"]["chat"] = notifier(far.url)
        async with site.running(clock) as life:
            shop = await silenced(life, "shop")
            bad(server, "shop")
            await suppressed(life, clock, 1)
            site.state = killed(site.state, tmp_path / "killed")
        site.document["state"]["path"] = str(site.state)
        async with site.running(clock) as life:
            bad(server, "pay")
            await arrived(far, "pay")
            clock.advance(500)
            await until(lambda: life.view.runners["chat"].pending == 0, "nothing to wait")
            assert told(far) == ["pay"]
            clock.advance(100)
            await arrived(far, "shop")
            assert await counts(life) == {shop: 1}
    site.balanced()


async def test_a_silence_of_the_configuration_ends_when_it_is_taken_out(site: Site, server: ApiServer) -> None:
    clock = StillClock()
    async with FarSide() as far:
        site.document["sinks"]["chat"] = notifier(far.url)
        site.document["silences"] = [
            {"name": "works", "match": [{"namespace": "shop"}], "until": "2099-01-01T00:00:00+01:00",
             "owner": "ann", "reason": "the registry moves"}
        ]  # fmt: skip
        async with site.running(clock) as life:
            bad(server, "shop")
            await suppressed(life, clock, 1)
            assert await counts(life) == {"works": 1}
            assert not far.requests
            del site.document["silences"]
            site.write()
            await life.daemon.reload.asked()
            await arrived(far, "shop")
    site.balanced()


async def test_an_annotation_on_a_namespace_silences_what_is_in_it(tmp_path: Path) -> None:
    clock = StillClock()
    server = ObjectServer()
    await server.start()
    site = Site(tmp_path, server)
    try:
        server.objects.add("Namespace", "shop", annotations={MUTE: "2099-01-01T06:00:00+01:00 the registry moves"})
        server.objects.add("Namespace", "pay", annotations={MUTE: "true"})
        async with FarSide() as far:
            site.document["sinks"]["chat"] = notifier(far.url) | {"enrich": ["namespace"]}
            async with site.running(clock) as life:
                bad(server, "shop")
                bad(server, "pay")
                await arrived(far, "pay")
                await suppressed(life, clock, 1)
                assert told(far) == ["pay"]
                assert await counts(life) == {MUTE: 1}
                server.objects.add("Namespace", "shop")

                def once_more() -> bool:
                    """What holds is what was seen with the latest event, and namespaces are read again by and by."""
                    clock.advance(1.0)
                    server.create(namespace="shop", about="shop")
                    return "shop" in told(far)

                await until(once_more, "the end of the annotation to be seen")
        site.balanced()
    finally:
        await server.stop()
