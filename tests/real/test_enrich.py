"""Look-ups against the real API server, with the rights that the chart gives for them and real controllers.

Deployments, Jobs, StatefulSets and their pods are made by the real controller manager, scheduled by the real scheduler
and run by kwok; the log comes from a kubelet that the test plays, as the API server asks for it
(https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/).
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from tests.helpers.daemon import Daemon
from tests.helpers.helm import render
from tests.helpers.kubeapi import Refusal
from tests.helpers.process import free_port, until
from tests.real.conftest import MakeDaemon, MakePlane
from tests.real.controlplane import ControlPlane
from tests.real.rows import source

WANTS = ["pod", "owner", "namespace", "node", "logs"]
DATABASES = [{"apiGroups": ["db.example.com"], "resources": ["databases"]}]


def template(**labels: str) -> dict[str, Any]:
    container = {"name": "web", "image": "web:1"}
    return {"metadata": {"labels": {"app": "web"} | labels}, "spec": {"containers": [container]}}


async def kubelet(directory: Path) -> tuple[web.AppRunner, int]:
    """Play the kubelet's API as far as logs go, with a certificate of its own."""
    key, cert = directory / "kubelet.key", directory / "kubelet.crt"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=kubelet", "-days", "1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)

    async def logs(request: web.Request) -> web.Response:
        lines = "".join(f"line {n} token=secret{n}\n" for n in range(int(request.query["tailLines"])))
        return web.Response(text=lines + "panic: out of memory\n")

    app = web.Application()
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", logs)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    return runner, port


class Site:
    """A cluster with workloads of all sorts, and a daemon with the chart's rights that looks them up."""

    def __init__(self, plane: ControlPlane, daemon: Daemon) -> None:
        self.plane = plane
        self.daemon = daemon
        self.api = plane.api

    def lines(self, name: str = "archive") -> list[dict[str, Any]]:
        path = self.daemon.directory / f"{name}.jsonl"
        read = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in read]

    def of(self, reason: str, prefix: str, name: str = "archive") -> list[dict[str, Any]]:
        """Events with a reason about objects whose names begin so."""
        return [e for e in self.lines(name) if e["reason"] == reason and e["name"].startswith(prefix)]

    async def event(self, number: int, about: dict[str, Any], reason: str = "BackOff", **more: Any) -> None:
        """Write an Event about an object, as a reporter that names no node."""
        namespace = about.get("namespace", "default")
        await self.api.create(
            f"/api/v1/namespaces/{namespace}/events",
            {"metadata": {"name": f"{about['name']}.{reason.lower()}.{number}"}, "involvedObject": about,
             "reason": reason, "message": f"number {number}", "type": "Warning", "count": 1,
             "source": {"component": "test"}, "firstTimestamp": "2026-01-01T00:00:00Z",
             "lastTimestamp": "2026-01-01T00:00:00Z"} | more,
        )  # fmt: skip


@pytest_asyncio.fixture(loop_scope="session")
async def site(planes: MakePlane, daemons: MakeDaemon, tmp_path: Path) -> AsyncIterator[Site]:
    plane = await planes(controllers=True, kwok=True, users=("reader",))
    values = {
        "rbac": {"owners": DATABASES},
        "config": {
            "sources": [{"cluster": plane.name, "kubernetes": {"nodes": False}}],
            "sinks": {"out": {"kind": "stdout", "enrich": WANTS}},
        },
    }
    (role,) = [item for item in render(values) if item["kind"] == "ClusterRole"]
    # The uid of kube-system tells clusters apart; the chart grants it where the source has no name.
    await plane.grant("reader", [*role["rules"], {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}])
    runner, port = await kubelet(tmp_path)
    zone = {"topology.kubernetes.io/zone": "zone-a", "cloud.google.com/gke-nodepool": "general"}
    node = {"metadata": {"name": "node-1", "labels": zone, "annotations": {"kwok.x-k8s.io/node": "fake"}}}
    await plane.api.create("/api/v1/nodes", node)
    await plane.api.create("/api/v1/namespaces", {"metadata": {"name": "shop", "labels": {"team": "shop"}}})
    # The API server itself may have written of its Service, whose addresses it repairs; that is not to be looked up.
    selector = "involvedObject.kind!=Service"
    daemon = daemons(sources=[source(plane, user="reader", nodes=False, field_selector=selector)])
    daemon.config["redact"] = [{"pattern": "/token=[^ ]+/"}]
    daemon.config["lookups"] = {"timeout": "20s"}  # by itself 2 s, within which a busy machine does not always answer
    daemon.config["sinks"] = {
        "archive": daemon.file_sink(enrich=WANTS),
        "plain": daemon.file_sink("plain"),
        "web": daemon.file_sink("web", enrich=["owner", "node"], match=[
            {"owner": "Deployment/web", "node.labels": {"topology.kubernetes.io/zone": "zone-a"}, "reason": "BackOff"}
        ]),
    }  # fmt: skip
    await daemon.start()

    async def ready() -> bool:
        made = await plane.api.request("GET", "/api/v1/nodes/node-1")
        return any(each["type"] == "Ready" for each in made.get("status", {}).get("conditions", []))

    await until(ready, "the node to be ready")
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    await plane.api.merge("/api/v1/nodes/node-1", {"status": status}, subresource="status")
    yield Site(plane, daemon)
    await runner.cleanup()


