"""`kind: influxdb`: events as points, in InfluxDB 1.8 and later, 2 and 3.

One write holds a batch, over the interface that all of them know (/api/v2/write). A point's place comes from its
event alone, so what is sent again after a lost answer or a kill takes the place of its first copy. The rest is in the
private modules beside this one: lines, client, answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from eventer.errors import SinkError
from eventer.layout import Column
from eventer.sink import Batch, ConcurrentSinkConfig, Sent, SinkContext
from eventer.values import Secret
from sinks._answers import Answer
from sinks._auth import BasicConfig
from sinks._failures import missing
from sinks._influxdb_answers import judged
from sinks._influxdb_lines import MORE, LayoutName, Lines, check_names, default_tags, escaped
from sinks._peer import forbidden
from sinks._proxy import ProxyConfig
from sinks._tls import TlsConfig

if TYPE_CHECKING:
    from sinks._influxdb_client import Wire

__all__ = ["Config", "Sink"]

NO_ORG: Final = "-"
"""What 1.x and 3 are given for an organization, which they do not look at."""


class InfluxAuthConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who we are, for InfluxDB. Read again for every write, so that secrets can rotate."""

    token: Secret | None = None
    """Token of InfluxDB 2 or 3 that may write to the bucket."""
    basic: BasicConfig | None = None
    """User name and password: of InfluxDB 1.x, or of a proxy in front of any."""

    def __post_init__(self) -> None:
        """Check that one of the two is there.

        Raises:
            ValueError: with the remedy.
        """
        if (self.token is None) == (self.basic is None):
            raise ValueError("auth takes one of token and basic; write for example `auth: {token: ${INFLUX_TOKEN}}`")


class Config(ConcurrentSinkConfig, kw_only=True):
    """Options of `kind: influxdb`."""

    url: Annotated[str, Meta(examples=["http://influxdb.example:8086"])]
    """Where it is: http://host:8086 or https://host:8086. No user name and password in it."""
    bucket: Annotated[str, Meta(examples=["events"])]
    """Where the points go: a bucket (2), a database (3), or a database with or without a retention policy,
    such as events/autogen (1.x). It must exist."""
    org: str = NO_ORG
    """Organization that the bucket belongs to; only InfluxDB 2 wants it."""
    measurement: str = "events"
    """What the points are of: the measurement (1.x, 2) or table (3)."""
    layout: LayoutName = "eventer"
    """Tags and fields of a point: those of an event, as everywhere else (`eventer`), or those of kube-eventer with
    `withfields=true`, for its users' dashboards (`kube-eventer`)."""
    fields: dict[str, Column] = msgspec.field(default_factory=dict)
    """Fields of your own, in place of a layout: name to a field of the event, such as `message`, `labels.team`
    or `time | seconds`, or to a constant, such as `=prod`. `id` is added."""
    tags: list[str] | None = None
    """What becomes a tag: of cluster, origin, type, reason, kind, namespace, component, node, condition, status, and
    labels.NAME. By default cluster, namespace, kind, type, reason and component; for `kube-eventer` also node."""
    tag_values: Annotated[int, Meta(ge=1, le=100_000)] = 5000
    """Most values that a tag gets between two starts: what comes beyond them has the tag `(more)`, and its value in
    the field `capped`. It keeps somebody who invents reasons from making series without end."""
    gzip: bool = False
    """Compress writes: a tenth of the bytes, for some more CPU."""
    auth: InfluxAuthConfig | None = None
    """Who we are: a token, or user name and password."""
    tls: TlsConfig = msgspec.field(default_factory=TlsConfig)
    """Whom to trust, and our own certificate."""
    proxy: ProxyConfig | None = None
    """HTTP proxy to go through: http://host:port. Variables such as HTTPS_PROXY are not looked at."""

    def __post_init__(self) -> None:
        """Check what goes together.

        Raises:
            ValueError: with the remedy.
        """
        super().__post_init__()
        _check_url(self.url)
        for option, name in (("bucket", self.bucket), ("org", self.org), ("measurement", self.measurement)):
            if not name.strip() or escaped(name).count("_") > name.count("_") or len(name) > 200:
                raise ValueError(f"{option}: a name has 1 to 200 characters, none of them a backslash or a line break")
        if self.measurement.startswith("_"):
            raise ValueError("measurement: names that begin with _ are InfluxDB's own; take another one")
        if self.measurement.startswith("#"):
            raise ValueError("measurement: a line that begins with # is a comment to InfluxDB; take another name")
        if self.fields and self.layout != "eventer":
            raise ValueError("fields and layout contradict each other; leave one of them out")
        check_names(self.tag_names, self.fields, self.layout)
        if self.proxy and not self.proxy.url.startswith("http:"):
            raise ValueError("proxy.url: this sink goes through http proxies only; write http://host:port")

    @property
    def tag_names(self) -> tuple[str, ...]:
        """What becomes a tag."""
        return default_tags(self.layout) if self.tags is None else tuple(self.tags)


