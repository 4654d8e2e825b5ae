"""Watch lines made by hand, for tests of the decoder."""

from __future__ import annotations

import json
from typing import Any

from eventer.event import Event
from eventer.source.wire import Api, Decoder


def decoder(api: Api = "core", epoch: int = 0) -> Decoder:
    return Decoder(api, "prod", epoch, {"region": "north"})


def obj(**fields: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "web-0.17",
            "namespace": "shop",
            "uid": "u1",
            "resourceVersion": "42",
            "creationTimestamp": "2026-01-02T03:04:05Z",
            **fields.pop("metadata", {}),
        },
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-0"},
        **fields,
    }


def line(type_: str = "ADDED", **fields: Any) -> bytes:
    return json.dumps({"type": type_, "object": obj(**fields)}).encode() + b"\n"


def one(**fields: Any) -> Event:
    block = decoder().block(line(**fields))
    assert not block.arrivals.poison
    (event,) = block.arrivals.events
    return event
