"""Events as CloudEvents 1.0, over HTTP in each of its three modes.

The attributes are what brokers filter and route by; `data` is the event itself, as every other sink
gets it. Attributes may hold no control characters, the data keeps them.

- https://github.com/cloudevents/spec/blob/main/cloudevents/spec.md
- https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md
- https://github.com/cloudevents/spec/blob/main/cloudevents/formats/json-format.md
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

import msgspec

__all__ = ["BATCH_TYPE", "TYPE", "Head", "attributes", "headers", "structured"]

TYPE: Final = "application/cloudevents+json"
BATCH_TYPE: Final = "application/cloudevents-batch+json"


class Head(msgspec.Struct):
    """The fields of an event's line that become attributes; the rest is never decoded."""

    id: str
    time: str
    cluster: str
    origin: str
    type: str
    reason: str
    kind: str
    namespace: str
    name: str
    object: str


_PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))
_SAFE: Final = _PRINTABLE.replace('"', "").replace("%", "")
"""What a header carries as it is; everything else is percent-encoded (HTTP binding, 3.1.3.2)."""
_NOT_IN_TEXT: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""What no attribute may hold (specification, type String)."""


def attributes(head: Head) -> dict[str, str]:
    """Return the attributes of an event. What is empty is left out, as the specification wants."""
    found = {
        "specversion": "1.0",
        "id": head.id,
        "source": f"/clusters/{quote(head.cluster, safe='')}",
        # The project owns no domain that could stand in front.
        "type": f"eventer.{head.origin}.v1",
        "subject": "/".join(filter(None, (head.kind, head.namespace, head.name))),
        "time": head.time,
        "datacontenttype": "application/json",
        "partitionkey": head.object,
        "eventtype": head.type,
        "reason": head.reason,
        "namespace": head.namespace,
    }
    return {name: _NOT_IN_TEXT.sub("\ufffd", value) for name, value in found.items() if value}


def headers(head: Head) -> dict[str, str]:
    """Return the headers of one event in binary mode; the body is its data."""
    found = attributes(head)
    kind = found.pop("datacontenttype")
    return {"Content-Type": kind} | {f"ce-{name}": quote(value, safe=_SAFE) for name, value in found.items()}


def structured(head: Head, data: bytes) -> bytes:
    """Return one event with its data, as JSON."""
    return msgspec.json.encode(attributes(head) | {"data": msgspec.Raw(data)})
