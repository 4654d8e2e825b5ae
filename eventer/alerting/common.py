"""What problems that are told together have in common beyond their group: where to look first.

Twelve nodes of one zone are a zone that fails, forty pods of one Deployment are its last rollout.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from eventer.alerting.state import Problem

__all__ = ["COMMON", "in_common"]

COMMON: Final = ("owner", "node", "zone", "pool")
"""What is looked at; each is known only where it was looked up, but for the node of an Event by a kubelet."""


def in_common(problems: Iterable[Problem]) -> dict[str, str]:
    """Return what all of several problems share, in the order of `COMMON`.

    What is not known of one of them is shared by none: the sentence must be true of all. Problems of one object have
    nothing in common that their names do not say.
    """
    objects = set()
    values: dict[str, set[str]] = {field: set() for field in COMMON}
    for problem in problems:
        objects.add(problem.object)
        values["owner"].add(problem.owner)
        values["node"].add(problem.node)
        values["zone"].add(problem.about.node.zone)
        values["pool"].add(problem.about.node.pool)
    if len(objects) < 2:
        return {}
    return {field: found.pop() for field, found in values.items() if len(found) == 1 and "" not in found}
