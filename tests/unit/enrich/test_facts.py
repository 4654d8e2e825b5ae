"""What is found out about an event: whose pod, on which node, of which team; and never what belongs to another."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from eventer.redaction import Pattern, RedactRule
from tests.helpers.lookups import event_of, room
from tests.helpers.objects import Objects
from tests.helpers.virtual import in_virtual_time


def shop() -> tuple[Objects, dict[str, Any]]:
    """A pod of a Deployment, its namespace and its node."""
    objects = Objects()
    objects.add("Namespace", "shop", labels={"team": "shop"})
    zone = {"topology.kubernetes.io/zone": "a", "cloud.google.com/gke-nodepool": "general"}
    objects.add("Node", "n1", labels=zone)
    deployment = objects.add("Deployment", "web", api="apps/v1")
    replicas = objects.add("ReplicaSet", "web-1", api="apps/v1", owner=deployment)
    chosen = {"team.example.com/owner": "ann", "other": "x"}
    return objects, objects.add("Pod", "web-1-x", owner=replicas, node="n1", labels={"app": "web"}, annotations=chosen)


@in_virtual_time
async def test_all_of_a_pod() -> None:
    objects, pod = shop()
    async with room(objects, annotations=["team.example.com/owner"]) as look_up:
        (about,) = await look_up(event_of(pod))
    assert about.enriched == "ok" and about.unknown == []
    assert (about.pod.node, about.pod.phase, about.pod.labels) == ("n1", "Running", {"app": "web"})
    assert about.pod.annotations == {"team.example.com/owner": "ann"}
    assert (about.owner.kind, about.owner.name, about.owner.api_version) == ("Deployment", "web", "apps/v1")
    assert about.owner.chain == ["ReplicaSet/web-1", "Deployment/web"]
    assert about.namespace.labels == {"team": "shop"}
    assert (about.node.name, about.node.zone, about.node.pool) == ("n1", "a", "general")


@in_virtual_time
async def test_nothing_is_asked_that_nobody_wants() -> None:
    objects, pod = shop()
    async with room(objects, "owner") as look_up:
        (about,) = await look_up(event_of(pod))
        assert about.owner.name == "web" and about.pod.labels == {} and about.namespace.labels == {}
        assert all(accept.startswith("application/json;as=PartialObjectMetadata") for accept in objects.accepted)
        assert "/api/v1/namespaces" not in objects.asked and "/api/v1/nodes" not in objects.asked


@in_virtual_time
async def test_a_thousand_events_of_one_deployment_cost_five_requests_at_most() -> None:
    objects, pod = shop()
    other = objects.add(
        "Pod", "web-1-y", owner=objects.all["/apis/apps/v1/namespaces/shop/replicasets/web-1"], node="n1"
    )
    async with room(objects, "pod", "owner", "namespace", "node") as look_up:
        for start in range(0, 1000, 100):
            abouts = await look_up(*(event_of(pod if n % 2 else other, n) for n in range(start, start + 100)))
            assert {about.owner.name for about in abouts} == {"web"}
            await asyncio.sleep(0.2)
        assert len(objects.gets()) <= 5


@in_virtual_time
async def test_a_pod_made_anew_never_gets_what_belongs_to_the_old_one() -> None:
    objects, old = shop()
    async with room(objects) as look_up:
        (before,) = await look_up(event_of(old))
        objects.remove(old)
        new = objects.add("Pod", "web-1-x", labels={"app": "other"}, node="n2")
        of_old, of_new = await look_up(event_of(old), event_of(new))
        assert before.pod.labels == of_old.pod.labels == {"app": "web"}
        assert of_new.pod.labels == {"app": "other"} and of_new.owner.kind == "Pod"
        await asyncio.sleep(3600)
        of_old, of_new = await look_up(event_of(old), event_of(new))
        assert of_old.enriched == "gone" and of_old.pod.labels == {"app": "web"}  # known from before
        assert of_new.pod.labels == {"app": "other"}


@in_virtual_time
async def test_an_old_event_of_a_pod_that_was_made_anew_gets_nothing() -> None:
    objects, old = shop()
    objects.remove(old)
    objects.add("Pod", "web-1-x", labels={"app": "other"}, node="n2")
    async with room(objects) as look_up:
        (about,) = await look_up(event_of(old))
    assert about.enriched == "gone" and about.pod.labels == {} and about.owner.kind == ""
    assert set(about.unknown) == {"pod", "owner", "node"}
    assert about.namespace.labels == {"team": "shop"}  # of that nothing is in doubt


@in_virtual_time
async def test_events_without_a_uid_get_nothing_of_another_object() -> None:
    objects, pod = shop()
    second = objects.add("Pod", "api-1", labels={"app": "api"})
    async with room(objects) as look_up:
        abouts = await look_up(*(event_of(each, n, uid="") for n, each in enumerate([pod, second] * 10)))
        assert {about.enriched for about in abouts} == {"unknown"}
        assert all(not about.pod.labels and not about.owner.kind for about in abouts)
        assert all(about.namespace.labels == {"team": "shop"} for about in abouts)
        assert objects.gets("/pods/") == []


@in_virtual_time
async def test_a_static_pod_is_known_by_its_hash() -> None:
    objects = Objects()
    node = objects.add("Node", "n1")
    mirror = objects.add("Pod", "etcd-n1", annotations={"kubernetes.io/config.mirror": "0a1b2c"}, owner=node)
    async with room(objects, "pod", "owner") as look_up:
        (about,) = await look_up(event_of(mirror, uid="0a1b2c"))
    assert about.enriched == "ok" and (about.owner.kind, about.owner.name) == ("Node", "n1")


@in_virtual_time
async def test_owners_to_the_top() -> None:
    objects = Objects()
    cron = objects.add("CronJob", "backup", api="batch/v1")
    job = objects.add("Job", "backup-1", api="batch/v1", owner=cron)
    of_job = objects.add("Pod", "backup-1-x", owner=job)
    database = objects.add("Database", "main", api="db.example.com/v1")
    stateful = objects.add("StatefulSet", "main", api="apps/v1", owner=database)
    of_crd = objects.add("Pod", "main-0", owner=stateful)
    async with room(objects, "owner") as look_up:
        abouts = await look_up(*map(event_of, [of_job, of_crd, cron, database]))
    assert [f"{about.owner.kind}/{about.owner.name}" for about in abouts] == [
        "CronJob/backup", "Database/main", "CronJob/backup", "Database/main",
    ]  # fmt: skip
    assert {about.enriched for about in abouts} == {"ok"}


@in_virtual_time
async def test_a_circle_of_owners_has_an_end() -> None:
    objects = Objects()
    first = objects.add("Ring", "a", api="x.example.com/v1")
    second = objects.add("Ring", "b", api="x.example.com/v1", owner=first)
    reference = {"apiVersion": "x.example.com/v1", "kind": "Ring", "name": "b", "uid": second["metadata"]["uid"]}
    first["metadata"]["ownerReferences"] = [reference | {"controller": True}]
    async with room(objects, "owner") as look_up:
        (about,) = await look_up(event_of(first))
    assert about.enriched == "ok" and about.owner.kind == "Ring"


@in_virtual_time
async def test_labels_follow_their_namespaces_and_nodes_without_requests() -> None:
    objects, pod = shop()
    async with room(objects, "namespace", "node") as look_up:
        await look_up(event_of(pod))
        asked = len(objects.asked)
        for team in ("one", "two"):
            objects.add("Namespace", "shop", labels={"team": team})
            await asyncio.sleep(0)
            (about,) = await look_up(event_of(pod))
            assert about.namespace.labels == {"team": team}
        objects.add("Namespace", "fresh", labels={"team": "new"})
        fresh = objects.add("Pod", "p", "fresh")
        await asyncio.sleep(0)
        (about,) = await look_up(event_of(fresh, component="kubelet", node="n1"))
        assert about.namespace.labels == {"team": "new"} and about.node.zone == "a"
        assert [path for path in objects.asked[asked:] if "pods" not in path] == []


@in_virtual_time
async def test_what_no_sink_wants_any_more_is_not_watched() -> None:
    objects, pod = shop()
    async with room(objects, "namespace", "node") as look_up:
        await look_up(event_of(pod))
        enrichment = look_up.enrichment
        enrichment.use(enrichment.settings, [], {"out": frozenset({"owner"})})
        await asyncio.sleep(1)
        objects.add("Namespace", "shop", labels={"team": "later"})
        enrichment.use(enrichment.settings, [], {"out": frozenset({"namespace"})})
        (about,) = await look_up(event_of(pod))
        assert about.namespace.labels == {"team": "later"}
        assert objects.asked.count("/api/v1/namespaces") == 2 and objects.asked.count("/api/v1/nodes") == 1


@in_virtual_time
async def test_labels_survive_a_watch_that_breaks() -> None:
    """Garbage, a history that is compacted, an error: listed anew, and used as they were meanwhile."""
    objects, pod = shop()
    compacted = b'{"type":"ERROR","object":{"kind":"Status","code":410}}\n'
    async with room(objects, "namespace") as look_up:
        await look_up(event_of(pod))
        for number, line in enumerate([b"no json\n", compacted, compacted.replace(b"410", b"500")]):
            objects.all["/api/v1/namespaces/shop"]["metadata"]["labels"] = {"team": f"t{number}"}
            objects.changes.append(("Namespace", line))
            objects.changed.set()
            objects.changed = asyncio.Event()
            await asyncio.sleep(0)
            (about,) = await look_up(event_of(pod))
            assert about.enriched == "ok" and about.namespace.labels["team"] in {"shop", f"t{number - 1}"}
            await asyncio.sleep(61)
            (about,) = await look_up(event_of(pod))
            assert about.namespace.labels == {"team": f"t{number}"}


@in_virtual_time
async def test_without_the_right_to_watch_single_namespaces_are_read() -> None:
    objects, pod = shop()
    objects.refuse_watch = True
    objects.wrong.append((re.compile(r"/(namespaces|nodes)$"), 403))
    async with room(objects, "namespace", "node") as look_up:
        (about,) = await look_up(event_of(pod))
    assert about.enriched == "ok" and about.namespace.labels == {"team": "shop"} and about.node.zone == "a"


@in_virtual_time
async def test_names_that_are_no_names_reach_no_path() -> None:
    objects, pod = shop()
    async with room(objects) as look_up:
        names = ("../../secrets/x", "..", "a%2fb", "a b", "", "x" * 400)
        abouts = await look_up(*(event_of(pod, n, name=name, node=name) for n, name in enumerate(names)))
        odd = [event_of(pod, 9, api_version=version) for version in ("../v1", "v1/x", "a b/v1", "/v1")]
        abouts += await look_up(*odd)
        assert {about.enriched for about in abouts} == {"unknown"}
        assert not [path for path in objects.asked if "/pods/" in path or "secrets" in path]


@in_virtual_time
async def test_own_records_are_about_no_object() -> None:
    objects, pod = shop()
    async with room(objects, "owner", "pod") as look_up:
        (about,) = await look_up(event_of(pod, origin="eventer", kind="Eventer", cluster=""))
        assert about.enriched == "ok" and objects.asked == []


@in_virtual_time
async def test_the_last_lines_of_a_log_are_cut_and_redacted() -> None:
    objects, pod = shop()
    path = objects.path(pod) + "/log"
    objects.logs[path] = b"".join(b"line %d token=secret%d\n" % (n, n) for n in range(400))
    redact = [RedactRule(pattern=Pattern.parse("/token=[^ ]+/"))]
    async with room(objects, "logs", redact=redact) as look_up:
        reported = {"reason": "BackOff", "field_path": "spec.containers{web}"}
        chosen, other = await look_up(event_of(pod, **reported), event_of(pod, 1, reason="Pulled"))
        assert chosen.log.endswith("line 399 <redacted>") and "secret" not in chosen.log
        assert len(chosen.log.encode()) <= 2048
        assert other.log == ""
        await look_up(*(event_of(pod, n, **reported) for n in range(100)))
        assert objects.asked.count(path) == 1


@in_virtual_time
async def test_a_long_line_of_a_log_loses_its_head() -> None:
    objects, pod = shop()
    objects.logs[objects.path(pod) + "/log"] = b"token=" + b"s" * 5000 + b" tail of it"
    redact = [RedactRule(pattern=Pattern.parse("/token=[^ ]+/"))]
    async with room(objects, "logs", redact=redact) as look_up:
        (about,) = await look_up(event_of(pod, reason="BackOff"))
    assert about.log == "tail of it"


@pytest.mark.parametrize("line", [b"x" * 900, b"x y " * 40_000])
@in_virtual_time
async def test_of_a_long_log_the_end_is_kept(line: bytes) -> None:
    objects, pod = shop()
    objects.logs[objects.path(pod) + "/log"] = (line + b"\n") * 100 + b"panic: the last words\n"
    async with room(objects, "logs") as look_up:
        (about,) = await look_up(event_of(pod, reason="BackOff"))
    assert about.log.endswith("panic: the last words") and about.enriched == "ok"
    assert len(about.log.encode()) <= 2048


@pytest.mark.parametrize("end", [b"", b"\n"])
@in_virtual_time
async def test_of_a_log_that_is_one_line_the_end_is_kept(end: bytes) -> None:
    objects, pod = shop()
    objects.logs[objects.path(pod) + "/log"] = b"word " * 40_000 + b"last" + end
    async with room(objects, "logs") as look_up:
        (about,) = await look_up(event_of(pod, reason="BackOff"))
    assert about.log.endswith("word last") and len(about.log.encode()) <= 2048


@in_virtual_time
async def test_the_log_of_a_pod_made_anew_is_not_the_old_one_s() -> None:
    objects, old = shop()
    objects.remove(old)
    new = objects.add("Pod", "web-1-x")
    objects.logs[objects.path(new) + "/log"] = b"of the new one\n"
    async with room(objects, "logs") as look_up:
        (about,) = await look_up(event_of(old, reason="BackOff"))
    assert about.log == "" and about.enriched == "gone" and about.unknown == ["logs"]
