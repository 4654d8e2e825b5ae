"""What a message holds, before a dialect writes it: plain text, in the reader's language and zone.

Nothing here is escaped, and nothing is cut but what no phone would show: both are for the dialects, which differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final, Literal, TypeVar
from urllib.parse import quote

import msgspec

from eventer.alerting.notification import Item, Notification, Why
from eventer.alerting.render.links import LINK, LinkTemplate
from eventer.alerting.render.words import MARKS, SHARED, facts, heading, kept_quiet, left_out, name_of, times, title
from eventer.catalog import Catalog, Condition, Language, Reason, Text, fill, shipped
from eventer.event import Event, Origin
from eventer.match import Rule
from eventer.text import shorten

__all__ = [
    "NAMED",
    "Link",
    "Mention",
    "Mentions",
    "Message",
    "Part",
    "Told",
    "View",
    "compose",
    "event_of",
    "fit",
    "line",
]

NAMED: Final = 10
"""Problems that a message names: a screen of a phone."""
_MESSAGE: Final = 600
"""Bytes of what the event says, where one problem is told."""
_LINE: Final = 120
"""The same, where each problem has one line."""
_TITLE: Final = 200
"""Bytes of a title: a lock screen cuts it long before that."""
_NAME: Final = 253
"""Bytes of a name or a reason; no object's name is longer."""
_TOO_LONG: Final = "With the template a message is too long, which went out in the usual words."

Colour = Literal["critical", "warning", "info", "resolved"]
_T = TypeVar("_T")


class Mentions(msgspec.Struct, frozen=True, kw_only=True):
    """Who is mentioned."""

    users: tuple[str, ...] = ()
    mobiles: tuple[str, ...] = ()
    all: bool = False

    def __bool__(self) -> bool:
        return bool(self.users or self.mobiles or self.all)


