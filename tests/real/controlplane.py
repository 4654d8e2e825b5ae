"""A real control plane for tests: etcd and kube-apiserver, which a test can break at will.

The promises of the daemon are about what real servers do when they are killed, frozen, restored
from a backup or have forgotten their history. So tests get the real ones, several at once if need
be, on free ports, with everything in one temporary directory.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from tests.helpers.kubeapi import KubeApi, Refusal
from tests.helpers.process import Child, free_port, until
from tests.real.parts.build import binary

__all__ = ["ControlPlane"]

_ADMIN: Final = "admin"


class ControlPlane:
    """etcd and an API server; on request also controller manager, scheduler and kwok.

    Args:
        directory: holds data, certificates and logs; must be empty.
        name: what error reports call it.
        event_ttl: Kubernetes duration (`60s`) that Events live; `1h` as in every cluster if not given.
        compaction_interval: how often history is cut off; `5m` if not given. `compact` does it at once.
        users: names that get a bearer token (`token-<name>`) and no right until `grant`.
        controllers: also run controller manager and scheduler, which write Events of their own.
        servers: how many API servers share the etcd. The first one is `url`; others come after it in `ports`.
        kwok: also run kwok, which plays nodes annotated `kwok.x-k8s.io/node: fake` and their pods.
        node_grace: for how long the controller manager waits to hear of a node; its default if not given.
    """

    def __init__(
        self,
        directory: Path,
        *,
        name: str = "cluster",
        event_ttl: str = "1h",
        compaction_interval: str = "5m",
        users: Sequence[str] = (),
        controllers: bool = False,
        kwok: bool = False,
        servers: int = 1,
        node_grace: str = "",
    ) -> None:
        self.name = name
        self.directory = directory
        self.ports = [free_port() for _ in range(servers)]
        self.port = self.ports[0]
        self.url = f"https://127.0.0.1:{self.port}"
        self._etcd_url = f"http://127.0.0.1:{free_port()}"
        self._users = (_ADMIN, *users)
        self._certificates = directory / "certificates"
        self._data = directory / "etcd"
        self.etcd = self._make_etcd()
        self.apiservers = [self._make_apiserver(port, event_ttl, compaction_interval) for port in self.ports]
        self.apiserver = self.apiservers[0]
        self._others: list[Child] = []
        if controllers:
            self._others += self._make_controllers(node_grace)
        if kwok:
            config = self.directory / "admin.kubeconfig"
            argv = [binary("kwok"), f"--kubeconfig={config}", "--manage-all-nodes=true", "--node-ip=10.9.9.9"]
            self.kwok = Child("kwok", argv, directory)
            self._others.append(self.kwok)
        self.api = self.client(_ADMIN)

    @property
    def ca_file(self) -> Path:
        """Certificate that the API server shows (self-signed, good for 127.0.0.1)."""
        return self._certificates / "apiserver.crt"

    @property
    def children(self) -> list[Child]:
        """Every process of it."""
        return [self.etcd, *self.apiservers, *self._others]

    def client(self, user: str, *, url: str = "", **options: Any) -> KubeApi:
        """Return a client that acts as one of the users. Whoever asks for it closes it."""
        return KubeApi(url or self.url, self.ca_file, f"token-{user}", **options)

    def _make_etcd(self) -> Child:
        peer = f"http://127.0.0.1:{free_port()}"
        argv = [
            binary("etcd"),
            f"--data-dir={self._data}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # the fault under test is a killed process, never a power cut
            "--log-level=warn",
        ]
        return Child("etcd", argv, self.directory)

    def _make_apiserver(self, port: int, event_ttl: str, compaction_interval: str) -> Child:
        key, public = self.directory / "sa.key", self.directory / "sa.pub"
        argv = [
            binary("kube-apiserver"),
            f"--etcd-servers={self._etcd_url}",
            f"--etcd-compaction-interval={compaction_interval}",
            f"--cert-dir={self._certificates}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={port}",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            f"--service-account-key-file={public}",
            f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--endpoint-reconciler-type=none",
            f"--event-ttl={event_ttl}",
            # One lease a second instead of one a minute, so that a short TTL is kept to the second.
            "--lease-reuse-duration-seconds=1",
        ]
        if len(self.ports) > 1:
            # How long a server that was told to end waits for open watches: 60 s otherwise.
            argv.append("--request-timeout=5s")
        return Child("kube-apiserver" if port == self.port else f"kube-apiserver-{port}", argv, self.directory)

    def _make_controllers(self, node_grace: str) -> list[Child]:
        config = self.directory / "admin.kubeconfig"
        common = [f"--kubeconfig={config}", "--leader-elect=false", "--bind-address=127.0.0.1"]
        manager = [
            binary("kube-controller-manager"),
            *common,
            f"--secure-port={free_port()}",
            f"--cert-dir={self.directory / 'controller-manager'}",
            f"--service-account-private-key-file={self.directory / 'sa.key'}",
            "--use-service-account-credentials=true",
            *([f"--node-monitor-grace-period={node_grace}"] if node_grace else []),
        ]
        scheduler = [
            binary("kube-scheduler"),
            *common,
            f"--secure-port={free_port()}",
            f"--cert-dir={self.directory / 'scheduler'}",
        ]
        return [
            Child("kube-controller-manager", manager, self.directory),
            Child("kube-scheduler", scheduler, self.directory),
        ]

    def _write_files(self) -> None:
        lines = []
        for user in self._users:
            groups = ',"system:masters"' if user == _ADMIN else ""
            lines.append(f"token-{user},{user},uid-{user}{groups}\n")
        (self.directory / "tokens.csv").write_text("".join(lines))
        key = self.directory / "sa.key"
        commands = (["genrsa", "-out", key, "2048"], ["rsa", "-in", key, "-pubout", "-out", self.directory / "sa.pub"])
        for command in commands:
            subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)

    async def start(self) -> None:
        """Start everything and return when the API answers and its first namespaces are there.

        Raises:
            RuntimeError: a process ended instead; the message holds its last lines.
        """
        self._write_files()
        self.start_etcd()
        for number in range(len(self.apiservers)):
            await self.start_apiserver(number)
        self.kubeconfig(path=self.directory / "admin.kubeconfig")
        for child in self._others:
            child.start()

    async def stop(self) -> None:
        """End everything at once. Its directory stays, with the logs."""
        await self.api.close()
        for child in reversed(self.children):
            child.kill()

    def start_etcd(self) -> None:
        """Start etcd; the API server finds it by itself."""
        self.etcd.start()

    def kill_etcd(self) -> None:
        """Kill etcd (SIGKILL)."""
        self.etcd.kill()

    async def start_apiserver(self, number: int = 0) -> None:
        """Start an API server and wait until it is ready (some 4 s).

        Raises:
            RuntimeError: it ended instead.
        """
        self.apiservers[number].start()
        await self.ready(number=number)

    def kill_apiserver(self) -> None:
        """Kill the API server (SIGKILL)."""
        self.apiserver.kill()

    def freeze(self) -> None:
        """Stop the API server in mid-air (SIGSTOP): connections stay open, nobody answers."""
        self.apiserver.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self.apiserver.signal(signal.SIGCONT)

    async def ready(self, timeout: float = 180.0, *, number: int = 0) -> None:
        """Wait until the API server says that it is ready and has its first namespaces."""
        api = self.client(_ADMIN, url=f"https://127.0.0.1:{self.ports[number]}") if number else self.api

        async def answers() -> bool:
            for child in (self.etcd, self.apiservers[number]):
                if not child.alive:
                    raise RuntimeError(f"{child.name} of {self.name} ended ({child.exit_code}):\n{child.tail()}")
            if not self.ca_file.exists():
                return False
            try:
                await api.text("/readyz")
                await api.request("GET", "/api/v1/namespaces/kube-system")
                await api.request("GET", "/api/v1/namespaces/default")
            except (Refusal, OSError, TimeoutError, aiohttp.ClientError):
                return False
            return True

        try:
            await until(answers, f"{self.name} to be ready", timeout=timeout)
        finally:
            if number:
                await api.close()

    def kubeconfig(
        self, *, user: str = _ADMIN, server: str = "", context: str = "default", path: Path | None = None
    ) -> Path:
        """Write a kubeconfig file and return its path.

        Args:
            user: whose token it holds.
            server: address to use instead of the API server's own (a proxy before it).
            context: name of the context, which is also the current one.
            path: where to; a name of its own in the directory, if not given.
        """
        target = path or self.directory / f"{user}-{context}-{free_port() if server else 'direct'}.kubeconfig"
        cluster = {"server": server or self.url, "certificate-authority": str(self.ca_file)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": self.name, "cluster": cluster}],
            "users": [{"name": user, "user": {"token": f"token-{user}"}}],
            "contexts": [{"name": context, "context": {"cluster": self.name, "user": user}}],
            "current-context": context,
        }
        target.write_text(yaml.safe_dump(document))
        target.chmod(0o600)
        return target

    async def namespace(self, name: str) -> None:
        """Create a namespace, if it is not there."""
        try:
            await self.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        except Refusal as refusal:
            if refusal.status != 409:
                raise

    async def grant(self, user: str, rules: list[dict[str, Any]], *, namespace: str = "") -> None:
        """Give a user exactly these RBAC rules, in the whole cluster or in one namespace."""
        kind = "Role" if namespace else "ClusterRole"
        base = "/apis/rbac.authorization.k8s.io/v1"
        if namespace:
            base += f"/namespaces/{namespace}"
        name = f"test-{user}"
        await self.api.create(f"{base}/{kind.lower()}s", {"metadata": {"name": name}, "rules": rules})
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }
        await self.api.create(f"{base}/{kind.lower()}bindings", binding)

    async def _etcd_call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with aiohttp.ClientSession() as session, session.post(f"{self._etcd_url}/v3/{path}", json=body) as answer:
            answer.raise_for_status()
            decoded: dict[str, Any] = await answer.json()
            return decoded

    async def revision(self) -> int:
        """Return etcd's current revision, which is the newest resourceVersion of the cluster."""
        status = await self._etcd_call("maintenance/status", {})
        return int(status["header"]["revision"])

    async def compact(self) -> int:
        """Forget all history up to now, as the API server does every few minutes.

        Returns:
            The revision up to which it is gone: watching from an older one is answered with 410.
        """
        revision = await self.revision()
        await self._etcd_call("kv/compaction", {"revision": str(revision), "physical": True})
        return revision

    async def plant(self, events: Sequence[dict[str, Any]]) -> None:
        """Put Events into etcd past the API server, many at once: through it, 50,000 take minutes.

        They come without a TTL, and a hundred at a time have one version, which no API server writes; so
        they are for lists, not for watches.

        Args:
            events: objects of core/v1, with name, namespace and uid.
        """
        for start in range(0, len(events), 100):
            puts = []
            for event in events[start : start + 100]:
                metadata = event["metadata"]
                key = f"/registry/events/{metadata['namespace']}/{metadata['name']}"
                body = json.dumps({"kind": "Event", "apiVersion": "v1"} | event)
                put = {
                    "key": base64.b64encode(key.encode()).decode(),
                    "value": base64.b64encode(body.encode()).decode(),
                }
                puts.append({"requestPut": put})
            await self._etcd_call("kv/txn", {"success": puts})

    async def backup(self, target: Path) -> None:
        """Copy etcd's data as it is at this moment."""
        # A frozen process cannot write, so the copy is what a crash at this moment would leave.
        self.etcd.signal(signal.SIGSTOP)
        try:
            await asyncio.to_thread(shutil.copytree, self._data, target)
        finally:
            self.etcd.signal(signal.SIGCONT)

    async def restore(self, source: Path, *, restart_apiserver: bool = True) -> None:
        """Put etcd's data back to a backup: what was written since has never happened.

        Args:
            source: what `backup` wrote; it stays usable.
            restart_apiserver: as the etcd documentation asks for; without it open watches of the
                API server wait in silence for revisions that come again much later.
        """
        if restart_apiserver:
            self.kill_apiserver()
        self.kill_etcd()
        shutil.rmtree(self._data)
        await asyncio.to_thread(shutil.copytree, source, self._data)
        self.start_etcd()
        if restart_apiserver:
            await self.start_apiserver()
        else:
            await self.ready()
