"""Rows W29, W30, W31 and W36 as the chart's account: tokens that rotate, rights that come later, a new CA.

The daemon runs as in its pod: it finds the API server by the variables of a pod, and its token and the CA
as files of a volume that somebody else rewrites. Only the place of that volume is another.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.helpers.daemon import Daemon
from tests.helpers.helm import CHART
from tests.helpers.kubeapi import KubeApi, Refusal
from tests.helpers.process import until
from tests.helpers.writer import Writer
from tests.real.conftest import MakeDaemon, MakePlane
from tests.real.controlplane import ControlPlane
from tests.real.rows import WATCH_TIMES, end_well, settled, truth_of, write
from tests.real.test_chart import ARCHIVE, IMPATIENT, RBAC, Release

LOADER = "kubernetes_asyncio.config.incluster_config"


class Account:
    """One release, and what its pod would find: a token and a CA that can be replaced while it runs."""

    def __init__(self, release: Release, directory: Path) -> None:
        self.release = release
        self.plane = release.plane
        self.tokens: list[str] = []
        self._volume = directory
        self.token_file, self.ca_file = directory / "token", directory / "ca.crt"

    def daemon(self, daemons: MakeDaemon, quick: Mapping[str, Any] | None = None) -> Daemon:
        """Make the daemon of the pod; its configuration comes with `install`."""
        env = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.plane.port)}
        places = {
            f"{LOADER}:SERVICE_TOKEN_FILENAME": str(self.token_file),
            f"{LOADER}:SERVICE_CERT_FILENAME": str(self.ca_file),
        }
        return daemons(sources=[], env=env, scaled=IMPATIENT | WATCH_TIMES | places | dict(quick or {}))

    async def install(self, daemon: Daemon, *sources: dict[str, Any], **archive: Any) -> None:
        """Install the release, and give the daemon its configuration, its first token and the CA."""
        config: dict[str, Any] = {
            "sinks": {"archive": {"kind": "file", "path": "/data/archive.jsonl"} | archive},
            "server": {"listen": f":{daemon.port}"},
        }
        await self.release.install({"config": config | ({"sources": list(sources)} if sources else {}), **ARCHIVE})
        text = (await self.release.get("configmaps"))["data"]["eventer.yaml"]
        daemon.text = text.replace("/var/lib/eventer", str(daemon.state)).replace("/data", str(daemon.directory))
        await self.new_token()
        self.new_ca()

    async def new_token(self) -> str:
        """Put a fresh token into the volume, of the shortest life there is, as the kubelet does.

        It is bound to a Secret of its own: when that goes, so does the token.
        """
        name = f"bound-{len(self.tokens)}"
        base = f"/api/v1/namespaces/{self.release.name}"
        await self.plane.api.create(f"{base}/secrets", {"metadata": {"name": name}})
        spec = {"expirationSeconds": 600, "boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": name}}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        made = await self.plane.api.create(f"{base}/serviceaccounts/ev-eventer/token", body)
        self.tokens.append(made["status"]["token"])
        _replace(self.token_file, self.tokens[-1])
        return self.tokens[-1]

    async def revoke(self, number: int) -> None:
        """Make a token invalid, and wait until the API server knows that: it remembers tokens for 10 s."""
        await self.plane.api.delete(f"/api/v1/namespaces/{self.release.name}/secrets/bound-{number}")
        client = KubeApi(self.plane.url, self.plane.ca_file, self.tokens[number])

        async def refused() -> bool:
            try:
                await client.text("/version")
            except Refusal as refusal:
                return refusal.status == 401
            return False

        try:
            await until(refused, "the old token to be refused")
        finally:
            await client.close()

    def new_ca(self) -> None:
        """Put the certificate that the API server shows now into the volume."""
        _replace(self.ca_file, self.plane.ca_file.read_text())


def _replace(file: Path, text: str) -> None:
    """Write a file of the volume in one step, as the kubelet does by a link."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)


MakeAccount = Callable[[ControlPlane, str], Account]


