"""The options of Eventer itself; each sink brings the type of its own options.

The docstring under a field is what users read: in the commented sample, in the editor (JSON schema)
and in the tables of the documentation. It says what the option means, its unit and why the default
is what it is. A type with `parse(text)` is written as one word; its `EXPECTED` says what that is.
"""

from __future__ import annotations

import ipaddress
import math
import re
from typing import Annotated, ClassVar, Final, Literal, Self

import msgspec
from msgspec import Meta

from eventer.config.samples import ConfigTest
from eventer.errors import ConfigError, Fault
from eventer.match import Rule
from eventer.sink import SinkConfig
from eventer.values import Duration, Size

__all__ = [
    "SELECTABLE",
    "Config",
    "FieldSelector",
    "FilterRule",
    "Kubernetes",
    "Listen",
    "Log",
    "Namespace",
    "Server",
    "Source",
    "Start",
    "State",
]

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1123 label, which is what Kubernetes allows as the name of a namespace."""
_HOST: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?")


class Start(float):
    """How far back a stream begins at its first start, in seconds: `all` is infinity, `now` is 0."""

    EXPECTED: ClassVar[str] = "all, now, or a duration such as 1h"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a start policy.

        Raises:
            ValueError: it is neither `all` nor `now` nor a duration.
        """
        if text == "all":
            return cls(math.inf)
        if text == "now":
            return cls(0)
        try:
            return cls(Duration.parse(text))
        except ValueError:
            raise ValueError(f"{text!r} is no start; write {cls.EXPECTED}") from None

    def __str__(self) -> str:
        return {math.inf: "all", 0.0: "now"}.get(self, f"{float(self):g}s")


class Namespace(str):
    """The name of one namespace."""

    EXPECTED: ClassVar[str] = "the name of a namespace"
    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name.

        Raises:
            ValueError: no namespace can have this name.
        """
        if not _LABEL.fullmatch(text):
            raise ValueError(
                f"{text!r} is no name of a namespace; write at most 63 small letters, digits and hyphens, no patterns"
            )
        return cls(text)


class FieldSelector(str):
    """Which Events the API server is asked for, in the words of `kubectl --field-selector`."""

    EXPECTED: ClassVar[str] = "a field selector such as type=Warning"
    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a selector: `FIELD=VALUE` or `FIELD!=VALUE`, several with commas, all of which must hold.

        Raises:
            ValueError: it is none, or names a field by which Events cannot be selected.
        """
        terms = []
        for term in re.split(r"(?<!\\),", text):
            match = _TERM.fullmatch(term)
            if match is None:
                raise ValueError(f"{term!r} is no term of a field selector; write for example {_TERMS}")
            if match[1] not in SELECTABLE["core"] | SELECTABLE["events"]:
                known = ", ".join(sorted(SELECTABLE["core"]))
                raise ValueError(f"the API has no selector for {match[1]!r} of Events; it has {known}")
            terms.append(f"{match[1]}{match[2].replace('==', '=')}{match[3]}")
        return cls(",".join(sorted(terms)))

    @property
    def fields(self) -> frozenset[str]:
        """The fields that it looks at."""
        return frozenset(match[1] for match in _TERM.finditer(self))

    @property
    def can_be_left(self) -> bool:
        """Whether an Event that matches can be changed into one that does not. Names never change."""
        return not self.fields <= {"metadata.name", "metadata.namespace"}


