"""`kind: dingtalk`: notifications into a DingTalk group, by one custom robot or several that take turns.

A robot that was sent more than 20 messages in a minute is silent for ten: so each is sent 18 at most, and what it
does not take goes to the next one. What robots ask and answer is in `sinks._dingtalk_robot`, what a message looks
like in `eventer.alerting.render.dingtalk`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from eventer.alerting.notification import Notification
from eventer.alerting.render.dingtalk import Format, payload, plain
from eventer.alerting.render.plain import defuse
from eventer.allowance import MINUTE, Allowance, Together
from eventer.errors import Blocked, Retry, SinkError
from eventer.sink import Sent, SinkContext
from eventer.values import Rate, Secret
from sinks._auth import reveal
from sinks._chat import Chat, ChatConfig, check_robot
from sinks._dingtalk_robot import PER_MINUTE, outcome, query

__all__ = ["Config", "RobotConfig", "Sink"]

_PROBE: Final = 300.0
"""Seconds for which a robot that refuses us is left alone, as long as there are others."""


class RobotConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One more robot of the same group."""

    url: Secret
    """Its address."""
    secret: Secret | None = None
    """Its signing secret, `SEC...`."""


class Config(ChatConfig, kw_only=True):
    """Options of `kind: dingtalk`."""

    secret: Secret | None = None
    """Signing secret, `SEC...`, if the robot's security settings have one (加签)."""
    keyword: Annotated[str, Meta(max_length=40)] = ""
    """A word that the robot's security settings want in every message; written at the end where it is not in it."""
    more: Annotated[
        list[RobotConfig], Meta(max_length=10, examples=["[{url_file: /etc/eventer/secrets/dingtalk-2}]"])
    ] = msgspec.field(default_factory=list)
    """Further robots of the same group. Each may send 20 messages a minute; they take turns, and stand in for each
    other. All of them need the same keyword, or none."""
    layout: Format = "markdown"
    """`markdown`; `text`, without any markup; `actionCard`, with buttons for the links; `link`, which as a whole leads
    to the first of the links; `kube-eventer`, the text of seven lines for each problem that kube-eventer sends. An
    actionCard and a link can mention nobody."""
    labels: list[str] = msgspec.field(default_factory=list)
    """Lines before the seven of `layout: kube-eventer`, to tell clusters apart."""

    def __post_init__(self) -> None:
        """Check what goes together. Without `limit`, it is what the robots bear.

        Raises:
            ValueError: with the remedy.
        """
        super().__post_init__()
        for robot in self.more:
            check_robot("more", robot.url)
        if self.layout in {"actionCard", "link"} and self.mention:
            raise ValueError(f"mention: layout: {self.layout} mentions nobody; write layout: markdown, or leave it out")
        if self.layout == "kube-eventer" and self.template is not None:
            raise ValueError("template: layout: kube-eventer has its own lines; write layout: text, or leave it out")
        if self.labels and self.layout != "kube-eventer":
            raise ValueError("labels: only layout: kube-eventer has them; leave them out, messages name the cluster")
        if self.limit is None:
            self.limit = Rate(count=PER_MINUTE * (1 + len(self.more)), unit="m")


class _Robot:
    """One robot, and when it may be sent to again."""

    def __init__(self, name: str, url: Secret, secret: Secret | None, bears: Allowance) -> None:
        self.name = name
        self.bears = bears
        self._url = url
        self._secret = secret
        self._rests = 0.0

    def wait(self, now: float) -> float:
        """Return the seconds until it may be sent to."""
        return max(0.0, self._rests - now, self.bears.wait)

    def rest(self, until: float) -> None:
        """Leave it alone."""
        self._rests = until

    def address(self, now: float) -> str:
        """Return where to send to, signed for this moment.

        Raises:
            Blocked: a secret cannot be read.
        """
        url = reveal(self._url, "The address")
        return query(url, reveal(self._secret, "The signing secret"), now) if self._secret else url


class Sink(Chat):
    """See `eventer.sink.Sink`."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        super().__init__(config, context, plain if config.layout in {"markdown", "actionCard"} else defuse)
        self._config = config
        given = [(config.url, config.secret), *((robot.url, robot.secret) for robot in config.more)]
        self._robots = [
            _Robot(f"robot {n} of {len(given)}", url, secret, self._allowances.of(url.reveal, PER_MINUTE, MINUTE))
            for n, (url, secret) in enumerate(given, 1)
        ]
        self.bears = Together([robot.bears for robot in self._robots])

    async def open(self, state: bytes | None) -> None:
        """Make the client; nothing is sent to probe the far side.

        Raises:
            Blocked: a file of certificates, or the first robot's address, is unusable.
        """
        self._robots[0].address(0.0)
        await self._http.open()

    async def _tell(self, note: Notification) -> Sent:
        """Send one message, by the robot whose turn it is or by one that can.

        Raises:
            Retry, Rejected, Blocked: see `sinks._http` and `sinks._dingtalk_robot`; also Retry, with the time of
                waiting, where all robots have sent what they may.
        """
        made = self._made(note)
        refused: list[tuple[_Robot, SinkError]] = []
        for robot in sorted(self._robots, key=lambda robot: robot.bears.last):
            if robot.wait(self._clock.monotonic()):
                continue
            error = await self._ask(robot, made)
            if error is None:
                said = [f"The {other.name} did not take a message: {why}" for other, why in refused]
                return self._sent(note, " ".join(said))
            if not isinstance(error, Blocked) and (
                not isinstance(error, Retry) or error.unknown or error.after is None
            ):
                raise error  # another robot would do no better, or the message may have got through
            refused.append((robot, error))
        raise self._why(refused)

    def _made(self, note: Notification) -> Mapping[str, Any]:
        config = self._config
        return payload(note, self._view, config.layout, config.keyword, config.labels)

    async def _ask(self, robot: _Robot, made: Mapping[str, Any]) -> SinkError | None:
        url = robot.address(self._clock.now().timestamp())
        await robot.bears.take()
        try:
            # A redirect is how the gateway shows that a robot is silenced.
            answer = await self._post(url, made, expected=range(300, 400))
            error = outcome(answer.status, answer.body, answer.shown())
        except SinkError as refusal:
            error = refusal
        if isinstance(error, Retry) and error.after is not None:
            robot.rest(self._clock.monotonic() + error.after)
        elif isinstance(error, Blocked) and len(self._robots) > 1:
            robot.rest(self._clock.monotonic() + _PROBE)
        return error

    def _why(self, refused: list[tuple[_Robot, SinkError]]) -> SinkError:
        """Return what to raise where no robot took the message."""
        now = self._clock.monotonic()
        after = min(robot.wait(now) for robot in self._robots)
        waiting = [error for _, error in refused if isinstance(error, Retry)]
        if refused and not waiting and len(refused) == len(self._robots):
            return refused[0][1]
        if waiting:
            return Retry(str(waiting[0]), reason=waiting[0].reason, after=after, answer=waiting[0].answer)
        return Retry(
            f"Each robot has been sent {PER_MINUTE} messages within a minute, or rests.", reason="paced", after=after
        )