@pytest_asyncio.fixture(loop_scope="session")
async def accounts(tmp_path: Path) -> AsyncIterator[MakeAccount]:
    made: list[Account] = []
    # The API server is built without its version, so Helm cannot compare it to the one that the chart asks for.
    chart = shutil.copytree(CHART, tmp_path / "chart")
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    about.pop("kubeVersion")
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about))

    def make(plane: ControlPlane, name: str) -> Account:
        volume = tmp_path / f"volume-{name}"
        volume.mkdir()
        made.append(Account(Release(plane, name, chart), volume))
        return made[-1]

    yield make
    for account in made:
        account.release.uninstall()


async def role_of(account: Account, namespace: str = "") -> tuple[str, dict[str, Any]]:
    """Return the release's role for one namespace, or for the cluster, with its path."""
    roles = await account.release.roles()
    ((path, role),) = [item for item in roles.items() if item[1]["metadata"].get("namespace", "") == namespace]
    return path, role


async def take(account: Account, path: str) -> Callable[[], Awaitable[Any]]:
    """Take a role's rules away; what is returned gives them back."""
    role = await account.plane.api.request("GET", path)
    await account.plane.api.request("PUT", path, role | {"rules": []})

    async def give_back() -> None:
        fresh = await account.plane.api.request("GET", path)
        await account.plane.api.request("PUT", path, fresh | {"rules": role["rules"]})

    return give_back


async def test_w29_the_token_is_rotated_and_the_old_one_revoked(
    plane: ControlPlane, accounts: MakeAccount, daemons: MakeDaemon
) -> None:
    """W29, twice. One request with the old token fails at most; no token is in any log."""
    account = accounts(plane, "rotated")
    daemon = account.daemon(daemons)
    await account.install(daemon)
    await plane.namespace("w29")
    writer = Writer(plane.api, seed=29, namespaces=("w29",))
    await daemon.start()
    await write(writer, 10)
    assert (await settled(writer.truth, daemon.sights)).faults() == []
    for number in range(2):
        await account.new_token()
        await account.revoke(number)
        await write(writer, 10)
        # Watches of 3 to 5 s: this one and the next are opened after the revocation.
        await _more(daemon, "eventer_watches_total")
    refused = await daemon.metric("eventer_watch_ended_total", cause="unauthorized")
    assert refused <= 2  # one for each
    assert (await daemon.get("/readyz"))[0] == 200
    verdict = await end_well(daemon, await truth_of(plane, writer))
    assert verdict.records >= 30
    text = daemon.child.log.read_text()
    assert not [token for token in account.tokens if token in text or token.rpartition(".")[2] in text]


async def _more(daemon: Daemon, name: str, **labels: str) -> None:
    """Wait until a counter has risen by two."""
    before = await daemon.metric(name, **labels)

    async def risen() -> bool:
        return await daemon.metric(name, **labels) >= before + 2

    await until(risen, f"two more of {name}")


async def test_w30_the_chart_is_given_its_rights_later(
    plane: ControlPlane, accounts: MakeAccount, daemons: MakeDaemon
) -> None:
    """W30. Never ready without them, with verb, resource and group in words; recovers without a restart."""
    account = accounts(plane, "later")
    daemon = account.daemon(daemons)
    await account.install(daemon, {"cluster": "here"})
    path, _ = await role_of(account)
    give_back = await take(account, path)
    await plane.namespace("w30")
    writer = Writer(plane.api, seed=30, namespaces=("w30",))
    daemon.launch()
    said = ""

    async def told() -> bool:
        nonlocal said
        status, said = await daemon.get("/readyz")
        return status == 503 and 'cannot list resource "events" in API group ""' in said

    await until(told, "/readyz to name the right")
    assert "Grant the verbs list and watch on events" in said
    assert (await daemon.get("/livez"))[0] == 200  # restarting it would help nobody
    pid = daemon.child.pid
    await write(writer, 20)
    await give_back()
    await daemon.ready()
    assert daemon.child.pid == pid
    await end_well(daemon, await truth_of(plane, writer))


