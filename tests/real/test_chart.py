"""The chart on a real control plane: installed by Helm, and the daemon under the account that it made.

There is no kubelet here. So the daemon is a process that has what the pod would have: a token of the
chart's account and the file of its ConfigMap. Only the places of the volumes in that file are changed
to directories of the test, as mounts would do.
"""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.helpers.daemon import Daemon
from tests.helpers.helm import CHART, helm, render
from tests.helpers.kubeapi import Refusal
from tests.helpers.process import until
from tests.helpers.writer import Writer
from tests.real.conftest import MakeDaemon
from tests.real.controlplane import ControlPlane
from tests.real.rows import end_well, settled, truth_of, write

RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}
IMPATIENT = {"eventer.source.settings:StreamSettings.patience": 2.0}
"""Seconds between tries where a person must help, in place of 60."""
RBAC = "/apis/rbac.authorization.k8s.io/v1"
WITHOUT_OPERATOR = {"serviceMonitor": {"enabled": False}, "prometheusRule": {"enabled": False}}
ARCHIVE = {
    "extraVolumes": [{"name": "archive", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "archive", "mountPath": "/data"}],
}


class Release:
    """The chart, installed in a namespace of its own that takes only what Pod Security calls restricted."""

    def __init__(self, plane: ControlPlane, name: str, chart: Path) -> None:
        self.plane = plane
        self._chart = chart
        self.name = name
        self._admin = plane.kubeconfig()

    async def install(self, values: Mapping[str, Any]) -> str:
        """Install or upgrade, and return what Helm says."""
        await self.plane.namespace(self.name)
        await self.plane.api.merge(f"/api/v1/namespaces/{self.name}", {"metadata": {"labels": RESTRICTED}})
        flags = ("-n", self.name, "--kubeconfig", self._admin, "-f", "-")
        return helm("upgrade", "--install", "ev", self._chart, *flags, stdin=yaml.safe_dump(dict(values)))

    def uninstall(self) -> None:
        """Take it away."""
        helm("uninstall", "ev", "-n", self.name, "--kubeconfig", self._admin, "--ignore-not-found")

    async def get(self, kind: str, *, group: str = "", name: str = "ev-eventer") -> dict[str, Any]:
        """Return one of its objects, as the API server holds it."""
        base = f"/apis/{group}" if group else "/api/v1"
        return await self.plane.api.request("GET", f"{base}/namespaces/{self.name}/{kind}/{name}")

    async def equip(self, daemon: Daemon, kubeconfig: Path) -> None:
        """Give a daemon what the pod would have."""
        account = f"/api/v1/namespaces/{self.name}/serviceaccounts/ev-eventer/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = (await self.plane.api.create(account, body))["status"]["token"]
        self.plane.kubeconfig(path=kubeconfig)
        kubeconfig.write_text(kubeconfig.read_text().replace("token-admin", token))
        text = (await self.get("configmaps"))["data"]["eventer.yaml"]
        assert f":{daemon.port}" in text
        daemon.text = text.replace("/var/lib/eventer", str(daemon.state)).replace("/data", str(daemon.directory))

    async def roles(self) -> dict[str, dict[str, Any]]:
        """Return every role of the release, by the path under which the API server has it."""
        found = {}
        for kind in ("clusterroles", "roles"):
            for item in await self.plane.api.items(f"{RBAC}/{kind}"):
                if item["metadata"]["name"] == f"{self.name}:ev-eventer":
                    namespace = item["metadata"].get("namespace")
                    base = f"{RBAC}/namespaces/{namespace}" if namespace else RBAC
                    found[f"{base}/{kind}/{item['metadata']['name']}"] = item
        return found


@pytest_asyncio.fixture(loop_scope="session")
async def releases(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Callable[[str], Release]]:
    made: list[Release] = []
    # The API server is built without its version, so Helm cannot compare it to the one that the chart asks for.
    chart = shutil.copytree(CHART, tmp_path / "chart")
    about = chart / "Chart.yaml"
    about.write_text(re.sub(r"(?m)^kubeVersion:.*$", "", about.read_text()))

    def make(name: str) -> Release:
        made.append(Release(plane, name, chart))
        return made[-1]

    yield make
    for release in made:
        release.uninstall()


