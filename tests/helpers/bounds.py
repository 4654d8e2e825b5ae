"""How many messages a person may receive of each incident: what is promised, and played in tests and benches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from eventer.match import Rule
from eventer.sink import GroupConfig, NotifierConfig
from eventer.values import Duration
from tests.helpers import incidents
from tests.helpers.components import Cluster
from tests.helpers.playing import receiver

__all__ = ["ROWS", "TEAM", "Row", "by_team"]


@dataclass(frozen=True)
class Row:
    """One incident, and its bounds for messages that tell of anything but an end."""

    name: str
    play: Callable[[Cluster], Any]
    most: int
    """With look-ups."""
    off: int
    """Without."""
    over: int = 1
    """Messages that tell of nothing but an end."""
    configs: Callable[[bool], Mapping[str, NotifierConfig]] = lambda enrich: {"chat": receiver(enrich=enrich)}
    """The notifiers, with look-ups or without; the bounds are for each of them."""
    per: str = ""
    """As that of `Told`."""
    step: float = 1.0
    """As that of `play`."""


TEAM: Final = "namespace.labels.team"


def by_team(enrich: bool) -> dict[str, NotifierConfig]:
    """Return who tells eight teams of their namespaces: by a label of those, or without look-ups by their names."""
    if enrich:
        return {"chat": receiver(group=GroupConfig(by=["cluster", TEAM, "family"]), limit="18/m")}
    made = {}
    for team in range(8):
        names = [f"ns-{number:02}" for number in range(team, 40, 8)]
        rule = Rule.parse({"severity": ["warning", "critical"], "namespace": names})
        group = GroupConfig(by=["cluster", "family"])
        made[f"team-{team}"] = receiver(match=[rule], group=group, limit="18/m", enrich=False)
    return made


def _normal(cluster: Cluster) -> None:
    incidents.rollout(cluster)
    incidents.scale_down(cluster, begin=1800)
    incidents.drain(cluster, "n9", begin=3600)


def _flapping(every: float, type_: str = "Ready") -> Callable[[Cluster], Any]:
    return lambda cluster: incidents.flapping(cluster, every=every, type_=type_)


INTERVALS: Final = int(3900 // Duration(300)) + 1
"""In an hour and the minutes in which pods go on to wait after it."""

ROWS: Final = {
    "node": Row("a node dies with 1,000 pods", incidents.node_dies, 3, 3),
    "image": Row("a bad image rolled out to 200 pods of one Deployment", incidents.bad_image, 2, 2),
    "crash": Row("one CrashLoop for 6 hours", incidents.crash_loop, 3, 3),
    "pending": Row("one pod without a node for 4 hours", incidents.pending, 3, 3),
    "registry": Row(
        "registry outage over 40 namespaces of 8 teams", incidents.registry_outage, INTERVALS, INTERVALS, 1, by_team, TEAM, 10.0
    ),
    "flapping": Row("a node flapping every 2 minutes for an hour", _flapping(120), 2, 2),
    "flapping slowly": Row("a node flapping every 11 minutes for an hour", _flapping(660), 2, 2, over=2),
    "pressure": Row("memory pressure flapping every 5 minutes for an hour", _flapping(330, "MemoryPressure"), 2, 2),
    "normal": Row("normal rollout, scale-down and drain", _normal, 0, 0, over=0),
    "upgrade": Row("upgrade of three nodes", incidents.upgrade, 0, 0, over=0),
    "history": Row("first install on a cluster with an hour of old events", incidents.history, 1, 1, over=0),
}  # fmt: skip
