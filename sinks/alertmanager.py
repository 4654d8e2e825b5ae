"""`kind: alertmanager`: problems as alerts to Prometheus' Alertmanager, posted again and again until they are over.

Alertmanager keeps alerts in memory only, and ends each at its `endsAt`: so an alert is posted again long before that,
which also brings it back after a restart (https://prometheus.io/docs/alerting/latest/alerts_api/). Replicas tell each
other of silences and of what was sent, not of alerts: each must be sent all of them
(https://prometheus.io/docs/alerting/latest/high_availability/). As for Prometheus, whose notifier counts alerts as
sent that one of them took (https://github.com/prometheus/prometheus/blob/main/notifier/manager.go), one is enough:
any of them notifies, and those that were away get what goes on with the next repeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from eventer.alerting.notification import Notification, Why
from eventer.alerting.render.alertmanager import LABEL, OURS, Alert, Alerts, Own, alerts, shown
from eventer.alerting.render.message import Message
from eventer.alerting.render.own import OwnAnnotations
from eventer.errors import Blocked, ConfigError, Fault, Rejected, Retry, SinkError
from eventer.sink import Batch, GroupConfig, Sent, SinkContext
from eventer.values import Duration
from sinks._auth import AuthConfig
from sinks._chat import MessageConfig, note_of, view_of
from sinks._http import Http, check_address
from sinks._proxy import ProxyConfig
from sinks._tls import TlsConfig

__all__ = ["AlertGroupConfig", "Config", "Sink"]

_HOLD: Final = 3
"""Times that a repeat may fail before an alert ends by itself; Prometheus takes four
(https://github.com/prometheus/prometheus/blob/main/rules/alerting.go)."""
_REST: Final = 30.0
"""Seconds for which a replica that failed is left alone while another takes alerts: each send would wait for it."""
_PATH: Final = "/api/v2"
_HEADERS: Final = {"Content-Type": "application/json"}


class AlertGroupConfig(GroupConfig, kw_only=True):
    """Which problems are told together, and when: by default each for itself and at once, for Alertmanager groups."""

    by: Annotated[list[str], Meta(min_length=1, max_length=8)] = msgspec.field(
        default_factory=lambda: ["cluster", "kind", "namespace", "name", "family"]
    )
    """What problems that are posted together have in common. By default that is all: Alertmanager groups by itself."""
    wait: Duration = Duration(0)
    """From a group's first problem to its first alert: nothing, for Alertmanager has a `group_wait`."""
    interval: Duration = Duration(10)
    """Least time between two posts of a group."""
    repeat: Duration = Duration(300)
    """After which a problem that goes on is posted again. After three times as long without, its alert ends by
    itself; Alertmanager, which forgets all alerts when it ends, knows it again after so long at most."""


class Config(MessageConfig, kw_only=True):
    """Options of `kind: alertmanager`."""

    url: Annotated[str, Meta(examples=["http://alertmanager.monitoring:9093"])]
    """Where it is: http://host:9093. Replicas are separated by commas, and each is sent every alert; no load balancer,
    no user name and password."""
    labels: Annotated[dict[str, str], Meta(examples=["{team: platform}"])] = msgspec.field(default_factory=dict)
    """Labels on every alert, for routes and silences."""
    annotations: Annotated[
        dict[str, str], Meta(examples=['{summary: "{{ problem.reason }} in {{ problem.namespace }}"}'])
    ] = msgspec.field(default_factory=dict)
    """Annotations on every alert of a problem, beside Eventer's own or in place of those of the same name. Each is a
    Jinja2 template with the variable `problem` (docs/templates.md). Where one fails on a problem, what Eventer says
    stays."""
    group: AlertGroupConfig = msgspec.field(default_factory=AlertGroupConfig)
    """Which problems are told together, and when."""
    auth: Annotated[AuthConfig | None, Meta(examples=["{bearer: ${ALERTMANAGER_TOKEN}}"])] = None
    """Who we are, where something before Alertmanager asks."""
    tls: TlsConfig = msgspec.field(default_factory=TlsConfig)
    """Whom to trust, and our own certificate."""
    proxy: ProxyConfig | None = None
    """HTTP proxy to go through. Variables such as HTTPS_PROXY are not looked at."""

    @property
    def replicas(self) -> list[str]:
        """The addresses."""
        return [each.strip().rstrip("/") for each in self.url.split(",") if each.strip()]

    @property
    def keeps_open(self) -> bool:
        """Alertmanager notifies of the end of each alert."""
        return True

    def __post_init__(self) -> None:
        """Check the addresses and the names of labels, annotations and links, and try the annotations.

        Raises:
            ValueError, ConfigError: with the remedy.
        """
        super().__post_init__()
        if not self.replicas:
            raise ValueError("url: this is no address; write for example http://alertmanager.monitoring:9093")
        if "@" in self.url:
            raise ValueError("url: user name and password do not belong into the address; write them under auth")
        for each in self.replicas:
            check_address(each, "url")
            if each.endswith(("/alerts", _PATH)):
                raise ValueError(f"url: leave out {_PATH} and what follows; it is added")
        if self.group.quota is not None:
            raise ValueError(
                "group.quota: an alert that is not posted again ends; leave it out, the routes of Alertmanager say how "
                "often people are told"
            )
        for name in self.labels:
            if name in OURS:
                raise ValueError(f"labels: {name} is set by Eventer; choose another name")
        for name in self.annotations:
            if name in self.links:
                raise ValueError(f"annotations: {name} is one of links, which are annotations too; leave one out")
        named = (("labels", self.labels), ("annotations", self.annotations), ("links", self.links))
        for option, names in named:
            for name in names:
                if not LABEL.fullmatch(name):
                    raise ValueError(
                        f"{option}: {name[:40]!r} is no name that Alertmanager takes; write letters, digits and "
                        "underscores, such as team_name"
                    )
        faults = [
            Fault(path=f"annotations.{name}", message=message, remedy=remedy)
            for name, text in self.annotations.items()
            for message, remedy in _wrong(name, text)
        ]
        if faults:
            raise ConfigError(faults)


def _wrong(name: str, text: str) -> Iterator[tuple[str, str]]:
    """Say what is wrong with the template of an annotation, and what to do."""
    try:
        OwnAnnotations({name: text})
    except ValueError as error:
        message, _, remedy = str(error).removeprefix(f"annotations.{name}: ").partition("; ")
        yield message, remedy


class Sink:
    """See `eventer.sink.Sink`."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        self._config = config
        self._clock = context.clock
        self._view = view_of(config, [], context.catalog)
        self._own = Own(config.labels, OwnAnnotations(config.annotations))
        self._http = Http(
            timeout=config.timeout,
            clock=context.clock,
            auth=config.auth,
            tls=config.tls,
            proxy=config.proxy,
            connections=len(config.replicas),
        )
        self._rests: dict[str, float] = {}
        """Until when a replica is left alone, monotonic seconds."""

    async def open(self, state: bytes | None) -> None:
        """Make the client; nothing is sent to probe the far side.

        Raises:
            Blocked: a file of certificates is unusable.
        """
        await self._http.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def probe(self) -> str:
        """Ask each replica for its version; no alert is posted.

        Returns:
            What was found, in a sentence.

        Raises:
            Retry, Rejected, Blocked: as for `send`.
        """
        await self._http.open()
        found = [await self._version(each) for each in self._config.replicas]
        who = f"Alertmanager {', '.join(filter(None, dict.fromkeys(found)))}".rstrip()
        return f"{who} answers at {len(found)} of {len(found)} addresses."

    async def send(self, batch: Batch) -> Sent:
        """Post the alerts of one notification to every replica.

        Raises:
            Retry, Rejected, Blocked: no replica took them; see `sinks._http` and `_judge`.
        """
        told = self._alerts(note_of(batch))
        made = told.made
        if not made:  # all of it is over and not named: it ends by itself
            return Sent()
        until = asyncio.get_running_loop().time() + self._config.timeout
        tick = self._clock.monotonic()
        awake = [each for each in self._config.replicas if self._rests.get(each, tick) <= tick]
        asked = awake or self._config.replicas
        results = dict(
            zip(asked, await asyncio.gather(*(self._post(each, made, until) for each in asked)), strict=True)
        )
        failed = {each: error for each, error in results.items() if error is not None}
        if len(failed) == len(asked) < len(self._config.replicas):  # those that rest are better than none
            asked = [each for each in self._config.replicas if each not in results]
            more = await asyncio.gather(*(self._post(each, made, until) for each in asked))
            results |= dict(zip(asked, more, strict=True))
            failed = {each: error for each, error in results.items() if error is not None}
        for each in results:
            self._rests.pop(each, None)
        if len(failed) == len(results):
            raise _worst(list(failed.values()))
        for each in failed:
            self._rests[each] = self._clock.monotonic() + _REST
        missed = [f"One of the replicas did not take alerts, another did: {error}" for error in failed.values()]
        return Sent(note=" ".join(filter(None, [*missed, told.note])), defaulted=told.defaulted)

    def preview(self, note: Notification) -> tuple[Message, Mapping[str, Any]]:
        """Return what would be posted: as a message for people, and as text."""
        return shown(note, self._alerts(note), self._view)

    def _alerts(self, note: Notification) -> Alerts:
        now = self._clock.now().timestamp()
        return alerts(note, self._view, self._own, now, now + self._hold(note))

    def _hold(self, note: Notification) -> float:
        """Return for how long an alert goes on that is not posted again, in seconds."""
        group = self._config.group
        return _HOLD * (group.heartbeat if note.why is Why.ALIVE and group.heartbeat else group.repeat)

    async def _post(self, replica: str, made: Sequence[Alert], until: float) -> SinkError | None:
        """Post alerts to one replica; return why it did not take them.

        All of its requests share the time of the send: one replica that is slow must not undo what another took.
        """
        try:
            bad = await self._refused(replica, made, until)
        except SinkError as failure:
            return failure
        if not bad:
            return None
        alert, error = bad[0]
        if len(made) == 1:
            return error
        return Rejected(
            f"{len(bad)} of {len(made)} alerts were refused and the others taken; the first one is {alert.what[:200]}. "
            f"{error}",
            reason=error.reason,
            answer=error.answer,
        )

    async def _refused(self, replica: str, made: Sequence[Alert], until: float) -> list[tuple[Alert, Rejected]]:
        """Post alerts; return those that it refuses, each with why.

        It takes those of a post that are right, and answers 400 for the others: which they are shows by halves.

        Raises:
            Retry, Rejected, Blocked: as for `_try`.
        """
        error = await self._try(replica, made, until)
        if error is None:
            return []
        if len(made) == 1:
            return [(made[0], error)]
        half = len(made) // 2
        return [bad for part in (made[:half], made[half:]) for bad in await self._refused(replica, part, until)]

    async def _try(self, replica: str, made: Sequence[Alert], until: float) -> Rejected | None:
        """Post alerts once; return the refusal of their content.

        Raises:
            Retry, Rejected, Blocked: see `sinks._http`; Retry also where something else than Alertmanager answers.
        """
        body = msgspec.json.encode(made)
        left = until - asyncio.get_running_loop().time()
        url = f"{replica}{_PATH}/alerts"
        answer = await self._http.request("POST", url, body, _HEADERS, within=left, expected=(400,))
        if answer.status == 400:
            return Rejected("Alertmanager answered 400.", reason="refused_data", answer=answer.shown())
        if answer.body.strip() not in {b"", b"{}"}:
            raise Retry(
                "Something answered that is not Alertmanager: its answer to alerts is empty.",
                reason="answer",
                answer=answer.shown(),
            )
        return None

    async def _version(self, replica: str) -> str:
        answer = await self._http.request("GET", f"{replica}{_PATH}/status", b"", {})
        try:
            version = msgspec.json.decode(answer.body, type=_Status).version_info.version
        except (msgspec.MsgspecError, RecursionError):
            raise Blocked(
                "The address is not that of an Alertmanager: its status is another's.", reason="address"
            ) from None
        return answer.hide(version)[:40]


class _Info(msgspec.Struct):
    version: str
    """Empty where nobody named one when it was built."""


class _Status(msgspec.Struct, rename="camel"):
    version_info: _Info


def _worst(errors: Sequence[SinkError]) -> SinkError:
    """Return what to raise where no replica took the alerts: while one of them may take them later, that."""
    for kind in (Retry, Blocked):
        found = [error for error in errors if isinstance(error, kind)]
        if found:
            return found[0]
    return errors[0]