def make_daemon(daemons: MakeDaemon, tmp_path: Path) -> tuple[Daemon, Path]:
    kubeconfig = tmp_path / "account.kubeconfig"
    return daemons(sources=[], env={"KUBECONFIG": str(kubeconfig)}, scaled=IMPATIENT), kubeconfig


def values_for(daemon: Daemon, *sources: Mapping[str, Any]) -> dict[str, Any]:
    config = {
        "sinks": {"archive": {"kind": "file", "path": "/data/archive.jsonl"}},
        "server": {"listen": f":{daemon.port}"},
    }
    return {"config": config | ({"sources": list(sources)} if sources else {}), **ARCHIVE}


WHOLE: tuple[dict[str, Any], ...] = ()
"""What the chart reads without any value."""
SINGLE = ({"cluster": "north", "kubernetes": {"namespaces": ["first", "second"], "api": "events"}},)
"""With rights in two namespaces only."""
LABELLED = (
    {"cluster": "north", "kubernetes": {"namespace_selector": "kubernetes.io/metadata.name in (first,second)"}},
)
"""With the right to see which namespaces there are."""


@pytest.mark.parametrize("sources", [WHOLE, SINGLE, LABELLED], ids=["cluster", "namespaces", "labels"])
async def test_events_flow_with_the_rights_of_the_chart(
    plane: ControlPlane,
    releases: Callable[[str], Release],
    daemons: MakeDaemon,
    tmp_path: Path,
    sources: tuple[dict[str, Any], ...],
) -> None:
    """Live, and across a restart while things happen."""
    for name in ("first", "second", "third"):
        await plane.namespace(name)
    release = releases(f"flow-{'labels' if sources == LABELLED else 'single' if sources else 'whole'}")
    daemon, kubeconfig = make_daemon(daemons, tmp_path)
    notes = await release.install(values_for(daemon, *sources))
    assert "Eventer 0.1.0 is installed as ev-eventer" in notes
    await release.equip(daemon, kubeconfig)
    await daemon.start()
    names = ("first", "second") if sources else ("first", "second", "third")
    writer = Writer(plane.api, seed=4 if sources == LABELLED else len(names), namespaces=names)
    await write(writer, 30)
    assert (await settled(writer.truth, daemon.sights)).faults() == []
    assert await daemon.term() == 0
    await write(writer, 30)
    await daemon.start()
    truth = {} if sources else await truth_of(plane, writer)
    for name in names if sources else ():
        truth |= await truth_of(plane, writer, name)
    verdict = await end_well(daemon, truth)
    assert verdict.records >= 60
    assert {item.namespace for item in truth.values()} >= set(names)
    assert {line.get("level") for line in daemon.log()} <= {"debug", "info"}


NEEDED = {
    # sources, path of the role's namespace, API group, resource, verb
    "list": (WHOLE, "", "", "events", "list"),
    "watch": (WHOLE, "", "", "events", "watch"),
    "list-nodes": (WHOLE, "", "", "nodes", "list"),
    "watch-nodes": (WHOLE, "", "", "nodes", "watch"),
    "identity": (WHOLE, "", "", "namespaces", "get"),
    "choose": (LABELLED, "", "", "namespaces", "list"),
    "list-first": (SINGLE, "first", "events.k8s.io", "events", "list"),
    "watch-first": (SINGLE, "first", "events.k8s.io", "events", "watch"),
    "list-second": (SINGLE, "second", "events.k8s.io", "events", "list"),
    "watch-second": (SINGLE, "second", "events.k8s.io", "events", "watch"),
}


