"""What a sink is: the contract, and how a sink is found by its `kind`.

A sink only sends, and says what failed. Batching, retry, limits, dead letters, metrics and the
logging of sends are the runner's (`eventer.delivery`), once, for all sinks.

A module `sinks/<kind>.py`, or an entry point `<kind>` in the group `eventer.sinks.v1`, holds

- `Config`, a subclass of `SinkConfig`: the options, with a docstring under each;
- `Sink`, made as `Sink(config, context)`: has the three methods of the `Sink` protocol below.

A sink MUST
 1. import its client library in `open`, not at the top of the module, unless the ground floor or
    `sinks._http` brings it;
 2. raise `Retry`, `Rejected` or `Blocked` for every way in which sending can fail, and let nothing
    else out of `send`; read the body where the far side hides errors in a success; a notifier says
    by `Retry.unknown` where its message may have got through all the same;
 3. return from `send` only when the far side has confirmed (a file: fsync);
 4. name single failed items in `Sent.failed` where the protocol tells them apart. What may go later
    is sent again, behind what was delivered: unless the far side itself knows older states from newer
    ones (`Event.version`), also name the later items of the same entity;
 5. be safe to call again with the same batch;
 6. never log, sleep, retry or count; never put an address with credentials, a header or a secret
    into a message;
 7. give up when cancelled, leaving nothing half-open after `close`.

A *notifier* is a sink that is sent notifications, by `SinkConfig.notifies`: `Config` is a subclass of `NotifierConfig`.
Each batch is one notification: `eventer.alerting.notification.decode(batch.lines[0])`. What must go at once and may
not, because of `limit` or because the far side was away, comes as one that stands for several.

A sink MAY have `bears`, an `eventer.allowance.Bears`: how many requests its far side bears now, where that is counted
whoever sends, and a restart is no excuse. `SinkContext.allowances` has it, and `Allowance.take` comes before each
request.

A sink MAY have `async def probe(self) -> str`, which `eventer check --probe` calls in place of all else: it finds
out whether events would be taken, sends none, and says in a sentence what it found, or raises as `send` does.

A notifier that writes messages for people MAY have `def preview(self, note)`, for `eventer preview --sink`: it returns
the `eventer.alerting.render.message.Message` that it makes of a notification, and the body of the request with it.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from types import ModuleType
from typing import Annotated, ClassVar, Final, Literal, Protocol

import msgspec
from msgspec import Meta

from eventer.allowance import Allowances
from eventer.catalog import Catalog, shipped
from eventer.clock import Clock
from eventer.errors import ConfigError, Fault, SinkError
from eventer.event import Event, decode_lines
from eventer.group import LOOKED as LOOKED_FOR_GROUPS
from eventer.group import GroupConfig
from eventer.match import LOOKED, Rule
from eventer.values import Duration, Rate, Repeats, Size

__all__ = [
    "GROUP",
    "Batch",
    "BatchConfig",
    "ConcurrentSinkConfig",
    "Enrich",
    "GroupConfig",
    "NotifierConfig",
    "Sent",
    "Sink",
    "SinkConfig",
    "SinkContext",
    "kinds",
    "load",
]

GROUP: Final = "eventer.sinks.v1"
"""Entry-point group of sinks by third parties. The number is the contract's: a plug-in made for
another contract is not loaded by mistake."""


class BatchConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How many events go in one send."""

    count: Annotated[int, Meta(ge=1, le=10_000)] = 2000
    """Most events in one send."""
    bytes: Size = Size(1 << 20)
    """Most bytes of encoded events in one send; a single larger event still goes alone."""
    age: Duration = Duration(0)
    """How long the first event may wait for company. With 0s a send takes what has arrived since
    the last one began, which under load fills batches by itself."""


class SinkConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Options that every sink has. Subclass it per kind."""

    keeps_state: ClassVar[bool] = False
    """Whether `open` or `send` return a state, so that the far side and the journal belong together: no
    other process may open such a sink, `eventer test-send` among them."""
    kind: str
    """Which sink: the name of a module in `sinks/`."""
    match: list[Rule] = []
    """Which events go to this sink: those that any of the rules matches; all, without rules."""
    enrich: Annotated[
        list[Literal["pod", "owner", "namespace", "node", "logs"]], Meta(examples=["[owner, namespace]"])
    ] = []
    """What is looked up at the API server for the events of this sink, and sent with them as `about`: of a
    `pod` its node, phase, labels and chosen annotations; the `owner` at the top, such as the Deployment; the
    labels of the `namespace`; labels, zone and pool of the `node`; the last lines of a container's `logs`. How,
    and for how long at most, stands under `lookups`. What is not known in time goes out without it, marked."""
    start: Literal["head", "oldest"] = msgspec.field(default="head", name="from")
    """Where a sink that is added later begins: `head`, with what comes next, or `oldest`, with everything
    that the journal still holds: what waits for other sinks, and what `state.keep` keeps. At the daemon's
    first start both are the same."""
    batch: BatchConfig = msgspec.field(default_factory=BatchConfig)
    """Size of one send."""
    repeats: Repeats = Repeats()
    """What of an Event that is updated again and again is sent: `all` updates; only `changes`, which
    leaves out those that move count and times alone; or, with a duration such as `5m`, the first state
    at once and then the latest at most once in that time. What a newer update replaces or `changes`
    leaves out counts as coalesced. A restart forgets what was sent: the next update goes at once."""
    limit: Rate | None = None
    """Most sends in a time, such as `20/m`; what waits goes together with the next send."""
    timeout: Duration = Duration(15)
    """Most time for one send, answer included. After it the outcome is unknown, and the send is
    repeated; where a sink has `on_unknown`, that decides."""

    @property
    def notifies(self) -> GroupConfig | None:
        """How notifications are made for it of the events that match; None where it is sent the events."""
        return None

    @property
    def keeps_open(self) -> bool:
        """Whether what is told stays open at the far side until its end is told: a program reads it, not a person."""
        return False

    @property
    def repeats_unknown(self) -> bool:
        """Whether what the far side may have taken, though no answer tells, is sent again."""
        return True

    def __post_init__(self) -> None:
        """Refuse what would make every send fail, and what says nothing where it stands."""
        if self.timeout <= 0:
            raise ValueError("timeout: a send needs some time; write for example 15s")
        if self.notifies is not None:
            for option, default in (("batch", BatchConfig()), ("repeats", Repeats())):
                if getattr(self, option) != default:
                    raise ValueError(
                        f"{option}: it is about events, and this sink is sent notifications; leave it out, `group` "
                        "says how they are made"
                    )
        needed = [
            (f"{path}.{field}", field, LOOKED[field])
            for path, rule in [
                *((f"match[{index}]", rule) for index, rule in enumerate(self.match)),
                *(self.notifies.rules if self.notifies is not None else ()),
            ]
            for field in rule.needs
        ]
        if self.notifies is not None:
            needed += [("group.by", field, LOOKED_FOR_GROUPS[found[0]]) for field, found in self.notifies.looked_up]
        wanted = ", ".join(dict.fromkeys([*self.enrich, *(what for _, _, what in needed)]))
        faults = [
            Fault(
                path=path,
                message=f"{field} is only known where it is looked up",
                remedy=f"write enrich: [{wanted}] in the sink",
            )
            for path, field, what in needed
            if what not in self.enrich
        ]
        if faults:
            raise ConfigError(faults)


class ConcurrentSinkConfig(SinkConfig, kw_only=True, forbid_unknown_fields=True):
    """Options of a sink whose sends may overlap. They must share no state, and `Sent.state` stays None."""

    in_flight: Annotated[int, Meta(ge=1, le=32)] = 1
    """How many sends may be under way at once. Updates of one Event keep their order in any case;
    with more than 1, different Events may overtake each other."""


class NotifierConfig(SinkConfig, kw_only=True, forbid_unknown_fields=True):
    """Options of a sink that is sent notifications: of problems, grouped, once each."""

    match: list[Rule] = []
    """Which events may begin a problem that is told: those that any of the rules matches; without rules, those
    whose severity is warning or critical (docs/catalog.md)."""
    group: GroupConfig = msgspec.field(default_factory=GroupConfig)
    """Which problems are told together, and when."""

    @property
    def notifies(self) -> GroupConfig:
        """How notifications are made."""
        return self.group


class Batch:
    """Events for one send: encoded lines always, decoded records when asked for.

    `lines[i]` is the JSON of one event without line break; `events[i]` is the same event. A sink
    that sends lines as they are never pays for decoding.
    """

    __slots__ = ("_events", "lines")

    def __init__(self, lines: Sequence[bytes], events: Sequence[Event] | None = None) -> None:
        self.lines = lines
        self._events = events

    @property
    def events(self) -> Sequence[Event]:
        """The decoded records, decoded at the first use."""
        if self._events is None:
            self._events = decode_lines(list(self.lines))
        return self._events

    @property
    def size(self) -> int:
        """Bytes of the lines."""
        return sum(map(len, self.lines))

    def __len__(self) -> int:
        return len(self.lines)

    def part(self, start: int, stop: int) -> Batch:
        """Return items [start, stop) as a batch."""
        events = None if self._events is None else self._events[start:stop]
        return Batch(self.lines[start:stop], events)

    def pick(self, indexes: Sequence[int]) -> Batch:
        """Return the items at these indexes, in this order, as a batch."""
        events = None if self._events is None else [self._events[i] for i in indexes]
        return Batch([self.lines[i] for i in indexes], events)


class Enrich(Protocol):
    """Looks up, for one sink, what is to be known about the objects of events."""

    async def __call__(self, batch: Batch) -> Batch:
        """Return the batch with `Event.about` in its lines and events, within its time box. Raises nothing."""
        ...

    def count(self, batch: Batch) -> None:
        """Count how the look-ups for a batch that is sent have ended."""
        ...


class Sent(msgspec.Struct, kw_only=True, frozen=True):
    """What became of a batch that got through, wholly or in part.

    Everything that is not in `failed` is delivered. A batch that failed as a whole is raised
    (`Retry`, `Rejected`, `Blocked`), not returned.
    """

    state: bytes | None = None
    """Kept by the journal together with the cursor and given to `open` after a restart."""
    duplicates: int = 0
    """How many of the delivered ones the far side said it had already."""
    failed: Mapping[int, SinkError] = {}
    """Items that failed, by index in the batch."""
    note: str = ""
    """What a person should know though it went through, in a sentence; logged when it is another than before."""
    defaulted: bool = False
    """Whether a notification went out in the usual words because the user's own failed on it; counted."""


