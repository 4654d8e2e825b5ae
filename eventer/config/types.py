"""The options of Eventer itself; each sink brings the type of its own options.

The docstring under a field is what users read: in the commented sample, in the editor (JSON schema)
and in the tables of the documentation. It says what the option means, its unit and why the default
is what it is. A type with `parse(text)` is written as one word; its `EXPECTED` says what that is.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, ClassVar, Final, Literal, Self

import msgspec
from msgspec import Meta

from eventer.catalog.catalog import Catalog
from eventer.catalog.changes import CatalogChanges
from eventer.config.inhibition import Inhibit
from eventer.config.lookups import Lookups
from eventer.config.place import Mirror, StatePath
from eventer.config.refuse import positive, refusal
from eventer.config.samples import ConfigTest
from eventer.config.silences import SilenceConfig, silence_faults
from eventer.config.sources import Source
from eventer.errors import ConfigError, Fault
from eventer.match import Rule
from eventer.redaction import RedactRule
from eventer.sink import SinkConfig
from eventer.values import Duration, Size

__all__ = [
    "Config",
    "FilterRule",
    "Listen",
    "Log",
    "Server",
    "State",
]

_HOST: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?")


class Listen(msgspec.Struct, frozen=True, kw_only=True):
    """Where to listen."""

    EXPECTED: ClassVar[str] = "an address such as :8080 or 127.0.0.1:8080"

    port: int
    host: str = ""
    """Empty: all addresses of the machine, IPv4 and IPv6."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `:port`, `host:port` or `[IPv6]:port`; port 0 is any free one.

        Raises:
            ValueError: it is none of them.
        """
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if bracketed:
            host = host[1:-1]
        try:
            if not colon or not port.isascii() or not port.isdigit() or len(port) > 5 or int(port) > 65_535:
                raise ValueError("no port")
            if bracketed:
                ipaddress.IPv6Address(host)
            elif host and not _HOST.fullmatch(host):
                raise ValueError("no host")
        except ValueError:
            remedy = f":{text}" if text.isascii() and text.isdigit() else cls.EXPECTED
            raise ValueError(f"{text!r} is no address to listen on; write {remedy}") from None
        return cls(host=host, port=int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class FilterRule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One rule of the filter: either `drop` or `keep`."""

    drop: Annotated[Rule | None, Meta(examples=["{type: Normal, reason: [Pulled, Created, Started, Scheduled]}"])] = (
        None
    )
    """Events that match are not exported: counted as filtered, and gone."""
    keep: Annotated[Rule | None, Meta(examples=["{namespace: [kube-system, shop]}"])] = None
    """Events that match are exported, whatever later rules say. `keep` what you want and
    `drop: {}` last exports only that."""

    def __post_init__(self) -> None:
        """Refuse a rule that says nothing, or two things."""
        if (self.drop is None) == (self.keep is None):
            raise ValueError("a filter rule has either drop or keep; write for example `- drop: {type: Normal}`")
        for field in self.rule.needs:
            raise refusal(
                f"{'keep' if self.keeps else 'drop'}.{field}",
                f"{field} is looked up after the filter, and only for sinks that enrich",
                "match on it in a sink that has enrich, or filter by the names of namespaces and nodes",
            )

    @property
    def rule(self) -> Rule:
        """What to match, whichever of the two it is."""
        rule = self.keep if self.drop is None else self.drop
        assert rule is not None
        return rule

    @property
    def keeps(self) -> bool:
        """Whether a match means that the event is exported."""
        return self.keep is not None