def rights_in(objects: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    return sorted(
        (role["metadata"].get("namespace", ""), group, resource, verb)
        for role in objects
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


@pytest.mark.parametrize("sources", [WHOLE, SINGLE, LABELLED], ids=["cluster", "namespaces", "labels"])
def test_x8_no_right_is_given_that_is_not_shown_to_be_needed(sources: tuple[dict[str, Any], ...]) -> None:
    """Each right of the chart is one that the test below takes away."""
    objects = render({"config": {"sources": list(sources)}} if sources else {})
    roles = [item for item in objects if item["kind"] in {"Role", "ClusterRole"}]
    shown = [right[1:] for right in NEEDED.values() if right[0] == sources]
    # Reading events of the whole cluster is shown to be needed without labels.
    shown += [NEEDED["list"][1:], NEEDED["watch"][1:]] if sources == LABELLED else []
    assert rights_in(roles) == sorted(shown)
    names = [rule.get("resourceNames") for role in roles for rule in role["rules"] if "namespaces" in rule["resources"]]
    assert names == ([[None]] if sources == LABELLED else [[]] if sources else [[["kube-system"]]])[0]


@pytest.mark.parametrize("missing", [name for name, right in NEEDED.items() if right[3] != "nodes"])
async def test_x8_without_any_one_right_it_says_which(
    plane: ControlPlane, releases: Callable[[str], Release], daemons: MakeDaemon, tmp_path: Path, missing: str
) -> None:
    """A verb less: never ready, with the verb and what it is for in words; given back, all is well."""
    sources, namespace, group, resource, verb = NEEDED[missing]
    for name in ("first", "second"):
        await plane.namespace(name)
    release = releases(f"less-{missing}")
    daemon, kubeconfig = make_daemon(daemons, tmp_path)
    await release.install(values_for(daemon, *sources))
    await release.equip(daemon, kubeconfig)
    roles = await release.roles()
    whole = rights_in(roles.values())
    (path,) = [path for path, role in roles.items() if role["metadata"].get("namespace", "") == namespace]
    role = roles[path]
    less = [
        rule | {"verbs": [each for each in rule["verbs"] if each != verb]} if rule["resources"] == [resource] else rule
        for rule in role["rules"]
    ]
    await plane.api.request("PUT", path, role | {"rules": [rule for rule in less if rule["verbs"]]})
    removed = sorted(set(whole) - set(rights_in((await release.roles()).values())))
    assert removed == [(namespace, group, resource, verb)]

    daemon.launch()
    said = ""

    async def refused() -> bool:
        nonlocal said
        status, said = await daemon.get("/readyz")
        return status == 503 and verb in said and "connecting" not in said and "not listed yet" not in said

    await until(refused, f"/readyz to name {verb}")
    if resource == "namespaces" and verb == "list":
        assert 'cannot list resource "namespaces"' in said
    elif resource == "namespaces":
        assert "kube-system may not be read" in said
        assert "grant `get` on the namespace kube-system" in said
    else:
        assert f'cannot {verb} resource "events" in API group "{group}"' in said
        assert "Grant the verbs list and watch on events" in said
        where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
        assert where in said

    fresh = await plane.api.request("GET", path)
    await plane.api.request("PUT", path, fresh | {"rules": role["rules"]})
    await daemon.ready()
    assert await daemon.term() == 0


@pytest.mark.parametrize("missing", [name for name, right in NEEDED.items() if right[3] == "nodes"])
async def test_x8_without_a_right_on_nodes_events_flow_and_it_says_which(
    plane: ControlPlane, releases: Callable[[str], Release], daemons: MakeDaemon, tmp_path: Path, missing: str
) -> None:
    """Ready all the same, and degraded; given back, nodes are read without a restart."""
    _, _, _, resource, verb = NEEDED[missing]
    release = releases(f"less-{missing}")
    daemon, kubeconfig = make_daemon(daemons, tmp_path)
    await release.install(values_for(daemon))
    await release.equip(daemon, kubeconfig)
    ((path, role),) = (await release.roles()).items()
    less = [
        rule | {"verbs": [each for each in rule["verbs"] if each != verb]} if rule["resources"] == [resource] else rule
        for rule in role["rules"]
    ]
    await plane.api.request("PUT", path, role | {"rules": less})
    await plane.namespace(f"nodes-{verb}")
    await daemon.start()
    writer = Writer(plane.api, seed=6, namespaces=(f"nodes-{verb}",))
    await write(writer, 10)
    assert (await settled(writer.truth, daemon.sights)).faults() == []

    async def health(word: str) -> bool:
        return word in (await daemon.get("/healthz"))[1]

    await until(lambda: health(f'cannot {verb} resource \\"nodes\\"'), f"/healthz to name {verb}")
    assert await health("Grant the verbs list and watch on nodes")
    assert await health('"status":"degraded"')
    fresh = await plane.api.request("GET", path)
    await plane.api.request("PUT", path, fresh | {"rules": role["rules"]})
    await until(lambda: health('"status":"ok"'), "nodes to be read")
    assert await daemon.term() == 0


MIRRORED = {"persistence": {"type": "emptyDir", "mirror": True}}
MIRROR = {"get": ("watching", "", "configmaps", "get"), "patch": ("watching", "", "configmaps", "patch")}
"""Rights that the mirror adds, as `rights_in` names them in a rendered chart."""


def test_the_mirror_adds_no_right_that_is_not_shown_to_be_needed() -> None:
    """Each is one that the test below takes away, and holds for one ConfigMap only."""
    objects = render(MIRRORED)
    roles = [item for item in objects if item["kind"] in {"Role", "ClusterRole"}]
    whole = [right[1:] for right in NEEDED.values() if right[0] == WHOLE]
    assert rights_in(roles) == sorted([*whole, *MIRROR.values()])
    names = [rule["resourceNames"] for role in roles for rule in role["rules"] if "configmaps" in rule["resources"]]
    assert names == [["test-eventer-positions"]]


@pytest.mark.parametrize("missing", MIRROR)
async def test_without_any_right_on_the_mirror_it_says_which_and_exports_all_the_same(
    plane: ControlPlane, releases: Callable[[str], Release], daemons: MakeDaemon, tmp_path: Path, missing: str
) -> None:
    """Given back, positions are noted; and an upgrade of the release leaves them where they are."""
    release = releases(f"mirror-{missing}")
    kubeconfig = tmp_path / "account.kubeconfig"
    quick = {"eventer.mirror.mirror:EVERY": 0.5, "eventer.mirror.mirror:WAIT": 2.0}
    daemon = daemons(sources=[], env={"KUBECONFIG": str(kubeconfig)}, scaled=IMPATIENT | quick)
    values = values_for(daemon) | MIRRORED
    await release.install(values)
    await release.equip(daemon, kubeconfig)
    path = f"{RBAC}/namespaces/{release.name}/roles/ev-eventer-positions"
    role = await plane.api.request("GET", path)
    (rule,) = role["rules"]
    assert missing in rule["verbs"]
    less = rule | {"verbs": [verb for verb in rule["verbs"] if verb != missing]}
    await plane.api.request("PUT", path, role | {"rules": [less]})
    await plane.namespace(f"mirrored-{missing}")
    writer = Writer(plane.api, seed=5, namespaces=(f"mirrored-{missing}",))

    await daemon.start()
    await write(writer, 10)
    assert (await settled(writer.truth, daemon.sights)).faults() == []

    def told() -> bool:
        reasons = [str(line.get("reason")) for line in daemon.log() if line["event"].startswith("mirror")]
        return any(
            f'cannot {missing} resource "configmaps"' in reason and "Grant the verbs get and patch" in reason
            for reason in reasons
        )

    await until(told, f"the log to name {missing}")
    fresh = await plane.api.request("GET", path)
    await plane.api.request("PUT", path, fresh | {"rules": [rule]})

    async def noted() -> bool:
        return "positions.json" in (await release.get("configmaps", name="ev-eventer-positions")).get("data", {})

    await until(noted, "positions in the ConfigMap")
    assert await daemon.term() == 0
    kept = (await release.get("configmaps", name="ev-eventer-positions"))["data"]
    await release.install(values | {"podLabels": {"a": "b"}})
    assert (await release.get("configmaps", name="ev-eventer-positions"))["data"] == kept


async def test_x7_the_pod_passes_pod_security_restricted(
    plane: ControlPlane, releases: Callable[[str], Release]
) -> None:
    """By the real admission, which refuses the same pod with any one of its promises broken."""
    release = releases("restricted")
    await release.install(yaml.safe_load((CHART / "ci/everything-values.yaml").read_text()) | WITHOUT_OPERATOR)
    deployment = await release.get("deployments", group="apps/v1", name="events")
    template = deployment["spec"]["template"]
    pods = f"/api/v1/namespaces/{release.name}/pods?dryRun=All"

    async def create(change: Callable[[dict[str, Any]], object]) -> None:
        spec = copy.deepcopy(template["spec"]) | {"priorityClassName": ""}
        change(spec)
        await plane.api.create(pods, {"metadata": {"name": "probe"}, "spec": spec})

    await create(lambda _: None)
    for change in (
        lambda spec: spec["securityContext"].pop("runAsNonRoot"),
        lambda spec: spec["securityContext"].pop("seccompProfile"),
        lambda spec: spec["containers"][0]["securityContext"].pop("capabilities"),
        lambda spec: spec["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
        lambda spec: spec.update(hostNetwork=True),
    ):
        with pytest.raises(Refusal, match="violates PodSecurity"):
            await create(change)


@pytest.mark.parametrize("file", sorted(path.name for path in (CHART / "ci").iterdir()))
async def test_the_api_server_takes_every_object_strictly(plane: ControlPlane, file: str) -> None:
    """Strict validation by the API server itself: unknown and doubled fields are refused as well."""
    await plane.namespace("strict")
    for name in ("shop", "shop-jobs"):
        await plane.namespace(name)
    objects = render(CHART / "ci" / file, namespace="strict")
    # The operator's types are not in this cluster.
    known = [item for item in objects if not item["apiVersion"].startswith("monitoring.coreos.com/")]
    assert len(known) >= 7
    for item in known:
        await plane.api.create(f"{path_of(item)}?dryRun=All&fieldValidation=Strict", item)
    with pytest.raises(Refusal, match="unknown field"):
        await plane.api.create(f"{path_of(item)}?dryRun=All&fieldValidation=Strict", item | {"unheard": 1})


def path_of(item: Mapping[str, Any]) -> str:
    base = f"/apis/{item['apiVersion']}" if "/" in item["apiVersion"] else f"/api/{item['apiVersion']}"
    namespace = item["metadata"].get("namespace")
    plural = item["kind"].lower().replace("policy", "policie") + "s"
    return f"{base}/namespaces/{namespace}/{plural}" if namespace else f"{base}/{plural}"


async def test_only_a_changed_configuration_starts_a_new_pod(
    plane: ControlPlane, releases: Callable[[str], Release]
) -> None:
    release = releases("checksum")

    async def generation(values: Mapping[str, Any]) -> int:
        await release.install(values)
        deployment = await release.get("deployments", group="apps/v1")
        return int(deployment["metadata"]["generation"])

    first = await generation({})
    assert await generation({"service": {"annotations": {"team": "sre"}}}) == first
    assert await generation({"config": {"log": {"level": "debug"}}}) == first + 1


async def test_the_journal_outlives_the_release(plane: ControlPlane, releases: Callable[[str], Release]) -> None:
    """Uninstalled and installed again: the same claim, in which events may wait."""
    release = releases("claim")
    await release.install({})
    claim = await release.get("persistentvolumeclaims")
    release.uninstall()
    assert (await release.get("persistentvolumeclaims"))["metadata"]["uid"] == claim["metadata"]["uid"]
    await release.install({})
    assert (await release.get("persistentvolumeclaims"))["metadata"]["uid"] == claim["metadata"]["uid"]
    await release.install({"persistence": {"retain": False}})
    release.uninstall()
    gone = await plane.api.request("GET", f"/api/v1/namespaces/{release.name}/persistentvolumeclaims")
    # Without controllers nobody takes the finalizer away.
    assert all("deletionTimestamp" in item["metadata"] for item in gone["items"])