class SinkContext(msgspec.Struct, kw_only=True, frozen=True):
    """What a sink is given beside its configuration."""

    name: str
    """Its name in the configuration."""
    clock: Clock
    catalog: Catalog = msgspec.field(default_factory=shipped)
    """What reasons and conditions mean, for notifiers."""
    allowances: Allowances | None = None
    """What far sides bear that other sinks may send to as well; None where nobody else sends."""


class Sink(Protocol):
    """A destination. Its methods never overlap, but for `send` where `in_flight` is more than 1."""

    async def open(self, state: bytes | None) -> bytes | None:
        """Get ready to send. Called again, with back-off, until it succeeds.

        Args:
            state: what the last settled `send` or `open` returned; None at the first start.

        Returns:
            A state to be kept before the first send; None to keep what is there.

        Raises:
            Retry, Blocked: not now; the message says why.
        """
        ...

    async def send(self, batch: Batch) -> Sent:
        """Send one batch and return once the far side has confirmed it.

        Raises:
            Retry: the batch as a whole may go later.
            Rejected: it never will as it is; the runner halves it until the bad item stands alone.
            Blocked: the far side refuses us, not the data.
        """
        ...

    async def close(self) -> None:
        """Free everything. Called once, also after a failed `open`."""
        ...


def kinds() -> dict[str, str]:
    """Return every kind of sink that can be used, with the module that holds it."""
    import sinks

    found = {
        module.name: f"sinks.{module.name}"
        for module in pkgutil.iter_modules(sinks.__path__)
        if not module.name.startswith("_")
    }
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, point.module)
    return dict(sorted(found.items()))


@functools.cache
def load(kind: str) -> ModuleType:
    """Import the module of one kind. Only kinds that the configuration names are imported.

    Raises:
        KeyError: there is no such kind.
        ImportError: the module needs a library that is not installed.
    """
    return importlib.import_module(kinds()[kind])