class Sink:
    """See `eventer.sink.Sink`. Sends may overlap: what they share is which values of tags were seen."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        self._config = config
        self._clock = context.clock
        self._lines = Lines(config.measurement, config.layout, config.tag_names, config.tag_values, config.fields)
        self._wire: Wire | None = None

    async def open(self, state: bytes | None) -> None:
        """Get ready; nothing is sent to probe the far side.

        Raises:
            Blocked: files of certificates cannot be used, or the library is missing.
        """
        config = self._config
        if self._wire is None:
            try:
                from sinks._influxdb_client import Wire
            except ImportError as error:
                raise missing("influxdb", error) from None
            auth = config.auth
            self._wire = Wire(
                config.url,
                bucket=config.bucket,
                org=config.org,
                timeout=config.timeout,
                token=auth.token if auth else None,
                basic=auth.basic if auth else None,
                tls=config.tls,
                proxy=config.proxy,
                connections=config.in_flight,
            )
        await self._wire.open()

    async def close(self) -> None:
        """Close the connections."""
        if self._wire is not None:
            await self._wire.close()

    async def probe(self) -> str:
        """See whether the bucket is there and would take points from us, without writing one.

        Returns:
            What was proved, in a sentence.

        Raises:
            Retry, Rejected, Blocked: as for `send`.
        """
        await self.open(None)
        # Every version looks at credentials and bucket first; 2 and 3 then say that a write without points is none.
        answer = await self._write(b"")
        if answer.status != 400:
            self._judged(answer, [])
        return f"The bucket {self._config.bucket} is there, and we may write to it."

    async def send(self, batch: Batch) -> Sent:
        """Write the points of a batch.

        Raises:
            Retry, Rejected, Blocked: see `sinks._influxdb_client` and `sinks._influxdb_answers`.
        """
        lines, times, failed = self._lines.of(batch)
        if not lines:
            return Sent(failed=failed)
        answer = await self._write("\n".join(lines).encode("utf-8", "replace"))
        sent = self._judged(answer, times)
        note = ""
        if full := self._lines.full:
            note = (
                f"More than {self._config.tag_values} values were seen of the tag {', '.join(sorted(full))}. Further "
                f"ones are told as {MORE}, with their value in the field capped; choose other tags, or raise "
                "tag_values."
            )
        if not failed:
            return msgspec.structs.replace(sent, note=note)
        places = [place for place in range(len(batch)) if place not in failed]
        refused: dict[int, SinkError] = {places[line]: error for line, error in sent.failed.items()}
        return Sent(failed=failed | refused, note=note)

    async def _write(self, body: bytes) -> Answer:
        assert self._wire is not None, "send before open"
        return await self._wire.write(body, gzip=self._config.gzip)

    def _judged(self, answer: Answer, times: list[int]) -> Sent:
        assert self._wire is not None, "send before open"
        return judged(answer, times, self._wire.place, self._clock.now())


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url.strip())
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise ValueError("url: this is no address of an InfluxDB; write for example http://host:8086")
    if "@" in url:
        raise ValueError("url: user name and password do not belong into the address; write them under auth")
    if forbidden(parts.hostname or ""):
        raise ValueError(
            "url: to link-local addresses and metadata services of clouds nothing is sent; write that of InfluxDB"
        )
