"""What the place of the journal is worth: said at the start, and made up for by the mirror where it can be."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec
import structlog

from eventer.alerting.state import State as Remembered
from eventer.app.reading import NODES, key_of
from eventer.config.types import Config, State
from eventer.control.view import View
from eventer.errors import ConfigError, Fault
from eventer.journal import files
from eventer.mirror import KEY, Mirror
from eventer.source.configmap import ConfigMapKey, own_namespace
from eventer.source.kube import Cluster

__all__ = ["mirrored", "resume", "tell"]

BESIDE: Final = 14 << 20
"""Bytes that the journal needs beside what waits: its log, its reserve, and the ledger."""

log = structlog.get_logger()


def tell(state: State, directory: Path) -> None:
    """Say in the log what a journal in memory does not promise, and whether there is room for what it may hold."""
    if not (state.path.memory or files.in_memory(directory)):
        return
    lost = "what waits for sinks is lost, and what the clusters still hold is exported again"
    if state.mirror is not None:
        lost = "dead letters are lost, and what waits for a sink as far as its cluster does not hold it any more"
    log.warning("the journal is in memory", promise=f"When the pod or the machine goes, {lost}.", state=state.path)
    room = files.capacity(directory)
    fits = max(16, (room - BESIDE) // 2 >> 20)
    if state.max_size > fits << 20:
        why = (
            "When it is full, reading waits until sinks have caught up. With a smaller max_size the sink that lags "
            "most lets go of its oldest events instead."
        )
        log.warning("state.max_size is more than there is room for", why=why, max_size=state.max_size, fits=fits << 20)


@contextlib.asynccontextmanager
async def mirrored(view: View) -> AsyncIterator[Mirror | None]:
    """Make the mirror that the configuration asks for. Nothing is sent yet.

    Raises:
        ConfigError: there is no API server to keep it.
    """
    state = view.state
    if state.mirror is None:
        yield None
        return
    namespace = state.mirror.namespace or own_namespace()
    try:
        cluster = await Cluster.connect()
    except ConfigError as error:
        message = f"{error.faults[0].message.rstrip('.')}. The ConfigMap is kept by the cluster of the pod"
        remedy = "run Eventer in a pod, or set KUBECONFIG"
        raise ConfigError([Fault(path="state.mirror", message=message, remedy=remedy)]) from None
    try:
        mirror = Mirror(ConfigMapKey(cluster, namespace, state.mirror.configmap, KEY), view.journal, view.clock)
        view.mirror = mirror.status
        yield mirror
    finally:
        await cluster.close()


async def resume(mirror: Mirror, config: Config, directory: Path, stop: asyncio.Event) -> bool:
    """Begin from the mirror, if the journal is new.

    Returns:
        False if it was told to stop before that was decided. Then nothing may be read.

    Raises:
        JournalError: it could not be stored.
    """
    sinks = {name: sink.start == "head" for name, sink in config.sinks.items()}
    scopes = [
        (source.cluster, key_of("", namespace, source.kubernetes.field_selector).scope)
        for source in config.sources
        for namespace in source.kubernetes.namespaces
        or (None if source.kubernetes.namespace_selector is None else "*",)
    ]
    scopes += [(source.cluster, NODES) for source in config.sources if source.kubernetes.reads_nodes]
    notifiers = {name for name, sink in config.sinks.items() if sink.notifies is not None}
    resuming = asyncio.ensure_future(mirror.resume(sinks, scopes, notifiers, _readable))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([resuming, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not resuming.done():
            return False
        if not resuming.result():
            files.doubt(directory)
        return True
    finally:
        resuming.cancel()
        stopping.cancel()


def _readable(state: bytes) -> bool:
    """Whether alerting understands what it is said to have remembered."""
    try:
        msgspec.json.decode(zlib.decompress(state), type=Remembered)
    except (zlib.error, ValueError, RecursionError):
        return False
    return True