class Mention(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to mention where a problem that goes on matches one of the rules; always, without rules."""

    match: Sequence[Rule] = ()
    who: Mentions


class View(msgspec.Struct, frozen=True, kw_only=True):
    """For whom a message is made."""

    language: Language = "en"
    zone: tzinfo = UTC
    catalog: Catalog = msgspec.field(default_factory=shipped)
    links: Mapping[str, LinkTemplate] = {}
    """By what is written on them."""
    mentions: Sequence[Mention] = ()
    own: Own | None = None
    """Puts a message into words of the user's own. It raises ValueError, with a sentence, where it cannot."""


class Link(msgspec.Struct, frozen=True):
    """A link; its address is percent-encoded."""

    name: str
    url: str


class Part(msgspec.Struct, frozen=True):
    """Something that is said, with what stands before it."""

    name: str
    text: str
    code: bool
    """Whether it is to be read, or pasted, character by character."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One problem among several."""

    mark: str
    reason: str
    name: str
    """Of the object, with its kind."""
    times: str
    message: str
    """What the event says; empty where all of them say the same."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """All that a dialect writes, in this order."""

    title: str
    """One line that is enough on a lock screen."""
    colour: Colour
    facts: Sequence[tuple[str, str]] = ()
    """Name and value, the most important first, where one problem is told."""
    problems: Sequence[Told] = ()
    """Those that are named, where there are several."""
    parts: Sequence[Part] = ()
    """What is said of the one problem, or of all of them."""
    rest: Sequence[str] = ()
    """Sentences on what is counted and not named, and on what was kept quiet."""
    links: Sequence[Link] = ()
    mentions: Mentions = Mentions()
    body: str | None = None
    """What stands in place of facts, problems, parts and rest, in the dialect's markup: words of the user's own."""
    html: str | None = None
    """The same as HTML, for a dialect that has both."""
    faults: Sequence[str] = ()
    """Why links, or the user's own words, are missing, for the log."""
    defaulted: bool = False
    """Whether the user's own words are missing, because their template failed."""


Own = Callable[[Notification, Message, Sequence[Item], tzinfo], Message]


def compose(note: Notification, view: View, named: int = NAMED, value: int = _MESSAGE) -> Message:
    """Put a notification into words.

    Args:
        note: what to tell.
        view: for whom.
        named: problems that are named at most.
        value: bytes that any one text of strangers may have.
    """
    items = note.items[:named]
    rest = left_out(note, items, view.language)
    alone = len(items) == 1 and not rest
    over = not note.firing and not note.untracked and note.why not in {Why.SUMMARY, Why.ALIVE}
    same = len({item.message for item in items}) == 1
    faults: list[str] = []
    parts = [_part(key, shorten(said, value), view) for key, said in note.shared.items() if key in SHARED]
    parts += [_part("message", shorten(items[0].message, value), view)] if same else []
    parts = [part for part in parts if part.text]
    links: list[Link] = []
    if items and not over and len({item.family for item in items}) == 1 and value >= _NAME:
        event = event_of(items[0])
        known = view.catalog.of(event)
        parts += _known(known, event, view)
        if alone:
            links = _links(event, view, faults)
        if known is not None and known.runbook.startswith(("https://", "http://")):
            links.append(Link(heading("runbook", view.language), quote(known.runbook, safe=LINK)))
    message = Message(
        title=shorten(title(note, view.language), min(max(value, 64), _TITLE)),
        colour="resolved" if over else note.severity,
        facts=[(word, shorten(said, 2 * value)) for word, said in facts(items[0], view.language, view.zone)]
        if alone
        else [],
        problems=[] if alone else [_told(item, min(_LINE, value), note.group, same=same) for item in items],
        parts=parts,
        rest=[*rest, *kept_quiet(note.quieted, view.language)],
        links=links,
        mentions=_mentions(note, view),
        faults=faults,
    )
    if view.own is None:
        return message
    try:
        return view.own(note, message, [_cut(item, value) for item in items], view.zone)
    except ValueError as error:
        return msgspec.structs.replace(message, faults=[*faults, str(error)], defaulted=True)


def fit(note: Notification, view: View, write: Callable[[Message], _T], fits: Callable[[_T], bool]) -> _T:
    """Write a message as long as the far side takes it: fewer problems named, then shorter texts.

    Words of the user's own that are too long even so give way to the usual ones.

    Args:
        note: what to tell.
        view: for whom.
        write: writes it in one dialect.
        fits: whether the result is short enough. It must be true of a title of 64 bytes alone.

    Raises:
        AssertionError: it is not.
    """
    for message in _shrinking(note, view):
        made = write(message)
        if fits(made):
            return made
    raise AssertionError("a title alone is too long for this dialect")


def _shrinking(note: Notification, view: View) -> Iterator[Message]:
    for named in range(max(1, min(NAMED, len(note.items))), 0, -1):
        yield compose(note, view, named)
    if len(note.items) > 1:
        yield compose(note, view, 3, 100)
    for value in (250, 100, 30) if note.items else ():
        yield compose(note, view, 1, value)
    least = compose(note, view, 0, 64)
    yield least
    if view.own is not None:
        for message in _shrinking(note, msgspec.structs.replace(view, own=None)):
            yield msgspec.structs.replace(message, faults=[*message.faults, _TOO_LONG], defaulted=True)
    yield msgspec.structs.replace(least, rest=(), mentions=Mentions(), body=None)


def _cut(item: Item, value: int) -> Item:
    """Return a problem no text of which is longer than this."""
    return msgspec.structs.replace(
        item,
        message=shorten(item.message, value),
        owner=shorten(item.owner, value),
        name=shorten(item.name, 2 * value),
        namespace=shorten(item.namespace, value),
        reason=shorten(item.reason, value),
    )


def event_of(item: Item) -> Event:
    """Return an event that stands for a problem, for rules, templates and the catalog, which know events."""
    key = f"{item.cluster}/{item.kind}/{item.namespace}/{item.name}"
    return Event(
        id=key,
        time=datetime.fromtimestamp(item.last, UTC),
        cluster=item.cluster,
        origin=Origin.NODE if item.condition else Origin.EVENT,
        type=item.type,
        reason=item.reason,
        message=item.message,
        kind=item.kind,
        namespace=item.namespace,
        name=item.name,
        count=item.count,
        first=datetime.fromtimestamp(item.since, UTC),
        component=item.component,
        node=item.node,
        field_path=f"spec.containers{{{item.container}}}" if item.container else "",
        condition=item.condition,
        status=item.status,
        state="firing" if item.condition else "",
        labels=item.labels,
        entity=key,
        version=0,
        object=key,
        problem=f"{key}/{item.reason}",
    )


def line(told: Told) -> str:
    """Return a problem as one line of plain text, for dialects without markup."""
    said = f": {told.message}" if told.message else ""
    return f"{told.mark} {told.reason} · {told.name}{told.times}{said}"


def _told(item: Item, limit: int, group: Mapping[str, str], *, same: bool) -> Told:
    if "namespace" in group:  # the title says it; without it, a line of a phone is enough
        item = msgspec.structs.replace(item, namespace="")
    return Told(
        mark=MARKS[item.severity if item.ended is None else "resolved"],
        reason=shorten(item.reason, limit),
        name=shorten(name_of(item), 2 * limit),
        times=times(item),
        message="" if same else shorten(item.message, limit),
    )


def _part(word: str, text: str, view: View) -> Part:
    return Part(heading(word, view.language), text, word in {"message", "command"})


def _known(known: Reason | Condition | None, event: Event, view: View) -> list[Part]:
    """Say what the catalog knows: meaning, what to do or else what is likely behind it, and what to look at first."""
    if known is None:
        return []
    text = _text(known, event, view.language)
    said = []
    if text is not None:
        causes = heading("semicolon", view.language).join(text.causes)
        said = [("means", text.means), ("remedy", text.remedy) if text.remedy else ("causes", causes)]
    said.append(("command", fill(known.command, event)))
    return [_part(word, words, view) for word, words in said if words]


def _text(known: Reason | Condition, event: Event, language: Language) -> Text | None:
    unknown = known.unknown if isinstance(known, Condition) and event.status == "Unknown" else None
    said = unknown or known
    return said.zh if language == "zh" else said.en


def _links(event: Event, view: View, faults: list[str]) -> list[Link]:
    found = []
    for name, template in view.links.items():
        try:
            found.append(Link(name, template.of(event)))
        except ValueError as error:
            faults.append(f"The link {name} is missing, its template fails on a problem: {error}.")
    return found


class _Meant:
    """What a problem means: what its events meant when they came, the worst of it."""

    def __init__(self, item: Item) -> None:
        self._meaning = item.severity, item.family

    def meaning(self, event: Event) -> tuple[str, str]:
        """Return severity and family."""
        return self._meaning

    def said(self, event: Event) -> tuple[bool, ...]:
        """Nothing more counts."""
        return ()


def _mentions(note: Notification, view: View) -> Mentions:
    """Say who is mentioned: for problems that go on, and never all of them for a digest."""
    if note.why in {Why.RESOLVED, Why.SUMMARY, Why.ALIVE} or not view.mentions:
        return Mentions()
    going = [(event_of(item), _Meant(item)) for item in note.items if item.ended is None]
    called = [
        each.who
        for each in view.mentions
        if any(not each.match or any(rule.by(meant).matches(event) for rule in each.match) for event, meant in going)
    ]
    return Mentions(
        users=tuple(dict.fromkeys(user for who in called for user in who.users)),
        mobiles=tuple(dict.fromkeys(mobile for who in called for mobile in who.mobiles)),
        all=not (note.folded or note.groups) and any(who.all for who in called),
    )
