"""Several notifications as one, where the far side takes no more messages: nothing is left out of the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec

from eventer.alerting.notification import (
    FOLDED,
    REASONS,
    SAID,
    Item,
    Notification,
    Quieted,
    Said,
    Why,
    decode,
    encode,
    rank,
    worst,
)

__all__ = ["fold", "fold_lines"]


def fold(notes: Sequence[Notification]) -> Notification:
    """Return one notification that stands for several.

    Of a group that speaks more than once in it, the last word on what goes on counts; what was over in between
    stays over, and events add up. Those of a summary are not followed one by one.

    Args:
        notes: of one notifier, in order; at least one. A single one is returned as it is.
    """
    if len(notes) == 1:
        return notes[0]
    last = {tuple(note.group.items()): note for note in notes if note.why is not Why.SUMMARY}
    over = {_key(item): item for note in notes for item in note.items if item.ended is not None}
    items = over | {_key(item): item for note in last.values() for item in note.items}
    groups = [note.group for note in last.values()]
    common = groups[0].items() if groups else ()
    firing = sum(note.firing for note in last.values())
    resolved = sum(note.resolved for note in notes)
    named = sorted(items.values(), key=lambda item: (item.ended is not None, rank(item.severity)))[:FOLDED]
    reasons: Counter[str] = Counter()
    for note in last.values():
        reasons.update(note.reasons)
    return Notification(
        number=notes[-1].number,
        why=Why.DIGEST,
        at=notes[-1].at,
        group={field: value for field, value in common if all(group.get(field) == value for group in groups)},
        severity=worst([note.severity for note in last.values()]),
        items=named,
        firing=firing,
        resolved=resolved,
        unnamed=max(0, firing + resolved - len(named)),
        reasons=dict(reasons.most_common(REASONS)),
        events=sum(note.events for note in notes),
        untracked=sum(note.events if note.why is Why.SUMMARY else note.untracked for note in notes),
        folded=sum(note.folded or 1 for note in notes),
        said=_said(notes),
        quieted=_quieted(last.values(), over),
    )


def fold_lines(lines: Sequence[bytes]) -> bytes:
    """Return one encoded notification that stands for several.

    Raises:
        ValueError: one of them cannot be read.
    """
    try:
        return encode(fold([decode(line) for line in lines]))
    except msgspec.MsgspecError as error:
        raise ValueError(f"A stored notification cannot be read: {error}") from error


def _quieted(last: Collection[Notification], over: Mapping[tuple[str, ...], Item]) -> Quieted | None:
    """Return what was kept quiet: as each group said last, and by what was over before that."""
    named = {_key(item) for note in last for item in note.items}
    found = [note.quieted for note in last] + [item.quieted for key, item in over.items() if key not in named]
    total: Quieted | None = None
    for each in filter(None, found):
        total = each if total is None else total + each
    return total


def _said(notes: Sequence[Notification]) -> list[Said]:
    """Return what each group said last. Of those that are over nobody will speak again, so none of them is left out."""
    last: dict[tuple[tuple[str, str], ...], Said] = {}
    for note in notes:
        if note.why in {Why.SUMMARY, Why.ALIVE}:
            continue
        going = note.firing + note.untracked or int(note.goes_on)
        own = Said(group=note.group, severity=note.severity, firing=going)
        for said in note.said if note.folded or note.groups else [own]:
            last[tuple(said.group.items())] = said
    return sorted(last.values(), key=lambda said: said.firing > 0)[:SAID]


def _key(item: Item) -> tuple[str, ...]:
    return item.cluster, item.kind, item.namespace, item.name, item.container, item.family
