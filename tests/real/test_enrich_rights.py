"""Row X8 for what sinks have looked up, as the chart's account: each right of its role is taken away, one by one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from tests.helpers.daemon import Daemon
from tests.helpers.process import until
from tests.real import test_chart_rights as rights
from tests.real.conftest import MakeDaemon
from tests.real.controlplane import ControlPlane
from tests.real.test_chart_rights import Account, MakeAccount, role_of

accounts = rights.accounts

QUICK = {
    "eventer.enrich.objects:FORBIDDEN_KEPT": 0.5,
    "eventer.enrich.table:WATCH_FOR": 2,
    "eventer.enrich.logs:AGAIN": 0.5,
}
"""Seconds, in place of 60, 300 and 10."""


class Asked:
    """Events about objects that do not exist: what may be asked for is gone, what may not is forbidden."""

    def __init__(self, account: Account, daemon: Daemon) -> None:
        self.account = account
        self.daemon = daemon
        self.written = 0

    def lines(self) -> list[dict[str, Any]]:
        """What was delivered."""
        file = self.daemon.archive
        return [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]] if file.exists() else []

    async def about(self, kind: str, api_version: str) -> dict[str, Any]:
        """Write an Event about an object of a kind, and return what was looked up for it."""
        self.written += 1
        name = f"nobody-{self.written}"
        involved = {"kind": kind, "apiVersion": api_version, "name": name, "uid": f"uid-{name}"}
        involved |= {"namespace": "x8"} if kind not in {"Node", "Namespace"} else {}
        where = involved.get("namespace", "default")
        await self.account.plane.api.create(
            f"/api/v1/namespaces/{where}/events",
            {"metadata": {"name": name}, "involvedObject": involved, "reason": "BackOff", "type": "Warning",
             "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1},
        )  # fmt: skip
        found: list[dict[str, Any]] = []

        async def delivered() -> bool:
            found[:] = [line["about"] for line in self.lines() if line["name"] == name]
            return bool(found)

        await until(delivered, f"the event about {name}")
        return found[0]

    async def forbidden(self) -> list[str]:
        """What `eventer status` says is missing."""
        argv = [sys.executable, "-m", "eventer", "status", "--state", str(self.daemon.state), "--output", "json"]
        ran = await asyncio.to_thread(subprocess.run, argv, check=False, capture_output=True)
        found: list[str] = json.loads(ran.stdout)["forbidden"].get("here", [])
        return found


KINDS = {
    "pods": ("Pod", "v1"),
    "pods/log": ("Pod", "v1"),
    "replicationcontrollers": ("ReplicationController", "v1"),
    "replicasets": ("ReplicaSet", "apps/v1"),
    "deployments": ("Deployment", "apps/v1"),
    "statefulsets": ("StatefulSet", "apps/v1"),
    "daemonsets": ("DaemonSet", "apps/v1"),
    "jobs": ("Job", "batch/v1"),
    "cronjobs": ("CronJob", "batch/v1"),
    "namespaces": ("Namespace", "v1"),
    "nodes": ("Node", "v1"),
}


async def test_x8_each_right_of_look_ups_is_missed_by_its_name_and_nothing_is_lost(
    plane: ControlPlane, accounts: MakeAccount, daemons: MakeDaemon
) -> None:
    """Taken away one by one and given back. What the role grants beyond this test would be a right too many."""
    account = accounts(plane, "lookups")
    daemon = account.daemon(daemons, QUICK)
    wants = ["pod", "owner", "namespace", "node", "logs"]
    # The API server itself may have written of its Service, whose addresses it repairs; that is not to be looked up.
    selector = "involvedObject.kind!=Service"
    kubernetes = {"nodes": False, "field_selector": selector}
    await account.install(daemon, {"cluster": "here", "kubernetes": kubernetes}, enrich=wants)
    await plane.namespace("x8")
    asked = Asked(account, daemon)
    await daemon.start()
    path, role = await role_of(account)
    granted = [
        (f"{resource}.{rule['apiGroups'][0]}".rstrip("."), resource, verb)
        for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"] if resource != "events"
    ]  # fmt: skip
    assert len(granted) == len(KINDS) + 4
    for full, resource, verb in granted:
        rules = [
            {**rule, "resources": [each], "verbs": [*rule["verbs"]]}
            for rule in role["rules"]
            for each in rule["resources"]
        ]
        for rule in rules:
            if rule["resources"] == [resource]:
                rule["verbs"].remove(verb)
        await _set(account, path, [rule for rule in rules if rule["verbs"]])
        named = f"get on {full}" if verb == "get" else f"list and watch on {full}"
        if verb == "list":  # it is listed at the start alone
            assert await daemon.term() == 0
            await daemon.start()

        async def missed(resource: str = resource, named: str = named) -> bool:
            about = await asked.about(*KINDS[resource])
            marked = about["enriched"] == "forbidden" if named.startswith("get") else True
            return marked and await asked.forbidden() == [named]

        await until(missed, f"{named} to be missed")
        await _set(account, path, role["rules"])

        async def there(resource: str = resource) -> bool:
            about = await asked.about(*KINDS[resource])
            return about["enriched"] != "forbidden" and not await asked.forbidden()

        await until(there, f"{named} to be used again")
    lines = [line for line in asked.lines() if line["name"].startswith("nobody-")]
    assert len(lines) == len({line["id"] for line in lines}) == asked.written
    assert await daemon.term() == 0
    told = {line["resource"] for line in daemon.log() if line["event"] == "look-up forbidden"}
    assert told == {full for full, _, verb in granted if verb == "get"}
    outcomes = {outcome: n for outcome, n in daemon.journal().readers["archive"].items() if n}
    assert outcomes == {"delivered": daemon.journal().head}


async def _set(account: Account, path: str, rules: list[dict[str, Any]]) -> None:
    fresh = await account.plane.api.request("GET", path)
    await account.plane.api.request("PUT", path, fresh | {"rules": rules})