class State(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where Eventer keeps events until every sink has them."""

    path: StatePath = StatePath("/var/lib/eventer")
    """Directory for the journal: a local disk or a block volume. A network file system is refused,
    because its locks and its fsync cannot be relied on. `memory` is a directory in /dev/shm, or in the
    system's temporary one: it outlives the process and its container, but not the pod or the machine.
    What waits for sinks is lost with it, and what the cluster still holds is exported again. A container
    has 64MiB there as a rule: set `max_size` to 16MiB, or what is full makes reading wait for the sinks."""
    mirror: Mirror | None = None
    """Where the journal does not outlive the pod: note in a ConfigMap, every 10s, what each sink has
    settled, of which problems people were told, and silences made by command. A new pod goes on from
    there, and repeats only what was settled since the last note. What waited for a sink is read again as
    far as the cluster still holds it; dead letters are lost. A journal that is there counts more than the
    ConfigMap."""
    max_size: Size = Size(1 << 30)
    """Most bytes of events that wait for sinks. Beyond it the sink that lags most loses its oldest
    events, counted and named in a gap record; the others lose nothing. 1GiB holds about five million."""
    max_age: Duration = Duration(24 * 3600)
    """How long an event may wait for a sink. Beyond it it counts as expired for that sink."""
    keep: Duration = Duration(3600)
    """How long an event stays after it was stored, though every sink has it: so that `eventer replay --since`,
    `eventer tail --since` and `eventer explain --uid` can look back. `0s` keeps nothing. It takes at most a
    quarter of `max_size`, and gives way before anything that waits for a sink would have to go."""
    discard: list[str] = []
    """Names of sinks taken out of this file whose waiting events and dead letters may be given up.
    Without it a start is refused while there are any for a sink that is gone."""

    def __post_init__(self) -> None:
        """Refuse limits with which nothing could ever be delivered."""
        positive(self, "max_age")
        if self.max_size < _LEAST_STATE:
            raise refusal("max_size", "max_size is too small to work with", "write at least 16MiB")


class Server(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The HTTP server of the daemon."""

    listen: Listen = Listen(port=8080)
    """Address for `/metrics`, `/livez`, `/readyz` and `/healthz`; without a host, all addresses."""


class Log(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the daemon tells about itself, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged. Info has one line per change of state, never one per event."""
    format: Literal["json", "console"] = "json"
    """`json`, one object per line, or `console`, for people."""


class Config(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A whole configuration file."""

    sources: Annotated[list[Source], Meta(min_length=1)]
    """Clusters to read."""
    filter: list[FilterRule] = []
    """What to leave out before anything is stored. The first rule that matches decides; what no
    rule matches is kept."""
    redact: list[RedactRule] = []
    """What to take out of messages before anything is stored, after the filter has looked at them. Messages
    longer than the patterns may see are cut there: 4,096 characters, 1,024 where one has two repeats such as .* (all
    that Kubernetes allows)."""
    sinks: Annotated[dict[str, SinkConfig], Meta(min_length=1)]
    """Destinations, by a name of your choice: it appears in metrics and logs, and the journal knows
    the sink by it. `kind` says which sink it is."""
    state: State = msgspec.field(default_factory=State)
    """Where events are kept until every sink has them."""
    server: Server = msgspec.field(default_factory=Server)
    """Metrics and health."""
    log: Log = msgspec.field(default_factory=Log)
    """Eventer's own log."""
    lookups: Lookups = msgspec.field(default_factory=Lookups)
    """How look-ups are made for the sinks that have `enrich`."""
    catalog: CatalogChanges = msgspec.field(default_factory=CatalogChanges)
    """What reasons and conditions mean, where that is to differ from what comes with Eventer (docs/catalog.md):
    `severity` and `family` in rules follow it."""
    inhibit: Inhibit = msgspec.field(default_factory=Inhibit)
    """Which problems keep quiet about which others: who is told that a node is down need not hear of its pods."""
    silences: Annotated[list[SilenceConfig], Meta(max_length=300)] = []
    """Problems of which nobody is told for a while, beside those of `eventer silence add` (docs/alerting-silences.md).
    They are followed all the same, and told when the silence is over and they are not."""
    tests: list[ConfigTest] = []
    """Events, and which sinks must get them: tests of `filter` and of each sink's `match`, which
    `eventer check --test` runs. The daemon does nothing with them."""

    def __post_init__(self) -> None:
        """Refuse windows of repeats at whose end the event would be too old, and tests of sinks that are not here."""
        faults = [
            Fault(
                path=f"tests[{index}].sinks[{at}]",
                message=f"there is no sink {name!r}",
                remedy=f"the sinks are {', '.join(self.sinks)}",
            )
            for index, test in enumerate(self.tests)
            for at, name in enumerate(test.sinks or [])
            if name not in self.sinks
        ]
        faults += silence_faults(self.silences, self.sinks.values())
        if faults:
            raise ConfigError(faults)
        for name, sink in self.sinks.items():
            if sink.repeats.window is not None and sink.repeats.window >= self.state.max_age:
                message = "the window of repeats is not shorter than state.max_age, so what it holds back would expire"
                raise refusal(f"sinks.{name}.repeats", message, "write a shorter one, for example 5m")
        self._bind()

    def _bind(self) -> None:
        """Let the rules ask the catalog of this file."""
        catalog = Catalog(self.catalog)
        for rule in self.filter:
            rule.drop, rule.keep = rule.drop and rule.drop.by(catalog), rule.keep and rule.keep.by(catalog)
        for silence in self.silences:
            silence.match = [rule.by(catalog) for rule in silence.match]
        for sink in self.sinks.values():
            # People are told of what is wrong, where nothing else is asked for.
            rules = sink.match or ([Rule.parse(_WORTH_TELLING)] if sink.notifies is not None else [])
            sink.match = [rule.by(catalog) for rule in rules]
            if sink.notifies is not None:
                sink.notifies.bind(catalog)


_WORTH_TELLING: Final = {"severity": ["warning", "critical"]}
_LEAST_STATE: Final = 16 << 20
"""Bytes. The database's own pages, its write-ahead log and one batch per sink fit in half of it."""
