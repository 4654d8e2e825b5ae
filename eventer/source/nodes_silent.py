"""Which conditions of a Node nobody renews any more: whoever writes them has fallen silent, though the Node lives.

A problem detector that is down changes nothing: its conditions stand as it left them, good or bad, and nobody is told
when the disk fills up. Its heartbeats stop, and those of the kubelet go on, so any line of the Node shows it by two
times that the same object holds: no clock of ours is asked, nothing need be kept from line to line, and a list shows
it as well as a watch. The times are compared as the text that the API server writes them in, which is UTC and has one
length, so that their order is that of the text: a line with nothing to tell costs a look at each condition.

Nothing new is said of a Node that is not ready, or has not been for long: its detector is down with it, or has not
come up yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from eventer.catalog import condition
from eventer.source.nodes_shapes import Condition

__all__ = ["SILENT_AFTER", "Silence", "silence_of"]

SILENT_AFTER: Final = timedelta(minutes=15)
"""Three heartbeats of node-problem-detector (`--k8s-exporter-heartbeat-period`, five minutes,
https://github.com/kubernetes/node-problem-detector, cmd/options) and of the kubelet (`nodeStatusReportFrequency`,
https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/). Up to a minute more, for only whole minutes
are compared."""
_RENEWED: Final = timedelta(minutes=1)
"""A heartbeat that comes later than this after the transition was a write of its own: the type is one that is renewed.
Those who write only what changes note both times at once, in an object that takes them some tries to get through."""
_MINUTE: Final = len("2026-01-02T03:04")


class Silence(NamedTuple):
    """What the heartbeats of a Node say of those who write its conditions."""

    conditions: list[Condition] | None
    """Those that were renewed once, and are not any more; None where there is no kubelet to compare with."""
    sure: bool
    """Whether the Node has been ready for so long that their writers should have been heard of."""


def silence_of(conditions: Sequence[Condition]) -> Silence:
    """Find the conditions of a Node that are not renewed any more."""
    for each in conditions:
        if each.type == "Ready":
            ready = each
            break
    else:
        return Silence(None, sure=False)
    late = _before((ready.heartbeat or "")[:_MINUTE], SILENT_AFTER)
    if not late:
        return Silence(None, sure=False)
    found = [each for each in conditions if (at := each.heartbeat) and at < late and _renewed(each, at)]
    return Silence(found, sure=ready.status == "True" and (ready.since or late) < late)


def _renewed(each: Condition, at: str) -> bool:
    """Whether its writer does so while nothing changes, as far as its times and the catalog tell."""
    since = each.since
    if not since or since == at or since >= _before(at[:_MINUTE], _RENEWED):
        return False
    return condition(each.type or "").renewed


@lru_cache(maxsize=256)
def _before(minute: str, span: timedelta) -> str:
    """Return the minute that lies so long before; empty, before which there is none, where it is no time."""
    try:
        return (datetime.fromisoformat(minute) - span).isoformat(timespec="minutes")
    except (ValueError, OverflowError):
        return ""
