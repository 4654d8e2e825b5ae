"""What nodes cost: memory for 5,000 of them, and CPU for their heartbeats; and how many edges come of 20 changes.

Nodes are as large as those of clouds: 50 images, labels, and managedFields of two writers, 13 KB a line. The fake API
server runs in this process, the daemon in one of its own.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

from eventer.demo.apiserver import ApiServer
from tests.bench.rig import BOUND, ENV, ROOT, Bench, cpu, end, memory, say
from tests.helpers.process import free_port

NODES: Final = 5000
RATE: Final = 50
"""Node lines a second: what 5,000 nodes write, each every 100 s."""
SECONDS: Final = 60
CONDITIONS: Final = {"Ready": "True"} | dict.fromkeys(
    ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable", "KernelDeadlock", "ReadonlyFilesystem",
     "FrequentKubeletRestart", "FrequentDockerRestart", "FrequentContainerdRestart", "NTPProblem", "XfsShutdown",
     "FrequentUnregisterNetDevice", "CorruptDockerOverlay2"),
    "False",
)  # fmt: skip


def fill(server: ApiServer) -> None:
    """Make the nodes, as large as real ones."""
    images = [
        {"names": [f"registry.example.com/team-{n % 7}/service-{n}@sha256:{n:064x}"], "sizeBytes": 100_000_000 + n}
        for n in range(50)
    ]
    for number in range(NODES):
        node = server.nodes.add(f"node-{number}", CONDITIONS)
        labels = {f"example.com/label-{n}": f"value-{n}" for n in range(15)}
        status = {**node["status"], "images": images, "volumesInUse": [f"csi-{n}" for n in range(10)]}
        server.nodes.store.put({**node, "metadata": {**node["metadata"], "labels": labels}, "status": status})


class Daemon:
    """One daemon that reads the fake server, with its nodes or without them."""

    def __init__(self, server: ApiServer, directory: Path, *, nodes: bool) -> None:
        self.out = directory / "out.jsonl"
        self.port = free_port()
        kubeconfig = server.write_kubeconfig(directory / "kubeconfig")
        config = {
            "sources": [{"cluster": "bench", "kubernetes": {"kubeconfig": str(kubeconfig), "nodes": nodes}}],
            "sinks": {"out": {"kind": "file", "path": str(self.out)}},
            "state": {"path": str(directory / "state")},
            "server": {"listen": f"127.0.0.1:{self.port}"},
            "log": {"level": "error"},
        }
        file = directory / "eventer.yaml"
        file.write_text(json.dumps(config))
        argv = [*BOUND, sys.executable, "-m", "eventer", "run", "-c", str(file)]
        self.process = subprocess.Popen(argv, env=ENV, cwd=ROOT, text=True, stdout=subprocess.PIPE)

    async def ready(self) -> None:
        """Wait until it has read everything that is there."""
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            if answer.startswith(b"HTTP/1.1 200"):
                return
            await asyncio.sleep(0.2)

    async def audited(self) -> None:
        """Wait until the audits of the start are over, which are no part of doing nothing."""
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            page = await reader.read()
            writer.close()
            if b'eventer_audits_total{cluster="bench",scope="nodes"} 1' in page:
                return
            await asyncio.sleep(1)

    def edges(self) -> int:
        """How many edges the file holds."""
        lines = self.out.read_bytes().splitlines() if self.out.exists() else []
        return sum(msgspec.json.decode(line)["origin"] == "node" for line in lines)


async def _measure() -> None:
    server = ApiServer()
    await server.start()
    fill(server)
    size = len(msgspec.json.encode(server.nodes.get("node-0")))
    say(f"\n| {NODES:,} nodes of {size / 1000:.0f} KB, {len(CONDITIONS)} conditions each | |\n|---|---|")
    resident: dict[bool, tuple[float, float]] = {}
    for nodes in (False, True):
        with tempfile.TemporaryDirectory(prefix="eventer-bench-") as name:
            daemon = Daemon(server, Path(name), nodes=nodes)
            try:
                await daemon.ready()
                await asyncio.sleep(10)
                resident[nodes] = memory(daemon.process.pid), memory(daemon.process.pid, "VmHWM")
                if nodes:
                    await daemon.audited()
                    await _heartbeats(server, daemon)
                    await _edges(server, daemon)
            finally:
                end(daemon.process)
    more, peak = (resident[True][n] - resident[False][n] for n in (0, 1))
    say(f"| memory that is more than without nodes, 10 s after the list | {more:.0f} MiB, peak {peak:.0f} MiB |")
    await server.stop()


async def _heartbeats(server: ApiServer, daemon: Daemon) -> None:
    """Measure the share of a core while heartbeats come, beside that of doing nothing."""
    idle = cpu(daemon.process.pid)
    await asyncio.sleep(SECONDS / 2)
    idle = (cpu(daemon.process.pid) - idle) / (SECONDS / 2)
    before, began = cpu(daemon.process.pid), time.monotonic()
    for beat in range(RATE * SECONDS):
        server.nodes.heartbeat(f"node-{beat % NODES}")
        await asyncio.sleep(max(0.0, began + (beat + 1) / RATE - time.monotonic()))
    share = (cpu(daemon.process.pid) - before) / (time.monotonic() - began)
    each = (share - idle) / RATE * 1e6
    say(f"| share of a core at {RATE} node lines/s | {share:.2%}, idle {idle:.2%}: {each:.0f} µs a line |")


async def _edges(server: ApiServer, daemon: Daemon) -> None:
    """Write 10,000 updates of 1,000 nodes, 20 of which change a condition."""
    known, before, began = daemon.edges(), cpu(daemon.process.pid), time.monotonic()
    for update in range(10_000):
        name = f"node-{update % 1000}"
        if update % 500 == 7:
            server.nodes.condition(name, "KernelDeadlock", "True", f"DockerHung{update}")
        else:
            server.nodes.heartbeat(name)
        if update % 100 == 0:
            await asyncio.sleep(0)
    while daemon.edges() - known < 20 and time.monotonic() - began < 60:
        await asyncio.sleep(0.2)
    await asyncio.sleep(2)
    seconds = cpu(daemon.process.pid) - before
    say(f"| edges of 10,000 updates with 20 changes | {daemon.edges() - known}, {seconds / 10_000 * 1e6:.0f} µs each |")


def nodes(bench: Bench) -> None:
    """Measure; see the module. The far ends of `bench` are not used."""
    del bench
    asyncio.run(_measure())