_TERM: Final = re.compile(r"([A-Za-z.]+)(!=|==?)((?:[^\\,=]|\\[\\,=])*)")
_TERMS: Final = "type=Warning or metadata.namespace!=noisy"
_SUBJECT: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
SELECTABLE: Final = {
    "core": frozenset({"metadata.name", "metadata.namespace", "reason", "reportingComponent", "source", "type"})
    | {f"involvedObject.{name}" for name in _SUBJECT},
    "events": frozenset({"metadata.name", "metadata.namespace", "reason", "reportingController", "type"})
    | {f"regarding.{name}" for name in _SUBJECT},
}
"""By which fields each API selects Events
(https://github.com/kubernetes/kubernetes, pkg/apis/core/v1/conversion.go and pkg/apis/events/v1/conversion.go)."""


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
            raise ValueError(f"{text!r} is no address to listen on; write {cls.EXPECTED}") from None
        return cls(host=host, port=int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Kubernetes(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How to reach one cluster and what to read there."""

    kubeconfig: Annotated[str | None, Meta(examples=["/etc/eventer/kubeconfig"])] = None
    """File with address and credentials of the cluster. Left out: the file that the variable
    KUBECONFIG names, or ~/.kube/config; but in a pod, with `context` left out as well, its service
    account."""
    context: Annotated[str | None, Meta(examples=["prod-shanghai"])] = None
    """Which context of the kubeconfig; left out, its current one."""
    namespaces: list[Namespace] = []
    """Read these namespaces only, each with a stream of its own: for clusters where Eventer may not
    read all of them. Empty: all, with one stream. To leave some out, use `filter`, or `field_selector`
    where reading them is too much already."""
    field_selector: Annotated[FieldSelector | None, Meta(examples=["metadata.namespace!=noisy"])] = None
    """Ask the API server for these Events only, in the words of `kubectl --field-selector`; terms with
    commas between them must all hold. Left out: all, which is best as long as it is not too much. What
    is not selected is in no count and no audit; `filter` counts it. The API server says of an Event
    that stops to match that it was deleted, so its later states are not seen. Another selector is
    another stream, which lists anew."""
    api: Literal["core", "events"] = "core"
    """Which API to read: `core` (v1) or `events` (events.k8s.io/v1). The API server gives the same
    objects by both; choose the one that the role allows."""
    start: Start = Start(math.inf)
    """What of the past is exported at the very first start: `all` that the cluster still holds (one
    hour as a rule), nothing (`now`), or what is not older than a duration such as `1h`. Later starts
    always go on where the last one stopped."""
    event_ttl: Duration = Duration(3600)
    """How long the API server keeps an event (its `--event-ttl`, 1h unless changed). After a longer
    time without contact events may have gone unseen, and a gap record says so."""
    audit: Duration = Duration(6 * 3600)
    """How often to compare what the cluster holds with what was exported, by a list of metadata
    only. It also runs after each start and after each outage of more than 5 minutes. It finds what
    nothing else would notice, so it should find nothing."""

    def __post_init__(self) -> None:
        """Refuse times of zero, and a namespace named twice: its two streams would write one record."""
        for namespace in self.namespaces:
            if self.namespaces.count(namespace) > 1:
                raise _fault("namespaces", f"the namespace {namespace} is named twice", "name it once")
        unknown = self.field_selector.fields - SELECTABLE[self.api] if self.field_selector else frozenset()
        if unknown:
            known = ", ".join(sorted(SELECTABLE[self.api]))
            message = f"the API {self.api} has no selector for {', '.join(sorted(unknown))}"
            raise _fault("field_selector", message, f"it has {known}")
        _positive(self, "event_ttl", "audit")

    def overlaps(self, other: Kubernetes) -> bool:
        """Whether both would show the same Events if they read the same cluster, by namespaces."""
        mine, theirs = set(self.namespaces), set(other.namespaces)
        return not mine or not theirs or bool(mine & theirs)


class Source(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One cluster to read."""

    cluster: Annotated[str, Meta(min_length=1, max_length=253, examples=["prod-shanghai"])] | None = None
    """Name of the cluster, on every event and part of every key: keep it. Needed with more than one
    source, and where the namespace kube-system may not be read. Left out: the uid of kube-system."""
    labels: dict[str, str] = {}
    """Names and values that every event of this source carries, such as `{region: cn-shanghai}`."""
    kubernetes: Kubernetes = msgspec.field(default_factory=Kubernetes)
    """How to reach the cluster and what to read there."""


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

    path: Annotated[str, Meta(min_length=1)] = "/var/lib/eventer"
    """Directory for the journal: a local disk or a block volume. A network file system is refused,
    because its locks and its fsync cannot be relied on."""
    max_size: Size = Size(1 << 30)
    """Most bytes of events that wait for sinks. Beyond it the sink that lags most loses its oldest
    events, counted and named in a gap record; the others lose nothing. 1GiB holds about five million."""
    max_age: Duration = Duration(24 * 3600)
    """How long an event may wait for a sink. Beyond it it counts as expired for that sink."""
    discard: list[str] = []
    """Names of sinks taken out of this file whose waiting events and dead letters may be given up.
    Without it a start is refused while there are any for a sink that is gone."""

    def __post_init__(self) -> None:
        """Refuse limits with which nothing could ever be delivered."""
        _positive(self, "max_age")
        if self.max_size < _LEAST_STATE:
            raise _fault("max_size", "max_size is too small to work with", "write at least 16MiB")


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
    sinks: Annotated[dict[str, SinkConfig], Meta(min_length=1)]
    """Destinations, by a name of your choice: it appears in metrics and logs, and the journal knows
    the sink by it. `kind` says which sink it is."""
    state: State = msgspec.field(default_factory=State)
    """Where events are kept until every sink has them."""
    server: Server = msgspec.field(default_factory=Server)
    """Metrics and health."""
    log: Log = msgspec.field(default_factory=Log)
    """Eventer's own log."""
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
        if faults:
            raise ConfigError(faults)
        for name, sink in self.sinks.items():
            if sink.repeats.window is not None and sink.repeats.window >= self.state.max_age:
                message = "the window of repeats is not shorter than state.max_age, so what it holds back would expire"
                raise _fault(f"sinks.{name}.repeats", message, "write a shorter one, for example 5m")


_LEAST_STATE: Final = 16 << 20
"""Bytes. The database's own pages, its write-ahead log and one batch per sink fit in half of it."""


def _fault(path: str, message: str, remedy: str) -> ConfigError:
    """Make the error for one option; the path counts from the struct that raises it."""
    return ConfigError([Fault(path=path, message=message, remedy=remedy)])


def _positive(struct: msgspec.Struct, *names: str) -> None:
    faults = [
        Fault(path=name, message=f"{name} must be longer than nothing", remedy="write for example 1h")
        for name in names
        if getattr(struct, name) <= 0
    ]
    if faults:
        raise ConfigError(faults)
