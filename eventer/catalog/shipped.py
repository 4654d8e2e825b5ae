"""The data that comes with Eventer, read once and only when somebody asks.

JSON, because it is read in a few milliseconds and checked while it is read; `eventer run` does not read it
unless a rule names `severity` or `family`, or something alerts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from eventer.catalog.types import Condition, Family, Reason

__all__ = ["conditions", "families", "reasons"]

REASONS: Final = ("pods", "workloads", "storage", "network", "nodes", "problems", "operators", "eventer")
"""Files of reasons, by what they are about."""


@cache
def families() -> Mapping[str, Family]:
    """Return the families by name."""
    return msgspec.json.decode(_bytes("families"), type=dict[str, Family])


@cache
def reasons() -> Mapping[str, Sequence[Reason]]:
    """Return what each reason can mean, in the order in which that is tried."""
    found: dict[str, list[Reason]] = {}
    for file in REASONS:
        for entry in msgspec.json.decode(_bytes(file), type=list[Reason]):
            for name in entry.names:
                found.setdefault(name, []).append(entry)
    return found


@cache
def conditions() -> Mapping[str, Condition]:
    """Return the conditions of Nodes by their type."""
    entries = msgspec.json.decode(_bytes("conditions"), type=list[Condition])
    return {name: entry for entry in entries for name in entry.names}


def _bytes(name: str) -> bytes:
    return files("eventer.catalog").joinpath("data", f"{name}.json").read_bytes()
