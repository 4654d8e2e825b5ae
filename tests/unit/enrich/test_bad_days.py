"""Look-ups that are slow, refused, failing or never answered: every event goes out, in time, and says what is missing."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from eventer.config.lookups import Lookups
from eventer.delivery.runner import Runner
from eventer.event import Event, Outcome
from eventer.journal import read_books
from eventer.match import Rule
from eventer.sink import SinkConfig
from tests.helpers.journals import append, balanced, opened
from tests.helpers.lookups import event_of, room
from tests.helpers.memory_sink import MemorySink, config, settled
from tests.helpers.objects import NEVER, Objects
from tests.helpers.virtual import LoopClock, in_virtual_time

GROUPS = 25
ANY = re.compile("")


def busy(groups: int = GROUPS, each: int = 8) -> tuple[Objects, list[dict[str, Any]]]:
    """Objects of many API groups, in turn."""
    objects = Objects()
    objects.add("Namespace", "shop", labels={"team": "shop"})
    made = [
        objects.add(f"Thing{n % groups}", f"t-{n}", api=f"g{n % groups}.example.com/v1", labels={"n": str(n)})
        for n in range(groups * each)
    ]
    return objects, made


def now() -> float:
    return asyncio.get_running_loop().time()


async def deliver(directory: Path, objects: Objects, events: list[Event], *wants: str, rate: float = 50.0) -> Any:
    """Deliver events that come at a rate to a sink that enriches and to one that does not; return both."""
    enriched, plain = MemorySink(), MemorySink()
    abouts: list[Any] = []
    send = enriched.send

    async def keep(batch: Any) -> Any:
        abouts.extend(event.about for event in batch.events)
        return await send(batch)

    enriched.send = keep  # type: ignore[method-assign]
    waits: dict[str, list[float]] = {"enriched": [], "plain": []}
    async with room(objects, *wants) as look_up, opened(directory) as journal:
        clock = LoopClock()
        runners = [
            Runner("enriched", enriched, config(), journal, clock, max_age=3600.0, enrich=look_up.enricher),
            Runner("plain", plain, config(), journal, clock, max_age=3600.0),
        ]
        tasks = [asyncio.create_task(runner.run()) for runner in runners]
        await asyncio.sleep(0.1)
        for start in range(0, len(events), 10):
            await append(journal, events[start : start + 10])
            began = now()
            await asyncio.sleep(10 / rate)
            waits["plain"].append(now() - began if len(plain.arrived) >= start + 10 else 999.0)
        while len(enriched.arrived) < len(events):
            await asyncio.sleep(0.05)
        last = now() - began
        for runner in runners:
            runner.stop()
        await asyncio.gather(*tasks)
    balanced(directory)
    readers = read_books(directory).readers
    assert all(reader.outcomes == {Outcome.DELIVERED: len(events)} for reader in readers.values())
    assert sorted(enriched.arrived) == sorted(event.name for event in events)
    assert max(waits["plain"]) < 1.0  # the other sink never waited
    return abouts, last


def events_of(made: list[dict[str, Any]]) -> list[Event]:
    return [event_of(each, n) for n, each in enumerate(made)]


@in_virtual_time
async def test_25_api_groups_with_an_object_per_event(tmp_path: Path) -> None:
    objects, made = busy()
    abouts, _ = await deliver(tmp_path, objects, events_of(made), "owner", "namespace")
    assert {about.enriched for about in abouts} == {"ok"}
    assert [about.owner.name for about in abouts] == [each["metadata"]["name"] for each in made]
    assert len(objects.gets("/t-")) == len(made)
    assert sum(re.fullmatch(r"/apis/[^/]+/v1", path) is not None for path in objects.asked) == GROUPS


@pytest.mark.parametrize(
    ("status", "after", "markers"),
    [(0, 5.0, {"late"}), (0, NEVER, {"late", "failed"}), (500, 0.0, {"failed"}), (403, 0.0, {"forbidden"}),
     (404, 0.0, {"gone"}), (500, 5.0, {"late", "failed"}), (429, 0.0, {"failed"})],
)  # fmt: skip
def test_every_event_goes_out_whatever_look_ups_do(
    tmp_path: Path, status: int, after: float, markers: set[str]
) -> None:
    @in_virtual_time
    async def play() -> None:
        objects, made = busy()
        if status:
            objects.wrong.append((ANY, status))
        if after:
            objects.slow.append((ANY, after))
        abouts, last = await deliver(tmp_path, objects, events_of(made), "owner", "namespace", "node")
        assert len(abouts) == len(made)
        assert {about.enriched for about in abouts} <= markers
        assert all("owner" in about.unknown for about in abouts)
        assert last < 6.0  # two time boxes and what is between them

    play()


@in_virtual_time
async def test_one_broken_api_group_harms_no_other(tmp_path: Path) -> None:
    for number, (status, after) in enumerate([(503, 0.0), (0, NEVER)]):
        objects, made = busy(groups=2, each=60)
        made.sort(key=lambda each: each["apiVersion"])  # the broken ones first, and all at once
        broken = re.compile(r"^/apis/g0\.example\.com/v1/namespaces/")
        if status:
            objects.wrong.append((broken, status))
        else:
            objects.slow.append((broken, after))
        abouts, _ = await deliver(tmp_path / str(number), objects, events_of(made), "owner", rate=500.0)
        for about, each in zip(abouts, made, strict=True):
            if each["apiVersion"] == "g0.example.com/v1":
                assert about.enriched in {"late", "failed"}
            else:
                assert about.enriched == "ok"
        assert len([path for path in objects.asked if broken.search(path)]) <= 10  # and it is left alone


@in_virtual_time
async def test_a_late_answer_is_of_use_for_the_next_event() -> None:
    objects, made = busy()
    objects.slow.append((re.compile("/thing0s/"), 5.0))
    async with room(objects, "owner") as look_up:
        began = now()
        (about,) = await look_up(event_of(made[0]))
        assert about.enriched == "late" and now() - began == pytest.approx(2.0)
        await asyncio.sleep(4.0)
        (about,) = await look_up(event_of(made[0], 1))
        assert about.enriched == "ok" and now() - began == pytest.approx(6.0)
        assert len(objects.gets("/t-0")) == 1


@in_virtual_time
async def test_what_was_waited_for_in_vain_is_not_waited_for_again() -> None:
    objects, made = busy()
    objects.slow.append((re.compile("/thing0s/"), 8.0))
    async with room(objects, "owner") as look_up:
        began = now()
        for n in range(10):
            (about,) = await look_up(event_of(made[0], n))
            assert about.enriched == "late" and now() - began == pytest.approx(2.0)


@in_virtual_time
async def test_who_asks_meanwhile_gets_the_same_answer() -> None:
    objects, made = busy()
    objects.slow.append((re.compile("/thing0s/"), 1.0))
    async with room(objects, "owner") as look_up:
        answers = await asyncio.gather(*(look_up(event_of(made[0], n)) for n in range(50)))
        assert {about.enriched for (about,) in answers} == {"ok"}
        assert len(objects.gets("/t-0")) == 1


@in_virtual_time
async def test_a_right_that_is_missing_costs_one_request_a_minute() -> None:
    objects, made = busy(groups=1, each=500)
    objects.wrong.append((re.compile("/t-"), 403))
    async with room(objects, "owner") as look_up:
        for n, each in enumerate(made):
            (about,) = await look_up(event_of(each, n))
            assert about.enriched == "forbidden"
            await asyncio.sleep(0.1)
        assert len(objects.gets("/t-")) == 1
        (right,) = look_up.enrichment.forbidden()["prod"]
        assert right == "get on thing0s.g0.example.com"
        objects.wrong.clear()
        await asyncio.sleep(61)
        (about,) = await look_up(event_of(made[0]))
        assert about.enriched == "ok"
        assert look_up.enrichment.forbidden() == {}


@pytest.mark.parametrize(("part", "right"), [("/pods/web-1-x$", "get on pods"), ("/log$", "get on pods/log")])
@in_virtual_time
async def test_a_right_is_missed_until_an_answer_shows_that_it_is_there(part: str, right: str) -> None:
    """Also one that says that the object is gone: who may not read is not told that."""
    objects = Objects()
    pod = objects.add("Pod", "web-1-x")
    objects.wrong.append((re.compile(part), 403))
    async with room(objects, "pod", "logs") as look_up:
        (about,) = await look_up(event_of(pod, reason="BackOff"))
        assert about.enriched == "forbidden"
        assert look_up.enrichment.forbidden() == {"prod": [right]}
        objects.wrong.clear()
        objects.remove(pod)
        await asyncio.sleep(61)
        (about,) = await look_up(event_of(pod, reason="BackOff"))
        assert about.enriched == "gone"
        assert look_up.enrichment.forbidden() == {}


@in_virtual_time
async def test_a_missing_right_to_list_is_told_until_it_is_given() -> None:
    objects = Objects()
    objects.wrong.append((re.compile("/namespaces"), 403))
    async with room(objects, "namespace") as look_up:
        await asyncio.sleep(1)
        assert look_up.enrichment.forbidden() == {"prod": ["list and watch on namespaces"]}
        objects.wrong.clear()
        await asyncio.sleep(120)
        assert look_up.enrichment.forbidden() == {}


@in_virtual_time
async def test_an_owner_that_may_not_be_read_is_named_all_the_same() -> None:
    objects = Objects()
    deployment = objects.add("Deployment", "web", api="apps/v1")
    replicas = objects.add("ReplicaSet", "web-1", api="apps/v1", owner=deployment)
    pod = objects.add("Pod", "web-1-x", owner=replicas)
    objects.wrong.append((re.compile("/deployments/"), 403))
    async with room(objects, "owner") as look_up:
        (about,) = await look_up(event_of(pod))
    assert (about.enriched, about.owner.kind, about.unknown) == ("forbidden", "Deployment", [])


@in_virtual_time
async def test_a_server_that_fails_is_left_alone_and_asked_again() -> None:
    objects, made = busy(groups=1, each=600)
    objects.wrong.append((ANY, 500))
    async with room(objects, "owner") as look_up:
        for n, each in enumerate(made[:500]):
            await look_up(event_of(each, n))
            await asyncio.sleep(0.02)
        assert len(objects.asked) < 40  # of 500 events in ten seconds
        objects.wrong.clear()
        await asyncio.sleep(120)
        (about,) = await look_up(event_of(made[-1]))
        assert about.enriched == "ok"


@in_virtual_time
async def test_a_cluster_that_is_not_reached_yet_is_waited_for_once() -> None:
    objects, made = busy()
    async with room(objects, "owner", cluster="other") as look_up:
        began = now()
        (about,) = await look_up(event_of(made[0]))
        assert about.enriched == "failed" and about.unknown == ["owner"]
        assert now() - began == pytest.approx(2.0)
        (about,) = await look_up(event_of(made[0]))
        assert now() - began == pytest.approx(2.0)


@in_virtual_time
async def test_a_cluster_that_is_given_up_meanwhile_ends_nothing_else(tmp_path: Path) -> None:
    """A reload takes a source away while something is looked up in it: the sink goes on."""
    objects, made = busy()
    objects.slow.append((ANY, 1.0))
    sink = MemorySink()
    async with opened(tmp_path) as journal:
        async with room(objects, "owner", "namespace") as look_up:
            runner = Runner("out", sink, config(), journal, LoopClock(), max_age=3600.0, enrich=look_up.enricher)
            task = asyncio.create_task(runner.run())
            await append(journal, [event_of(made[0])])
            while not any("thing0s" in path or "g0." in path for path in objects.asked):
                await asyncio.sleep(0.05)
        await settled(journal, 1, "out")
        asked = len(objects.asked)
        await append(journal, [event_of(made[1], 1)])
        await settled(journal, 2, "out")
        runner.stop()
        await task
    assert len(sink.arrived) == 2 and len(objects.asked) == asked
    balanced(tmp_path)


@in_virtual_time
async def test_a_cluster_without_nodes_is_watched_all_the_same() -> None:
    objects = Objects()
    async with room(objects, "node"):
        await asyncio.sleep(0.5)
        assert objects.asked == ["/api/v1/nodes", "/api/v1/nodes?watch"]


@in_virtual_time
async def test_the_cache_is_bounded() -> None:
    objects, made = busy(groups=1, each=1000)
    async with room(objects, "owner", objects=100) as look_up:
        await look_up(*events_of(made))
        cluster = look_up.enrichment.cluster("prod")
        assert cluster is not None and len(cluster._objects.cache) == 100
        look_up.enrichment.use(Lookups(objects=200), [], {"out": frozenset({"owner"})})  # a reload
        await look_up(*events_of(made))
        assert len(cluster._objects.cache) == 200


@in_virtual_time
async def test_rules_on_what_is_looked_up(tmp_path: Path) -> None:
    """What a rule refuses is unmatched; what could not be found out is sent rather than left out."""
    objects = Objects()
    objects.add("Namespace", "shop", labels={"team": "shop"})
    wanted, other, slow = (objects.add("Deployment", name, api="apps/v1") for name in ("web", "api", "slow"))
    objects.slow.append((re.compile("/slow"), NEVER))
    sink = MemorySink()
    rule = Rule.parse({"owner": "Deployment/web", "namespace.labels": {"team": "shop"}, "type": "Warning"})
    async with room(objects, "owner", "namespace") as look_up, opened(tmp_path) as journal:
        options = SinkConfig(kind="memory", match=[rule], enrich=["owner", "namespace"])
        runner = Runner("out", sink, options, journal, LoopClock(), max_age=60.0, enrich=look_up.enricher)
        task = asyncio.create_task(runner.run())
        await asyncio.sleep(0.1)
        events = [event_of(each, n) for n, each in enumerate([wanted, other, slow])]
        await append(journal, [*events, event_of(wanted, 3, type="Normal")])
        await settled(journal, 4, "out")
        runner.stop()
        await task
    assert sink.arrived == ["web", "slow"]
    assert read_books(tmp_path).readers["out"].outcomes == {Outcome.DELIVERED: 2, Outcome.UNMATCHED: 2}
    balanced(tmp_path)
