"""What problems keep quiet, by number, for who is told of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from eventer.alerting.notification import Quieted

__all__ = ["quieted", "quieted_by"]


class _Keeps(Protocol):
    """What is asked of a problem; see `eventer.alerting.state.Problem`."""

    quieted: dict[str, dict[str, int]]
    quieted_more: bool


def quieted(problems: Iterable[_Keeps]) -> Quieted | None:
    """Return what several problems kept quiet, each once: a pod can follow from one, and then from another.

    Returns:
        None if that is nothing.
    """
    problems = [problem for problem in problems if problem.quieted or problem.quieted_more]
    if not problems:
        return None
    kept: dict[str, dict[str, int]] = {}
    for problem in problems:
        for kind, keys in problem.quieted.items():
            kept.setdefault(kind, {}).update(keys)
    objects = {kind: len({key[:length] for key, length in keys.items()}) for kind, keys in kept.items()}
    more = sum(problem.quieted_more for problem in problems)  # at least one more, each
    return Quieted(
        problems=sum(map(len, kept.values())) + more,
        objects=max(1, sum(objects.values())),
        pods=objects.get("Pod", 0),
        more=more > 0,
    )


class _Problem(msgspec.Struct):
    """Of what alerting remembers, what is of use here."""

    object: str
    quieted: dict[str, dict[str, int]] = {}
    quieted_more: bool = False


class _Group(msgspec.Struct):
    problems: dict[str, _Problem] = {}


class _State(msgspec.Struct):
    groups: dict[str, _Group] = {}


def quieted_by(stored: bytes) -> dict[str, Quieted]:
    """Return what the problems of objects keep quiet, by object (as `Event.object`).

    Args:
        stored: what a notifier's alerting remembers.

    Raises:
        msgspec.MsgspecError: it cannot be read.
    """
    of_object: dict[str, list[_Problem]] = {}
    for group in msgspec.json.decode(stored, type=_State).groups.values():
        for problem in group.problems.values():
            of_object.setdefault(problem.object, []).append(problem)
    found = {about: quieted(problems) for about, problems in of_object.items()}
    return {about: each for about, each in found.items() if each is not None}