async def test_w31_the_role_of_one_of_three_namespaces_is_missing(
    plane: ControlPlane, accounts: MakeAccount, daemons: MakeDaemon
) -> None:
    """W31. The other two flow; the third comes when its role does, with all that it still holds."""
    names = ("w31-first", "w31-second", "w31-third")
    for name in names:
        await plane.namespace(name)
    account = accounts(plane, "three")
    daemon = account.daemon(daemons)
    await account.install(daemon, {"cluster": "here", "kubernetes": {"namespaces": list(names)}})
    path, role = await role_of(account, "w31-third")
    await plane.api.delete(path)
    writer = Writer(plane.api, seed=31, namespaces=names)
    daemon.launch()
    await write(writer, 30)

    def flowing() -> dict[str, Any]:
        return {uid: item for uid, item in writer.truth.items() if item.namespace != "w31-third"}

    assert (await settled(flowing(), daemon.sights)).faults() == []
    assert len(flowing()) < len(writer.truth)
    status, said = await daemon.get("/readyz")
    assert status == 503
    assert 'in the namespace "w31-third"' in said
    assert not any(f'"{name}"' in said for name in names[:2])
    fresh = {"metadata": {"name": role["metadata"]["name"]}, "rules": role["rules"]}
    await plane.api.create(f"{RBAC}/namespaces/w31-third/roles", fresh)
    await daemon.ready()
    truth: dict[str, Any] = {}
    for name in names:
        truth |= await truth_of(plane, writer, name)
    await end_well(daemon, truth)


async def test_w36_the_certificate_of_the_api_server_and_its_ca_are_new(
    planes: MakePlane, accounts: MakeAccount, daemons: MakeDaemon
) -> None:
    """W36. With the old CA nothing is sent to what shows another certificate; with the new one it goes on."""
    plane = await planes()
    account = accounts(plane, "newca")
    daemon = account.daemon(daemons)
    await account.install(daemon)
    await plane.namespace("w36")
    writer = Writer(plane.api, seed=36, namespaces=("w36",))
    await daemon.start()
    await write(writer, 10)
    assert (await settled(writer.truth, daemon.sights)).faults() == []

    plane.kill_apiserver()
    await plane.api.close()
    for file in plane.ca_file.parent.glob("apiserver.*"):
        file.unlink()
    await plane.start_apiserver()  # it makes itself a new certificate

    async def distrusted() -> bool:
        return "certificate is not trusted" in (await daemon.get("/healthz"))[1]

    await until(distrusted, "word of the certificate that is not trusted")
    await write(writer, 10)
    before = len(daemon.sights())
    await _more(daemon, "eventer_watch_ended_total", cause="network")
    assert len(daemon.sights()) == before  # failed closed
    account.new_ca()
    verdict = await end_well(daemon, await truth_of(plane, writer))
    assert verdict.records >= 20


@pytest.mark.parametrize("namespace", ["", "shop"])
async def test_without_its_binding_the_account_may_nothing(
    plane: ControlPlane, accounts: MakeAccount, daemons: MakeDaemon, namespace: str
) -> None:
    """That the rows above are about the chart's rights, and not about rights from elsewhere."""
    await plane.namespace("shop")
    account = accounts(plane, f"alone{namespace}")
    daemon = account.daemon(daemons)
    sources = {"cluster": "here", "kubernetes": {"namespaces": ["shop"]}} if namespace else {"cluster": "here"}
    await account.install(daemon, sources)
    client = KubeApi(plane.url, plane.ca_file, account.tokens[0])
    events = f"/api/v1/namespaces/{namespace}/events" if namespace else "/api/v1/events"
    try:
        assert "items" in await client.request("GET", events)
        for path in ("/api/v1/secrets", "/api/v1/pods", "/api/v1/nodes", "/api/v1/namespaces/kube-system/events"):
            if namespace or path.endswith(("secrets", "pods")):
                with pytest.raises(Refusal) as caught:
                    await client.request("GET", path)
                assert caught.value.status == 403
        path, _ = await role_of(account, namespace)
        await take(account, path)

        async def refused() -> bool:
            try:
                await client.request("GET", events)
            except Refusal as refusal:
                return refusal.status == 403
            return False

        await until(refused, "the account to be refused")
    finally:
        await client.close()
