"""The annotation `eventer.io/mute`: whose is heard, and when."""

from __future__ import annotations

import asyncio
import re

from eventer.about import MUTE
from tests.helpers.lookups import event_of, room
from tests.helpers.objects import Objects
from tests.helpers.virtual import in_virtual_time

UNTIL = "2027-01-01T06:00:00+01:00"


def muted(text: str = UNTIL) -> dict[str, str]:
    return {MUTE: text, "other": "x"}


@in_virtual_time
async def test_of_the_object_its_owners_and_its_namespace() -> None:
    objects = Objects()
    objects.add("Namespace", "shop", annotations=muted("n"))
    objects.add("Node", "n1", annotations=muted("not of its pods"))
    deployment = objects.add("Deployment", "web", api="apps/v1", annotations=muted(f"{UNTIL} works"))
    replicas = objects.add("ReplicaSet", "web-1", api="apps/v1", owner=deployment, annotations=muted("r"))
    pod = objects.add("Pod", "web-1-x", owner=replicas, node="n1", annotations=muted("p"))
    async with room(objects) as look_up:
        (about,) = await look_up(event_of(pod))
        assert sorted(about.mutes) == [
            f"Deployment/web {UNTIL} works",
            "Namespace/shop n",
            "Pod/web-1-x p",
            "ReplicaSet/web-1 r",
        ]
        assert about.pod.annotations == {}  # nobody asked for those
    for want, heard in (("pod", ["Pod/web-1-x p"]), ("namespace", ["Namespace/shop n"]), ("logs", [])):
        async with room(objects, want) as look_up:
            (about,) = await look_up(event_of(pod))
            assert about.mutes == heard


@in_virtual_time
async def test_of_a_node_and_a_namespace_themselves() -> None:
    objects = Objects()
    node = objects.add("Node", "n1", annotations=muted())
    shop = objects.add("Namespace", "shop", annotations=muted("2027"))
    async with room(objects, "node", "namespace") as look_up:
        of_node, of_shop = await look_up(event_of(node), event_of(shop))
        assert (of_node.mutes, of_shop.mutes) == ([f"Node/n1 {UNTIL}"], ["Namespace/shop 2027"])
        await asyncio.sleep(1)
        objects.add("Node", "n1")
        objects.add("Namespace", "shop", annotations=muted("later"))
        late = objects.add("Namespace", "late", annotations=muted("soon"))
        await asyncio.sleep(1)
        of_node, of_shop, of_late = await look_up(event_of(node), event_of(shop), event_of(late))
        assert (of_node.mutes, of_shop.mutes, of_late.mutes) == ([], ["Namespace/shop later"], ["Namespace/late soon"])
        objects.remove(late)
        await asyncio.sleep(1)
        (of_late,) = await look_up(event_of(late))
        assert of_late.mutes == []


@in_virtual_time
async def test_where_a_namespace_may_only_be_got_by_name() -> None:
    objects = Objects()
    objects.refuse_watch = True
    objects.wrong.append((re.compile(r"/api/v1/namespaces$"), 403))
    objects.add("Namespace", "shop", annotations=muted())
    pod = objects.add("Pod", "web-1")
    async with room(objects, "namespace") as look_up:
        (about,) = await look_up(event_of(pod))
        assert about.mutes == [f"Namespace/shop {UNTIL}"]


@in_virtual_time
async def test_a_long_one_is_cut() -> None:
    objects = Objects()
    pod = objects.add("Pod", "web-1", annotations=muted("é" * 100_000))
    async with room(objects, "pod") as look_up:
        (about,) = await look_up(event_of(pod))
        assert len(about.mutes[0].encode()) < 300
