"""Who wrote a field of an object, as the API server notes it (managedFields).

A node's conditions are one list with many writers: kubelet, node lifecycle controller, network plugins, problem
detectors. No condition says whose it is; the API server does, for every field
(https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

__all__ = ["condition_path", "owner"]


class _Manager(msgspec.Struct, gc=False):
    name: str | None = msgspec.field(name="manager", default=None)
    time: str | None = None
    fields: dict[str, Any] | None = msgspec.field(name="fieldsV1", default=None)


_managers = msgspec.json.Decoder(list[_Manager] | None)


def condition_path(type_: str) -> tuple[str, ...]:
    """Return where the status of a condition of this type is found."""
    key = msgspec.json.encode({"type": type_}).decode()
    return "f:status", "f:conditions", f"k:{key}", "f:status"


def owner(fields: msgspec.Raw, path: Sequence[str]) -> str:
    """Return who wrote a field last; empty where nothing says so.

    Args:
        fields: managedFields, encoded.
        path: where the field is in them.
    """
    try:
        managers = _managers.decode(fields) or []
    except (msgspec.MsgspecError, ValueError, RecursionError):  # a hint at most: no reason to lose an edge
        return ""
    # Times are UTC, of one form, so their order is that of their text.
    owners = [(each.time or "", each.name) for each in managers if each.name and _has(each.fields, path)]
    return max(owners)[1] if owners else ""


def _has(fields: Any, path: Sequence[str]) -> bool:
    for name in path:
        if not isinstance(fields, dict) or name not in fields:
            return False
        fields = fields[name]
    return True
