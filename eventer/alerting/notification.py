"""What is told: the one model that every dialect of every notifier is made from."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from eventer.catalog import Severity

__all__ = [
    "FOLDED", "ITEMS", "REASONS", "SAID",
    "Item", "Notification", "Quieted", "Said", "Why", "decode", "encode", "part", "rank", "worst",
]  # fmt: skip

ITEMS: Final = 20
"""Problems that a notification names; of the others it tells the number. No screen of a phone holds more."""
FOLDED: Final = 200
"""Problems that a digest names, about 1 KiB each: not for people, but for a far side that takes each by itself
(Alertmanager). What it leaves out, and goes on, is told with the next word of its group."""
REASONS: Final = 10
"""Reasons of which a notification tells how many problems there are."""
SAID: Final = 2_000
"""Groups whose last word a digest keeps, about 150 bytes each."""

_RANK: Final[dict[Severity, int]] = {"critical": 0, "warning": 1, "info": 2}


class Why(StrEnum):
    """Why a group speaks, or does not: each decision has a name, for people and for metrics."""

    FIRST = "first"
    """The group was never told of, and its wait is over."""
    NEW = "new"
    """A problem came that was in no message yet."""
    RESOLVED = "resolved"
    """All of its problems are over."""
    REPEAT = "repeat"
    """Nothing is new, and it has gone on for so long that it may have been forgotten."""
    SUMMARY = "summary"
    """Events that were old when they were seen first: told once, by number."""
    DIGEST = "digest"
    """Several notifications had to wait for a limit of the far side, and go as one."""
    QUOTA = "quota"
    """Several groups share what is left of a quota, and go as one."""
    ALIVE = "alive"
    """Nothing else: that alerting works is told at an interval, so that its silence means something."""
    WAITS = "waits"
    """It will speak, but not yet."""
    NOTHING = "nothing"
    """All that there is to say was said."""


class Quieted(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """What is not told because it follows from what is, since that began."""

    problems: int
    objects: int
    """That these problems are about."""
    pods: int = 0
    """How many of the objects are pods."""
    more: bool = False
    """Whether there were more than could be remembered."""

    def __add__(self, other: Quieted) -> Quieted:
        """Return both together; they must have no problem in common."""
        return Quieted(
            problems=self.problems + other.problems,
            objects=self.objects + other.objects,
            pods=self.pods + other.pods,
            more=self.more or other.more,
        )


class Item(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """One problem, as it is told."""

    cluster: str
    kind: str
    namespace: str = ""
    name: str
    container: str = ""
    node: str = ""
    owner: str = ""
    """Kind and name of what it belongs to at the top, such as `Deployment web`; empty where nobody looked it up."""
    component: str = ""
    """Who reported it."""
    type: str = "Warning"
    """Of the Event that it began with."""
    condition: str = ""
    """Type of the node condition that it tells of, if it tells of one; so is `status`."""
    status: str = ""
    labels: dict[str, str] = {}
    """Static labels of the source."""
    reason: str
    severity: Severity
    family: str
    message: str = ""
    count: int
    """Occurrences since it began."""
    since: float
    """When it began, seconds since 1970."""
    last: float
    """When it was last seen to be so, seconds since 1970."""
    ended: float | None = None
    """When it was over, seconds since 1970; None while it is not."""
    ended_by: str = ""
    """Reason of the event that told its end, or `Deleted`; empty where nothing more was heard."""
    returns: int = 0
    """How often it seemed to be over and was not."""
    quieted: Quieted | None = None
    """What it kept quiet; None if that is nothing."""


class Said(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """What one group said last, in a notification that stands for several."""

    group: dict[str, str]
    severity: Severity
    firing: int = 0
    """Problems that go on, and events of those that are not followed; 0 where all is over."""


class Notification(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """One message, before it is put into any dialect."""

    number: int
    """Counts the notifications of one notifier from 1; with its name it is the identity."""
    why: Why
    at: float
    """When it was decided on, seconds since 1970."""
    group: dict[str, str]
    """What its problems have in common: field and value, in the order of `by`. Empty where groups are too many."""
    severity: Severity
    """The worst of what goes on; `info` where all is over."""
    items: list[Item] = []
    """The worst first: `ITEMS` at most, of a digest `FOLDED`."""
    firing: int = 0
    """Problems that go on."""
    resolved: int = 0
    """Problems that are over since the last message."""
    unnamed: int = 0
    """Problems that are counted above and not among the items."""
    reasons: dict[str, int] = {}
    """How many of the problems that go on have which reason; of a summary, how many events."""
    events: int
    """Events that this message stands for. Over all messages they sum to what is `represented` in the books."""
    untracked: int = 0
    """Events among them whose problems were too many to be followed one by one."""
    folded: int = 0
    """Notifications that a digest stands for; 0 for any other."""
    said: list[Said] = []
    """Where several groups are told together: what each said last, those that are over first, for a far side that keeps
    something open for each. Beyond `SAID` groups some of those that go on are missing: they speak again."""
    shared: dict[str, str] = {}
    """What all of its problems that go on have in common beyond the group, as far as look-ups know: `owner`, or
    `node`, `zone` and `pool`. Empty for a single problem."""
    groups: int = 0
    """Groups that are told together because of a quota; 0 where it is one."""
    quieted: Quieted | None = None
    """What all of its problems kept quiet, named or not; None if that is nothing."""

    @property
    def goes_on(self) -> bool:
        """Whether anything goes on of what its group told, followed one by one or not."""
        if self.firing or self.untracked:
            return True
        return self.why is Why.REPEAT or (self.why is not Why.RESOLVED and self.severity != "info")


def worst(severities: list[Severity]) -> Severity:
    """Return the worst of these; `info` if there is none."""
    return min(severities, key=_RANK.__getitem__, default="info")


def rank(severity: Severity) -> int:
    """Return the place in an order that begins with the worst."""
    return _RANK[severity]


def part(note: Notification, **changes: Any) -> Notification:
    """Return what a notification tells of some of its problems: without what it says of all of them together.

    Args:
        note: the whole.
        changes: fields that are known of the part.
    """
    without: dict[str, Any] = {
        "unnamed": 0, "reasons": {}, "untracked": 0, "folded": 0, "said": [], "shared": {}, "groups": 0,
    }  # fmt: skip
    return msgspec.structs.replace(note, **without, **changes)


def encode(note: Notification) -> bytes:
    """Return a notification as the journal keeps it and a notifier gets it: one line of JSON, without line break."""
    return msgspec.json.encode(note)


_decode = msgspec.json.Decoder(Notification).decode


def decode(line: bytes) -> Notification:
    """Return the notification of a line.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return _decode(line)
