"""What a stream reads: Events of all namespaces or of one, or Nodes. All that `watch` need not know of either."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeAlias
from urllib.parse import quote

import msgspec

from eventer.source.envelope import Envelope
from eventer.source.nodes import NodeDecoder
from eventer.source.wire import Api, Decoder

__all__ = ["Subject", "events", "nodes"]

Clockwork: TypeAlias = Callable[[], datetime]
"""Tells the API server's time."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What of a cluster is read."""

    what: str
    """The resource, as roles name it."""
    path: str
    """Where the API has it."""
    selection: Mapping[str, str]
    """Parameters by which the server is asked for less than all."""
    where: Mapping[str, str]
    """Cluster and, if only one is read, namespace: for records and the log."""
    decoder: Callable[[int, Clockwork], Envelope]
    """Makes a decoder for an epoch of the cluster."""


def events(cluster: str, labels: Mapping[str, str], *, namespace: str | None, api: Api, selector: str = "") -> Subject:
    """Return the Events of a cluster.

    Args:
        cluster: the name that goes into events.
        labels: static labels on every event.
        namespace: the only one that is read; None for all.
        api: which of the two API groups is read. They show the same objects: never read both.
        selector: field selector with which the server is asked; empty for everything.
    """
    group = "/api/v1" if api == "core" else "/apis/events.k8s.io/v1"
    scope = "" if namespace is None else f"/namespaces/{quote(namespace, safe='')}"
    return Subject(
        what="events",
        path=f"{group}{scope}/events",
        selection={"fieldSelector": selector} if selector else {},
        where={"cluster": cluster} | ({"namespace": namespace} if namespace is not None else {}),
        decoder=lambda epoch, _: Decoder(api, cluster, epoch, labels),
    )


def nodes(cluster: str, labels: Mapping[str, str]) -> Subject:
    """Return the Nodes of a cluster; `cluster` and `labels` as those of `events`."""
    return Subject(
        what="nodes",
        path="/api/v1/nodes",
        selection={},
        where={"cluster": cluster, "what": "nodes"},
        decoder=lambda epoch, now: NodeDecoder(cluster, epoch, labels, now),
    )