async def workloads(site: Site) -> None:
    """A Deployment, a Job of a CronJob and a StatefulSet that a resource of ours owns."""
    api = site.api
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template()}
    await api.create("/apis/apps/v1/namespaces/shop/deployments", {"metadata": {"name": "web"}, "spec": spec})
    job = {"template": template(app="backup") | {}, "backoffLimit": 1}
    job["template"]["spec"] = job["template"]["spec"] | {"restartPolicy": "Never"}
    cron = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job}}
    made = await api.create("/apis/batch/v1/namespaces/shop/cronjobs", {"metadata": {"name": "backup"}, "spec": cron})
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "backup", "uid": made["metadata"]["uid"]}
    meta = {"name": "backup-1", "ownerReferences": [owner | {"controller": True}]}
    await api.create("/apis/batch/v1/namespaces/shop/jobs", {"metadata": meta, "spec": job})
    names = {"plural": "databases", "singular": "database", "kind": "Database"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    definition = {"group": "db.example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    await api.create(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        {"metadata": {"name": "databases.db.example.com"}, "spec": definition},
    )
    base = "/apis/db.example.com/v1/namespaces/shop/databases"
    database: dict[str, Any] = {"apiVersion": "db.example.com/v1", "kind": "Database", "metadata": {"name": "main"}}

    async def created() -> bool:
        try:
            database.update(await api.create(base, database))
        except Refusal as refusal:
            if refusal.status != 404:
                raise
            return False
        return True

    await until(created, "the resource to be served")
    owner = {"apiVersion": "db.example.com/v1", "kind": "Database", "name": "main"}
    owner |= {"uid": database["metadata"]["uid"], "controller": True}
    meta = {"name": "main", "ownerReferences": [owner]}
    spec = {"replicas": 1, "serviceName": "main", "selector": {"matchLabels": {"app": "main"}}}
    spec["template"] = template(app="main", generation="one")
    await api.create("/apis/apps/v1/namespaces/shop/statefulsets", {"metadata": meta, "spec": spec})


async def test_everything_of_real_workloads(site: Site) -> None:
    api = site.api
    await workloads(site)

    async def scheduled() -> bool:
        return [len(site.of("Scheduled", prefix)) for prefix in ("web-", "backup-1-", "main-0")] == [2, 1, 1]

    await until(scheduled, "pods of all sorts to be scheduled")
    # What `Scheduled` itself is looked up by can be from a moment before.
    for prefix in ("web-", "backup-1-", "main-0"):
        for number, event in enumerate(site.of("Scheduled", prefix)):
            pod = {"apiVersion": "v1", "kind": "Pod"} | {key: event[key] for key in ("namespace", "name", "uid")}
            await site.event(number, pod, "Seen")
    owners = {"web-": "Deployment/web", "backup-1-": "CronJob/backup", "main-0": "Database/main"}

    async def seen() -> bool:
        return all(len(site.of("Seen", prefix)) == len(site.of("Scheduled", prefix)) for prefix in owners)

    await until(seen, "events about all of them")
    for prefix, owner in owners.items():
        for event in site.of("Seen", prefix):
            about = event["about"]
            assert about["enriched"] == "ok", about
            assert f"{about['owner']['kind']}/{about['owner']['name']}" == owner
            assert about["namespace"]["labels"]["team"] == "shop"
            assert about["pod"]["node"] == "node-1"
            assert (about["node"]["zone"], about["node"]["pool"]) == ("zone-a", "general")
    await _made_anew(site)
    await _broken_group(site)
    pods = await api.items("/api/v1/namespaces/shop/pods?labelSelector=app%3Dweb")
    await _one_deployment(site, pods)
    await _log(site, pods[0])
    assert await site.daemon.term() == 0
    books = site.daemon.journal()
    for name in ("archive", "plain"):
        outcomes = {outcome: n for outcome, n in books.readers[name].items() if n}
        assert outcomes["delivered"] == books.head, outcomes
    assert [line["id"] for line in site.lines()] == [line["id"] for line in site.lines("plain")]
    assert not any("about" in line for line in site.lines("plain"))


async def _made_anew(site: Site) -> None:
    """The pod of a StatefulSet keeps its name; its labels are those of the pod that the event is about, or none."""
    patch = {"spec": {"template": template(app="main", generation="two")}}
    old = site.of("Scheduled", "main-0")[0]["uid"]
    await site.api.merge("/apis/apps/v1/namespaces/shop/statefulsets/main", patch)

    async def again() -> bool:
        return len({event["uid"] for event in site.of("Scheduled", "main-0")}) == 2

    await until(again, "the pod to be made anew")
    for event in [e for e in site.lines() if e["kind"] == "Pod" and e["name"] == "main-0"]:
        labels = event["about"].get("pod", {}).get("labels", {})
        assert labels.get("generation") in ({"one", None} if event["uid"] == old else {"two", None})
    assert any(
        event["about"]["pod"]["labels"]["generation"] == "two" for event in site.of("Scheduled", "main-0")
        if event["uid"] != old
    )  # fmt: skip


async def _broken_group(site: Site) -> None:
    """An aggregated API without an endpoint, and a kind that may not be read: what is about them goes out, marked."""
    spec = {"group": "broken.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100}
    spec |= {"insecureSkipTLSVerify": True, "service": {"name": "nobody", "namespace": "shop"}}
    meta = {"name": "v1.broken.example.com"}
    await site.api.create("/apis/apiregistration.k8s.io/v1/apiservices", {"metadata": meta, "spec": spec})
    (pod, *_) = await site.api.items("/api/v1/namespaces/shop/pods?labelSelector=app%3Dmain")
    sound = {"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "main-0", "uid": pod["metadata"]["uid"]}
    for number in range(30):
        thing = {"apiVersion": "broken.example.com/v1", "kind": "Thing", "namespace": "shop", "name": f"thing-{number}"}
        secret = {"apiVersion": "v1", "kind": "Secret", "namespace": "shop", "name": f"secret-{number}"}
        await site.event(number, thing | {"uid": f"uid-{number}"}, "Broken")
        await site.event(number, secret | {"uid": f"uid-{number}"}, "Hidden")
        await site.event(number, sound, "Sound")

    async def all_out() -> bool:
        return all(len(site.of(reason, "")) == 30 for reason in ("Broken", "Hidden", "Sound"))

    await until(all_out, "all of them")
    assert {e["about"]["enriched"] for e in site.of("Broken", "")} <= {"failed", "late"}
    assert {e["about"]["enriched"] for e in site.of("Hidden", "")} == {"forbidden"}
    assert {e["about"]["enriched"] for e in site.of("Sound", "")} == {"ok"}
    told = [line for line in site.daemon.log() if line["event"] == "look-up forbidden"]
    assert [line["resource"] for line in told] == ["secrets"]


async def _one_deployment(site: Site, pods: list[dict[str, Any]]) -> None:
    """1,000 events of one Deployment cost five requests at most, and all arrive."""
    before = await site.daemon.metric("eventer_lookups_total", result="ok")
    about = [
        {"apiVersion": "v1", "kind": "Pod", "namespace": "shop"} | {k: pod["metadata"][k] for k in ("name", "uid")}
        for pod in pods
    ]
    for start in range(0, 1000, 50):
        await asyncio.gather(*(site.event(n, about[n % len(about)], "Unloved") for n in range(start, start + 50)))

    async def all_out() -> bool:
        return len(site.of("Unloved", "web-")) == 1000

    await until(all_out, "1,000 events")
    assert {event["about"]["owner"]["name"] for event in site.of("Unloved", "web-")} == {"web"}
    assert await site.daemon.metric("eventer_lookups_total", result="ok") - before <= 5


async def _log(site: Site, pod: dict[str, Any]) -> None:
    """The last lines of the container, redacted; and the sink that matches on owner and node gets the event."""
    about = {"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "fieldPath": "spec.containers{web}"}
    about |= {key: pod["metadata"][key] for key in ("name", "uid")}
    await site.event(1, about, "BackOff")
    other = {"apiVersion": "v1", "kind": "Namespace", "namespace": "shop", "name": "shop"}
    await site.event(2, other, "BackOff")

    async def out() -> bool:
        return bool(site.of("BackOff", "web-") and site.of("BackOff", "shop") and site.of("BackOff", "web-", "web"))

    await until(out, "the event with its log")
    (event,) = site.of("BackOff", "web-")
    assert event["about"]["enriched"] == "ok", event["about"]
    assert event["about"]["log"].endswith("panic: out of memory")
    assert "<redacted>" in event["about"]["log"] and "secret" not in event["about"]["log"]
    assert [e["name"] for e in site.lines("web")] == [pod["metadata"]["name"]]


@pytest.mark.parametrize("want", ["pod", "namespace", "node", "logs"])
def test_a_look_up_adds_the_rights_of_its_kind_alone(want: str) -> None:
    values = {"config": {"sources": [{"cluster": "a"}], "sinks": {"out": {"kind": "stdout", "enrich": [want]}}}}
    (role,) = [item for item in render(values) if item["kind"] == "ClusterRole"]
    resources = {each for rule in role["rules"] if "get" in rule["verbs"] for each in rule["resources"]}
    pods = {"pods"} if want != "namespace" else set()
    assert resources == pods | {"namespace": {"namespaces"}, "node": {"nodes"}, "logs": {"pods/log"}}.get(want, set())
