"""`kind: sls`: events as logs of Alibaba Cloud's Log Service (Simple Log Service, SLS).

One signed request holds a batch (PutLogs), and is taken as a whole or not at all. It knows no repeats: after a lost
answer or a kill the same events may be there twice, with the same `id`. The rest is in the private modules beside
this one: logs, protobuf, credentials, signature, answers.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.layout import Column
from eventer.sink import Batch, BatchConfig, ConcurrentSinkConfig, Sent, SinkContext
from sinks._answers import Answer, to_hide
from sinks._http import Http, check_address
from sinks._proxy import ProxyConfig
from sinks._sls_answers import ANSWERS, REQUEST_ID, failure, server_time
from sinks._sls_credentials import Credentials, SlsAuthConfig, provider
from sinks._sls_logs import LayoutName, Logs, check_field
from sinks._sls_protobuf import encode_group
from sinks._sls_signature import signed
from sinks._tls import TlsConfig

__all__ = ["Config", "Sink"]

API_VERSION: Final = "0.6.0"
MOST_LOGS: Final = 4096
"""Logs of one request, as PutLogs documented them until it counted bytes only
(https://www.alibabacloud.com/help/en/log-service/latest/putlogs)."""
MOST_BYTES: Final = 3 << 20
"""Bytes of one request before compression. PutLogs takes 10 MB; its header x-log-bodyrawsize is documented up to this
(https://alibabacloud.com/help/en/sls/developer-reference/common-request-headers), and older installations
take no more."""
SKEW: Final = 60.0
"""Seconds that two readings of the service's clock may differ: less is the time that an answer takes."""

_PROJECT: Final = re.compile("[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_LOGSTORE: Final = re.compile("[A-Za-z0-9_-]{2,63}")
_REGION: Final = re.compile("[a-z0-9-]{2,40}")


class Config(ConcurrentSinkConfig, kw_only=True):
    """Options of `kind: sls`."""

    project: Annotated[str, Meta(examples=["my-project"])]
    """Name of the project. It must exist."""
    logstore: Annotated[str, Meta(examples=["k8s-events"])]
    """Name of the Logstore in it. It must exist."""
    region: Annotated[str, Meta(examples=["cn-hangzhou"])]
    """Region of the project, such as cn-hangzhou."""
    internal: bool = True
    """Take the region's address within Alibaba Cloud (VPC); with `false` the public one."""
    endpoint: Annotated[str | None, Meta(examples=["https://cn-hangzhou-share.log.aliyuncs.com"])] = None
    """Address in place of the region's own: https://host, without the project."""
    auth: Annotated[SlsAuthConfig, Meta(examples=["{ecs_role: auto}"])]
    """Who we are: an access key, a file with one that somebody renews, or the role of the machine."""
    topic: str = ""
    """Topic of the logs (`__topic__`), for example the cluster."""
    source: str = ""
    """Source of the logs (`__source__`)."""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    """Tags of the logs (`__tag__:NAME`)."""
    layout: LayoutName = "eventer"
    """Fields of a log: those of an event, as everywhere else (`eventer`), or those of kube-eventer, for its users'
    dashboards (`kube-eventer`)."""
    fields: dict[str, Column] = msgspec.field(default_factory=dict)
    """Fields of your own, in place of a layout: name to a field of the event, such as `message`, `labels.team`
    or `time | seconds`, or to a constant, such as `=prod`."""
    compression: Literal["deflate", "none"] = "deflate"
    """Compression of requests. Traffic and quotas are counted in compressed bytes."""
    batch: BatchConfig = msgspec.field(default_factory=BatchConfig)
    """Size of one send; the service takes at most 4096 logs."""
    tls: TlsConfig = msgspec.field(default_factory=TlsConfig)
    """Whom to trust, and our own certificate."""
    proxy: ProxyConfig | None = None
    """HTTP proxy to go through. Variables such as HTTPS_PROXY are not looked at."""

    def __post_init__(self) -> None:
        """Check what goes together.

        Raises:
            ValueError: with the remedy.
        """
        super().__post_init__()
        for option, name, form, words in (
            ("project", self.project, _PROJECT, "3 to 63 small letters, digits and dashes, for example my-project"),
            ("logstore", self.logstore, _LOGSTORE, "2 to 63 letters, digits, dashes and underlines"),
            ("region", self.region, _REGION, "what stands in the console's address, for example cn-hangzhou"),
        ):
            if not form.fullmatch(name):
                raise ValueError(f"{option}: {name[:60]!r} can be no name of a {option}; write {words}")
        if self.endpoint is not None:
            check_address(self.endpoint, "endpoint")
            parts = urlsplit(self.endpoint)
            if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
                raise ValueError("endpoint: write nothing behind the host, and no user name; for example https://host")
            if parts.netloc.startswith(f"{self.project}."):
                raise ValueError(f"endpoint: leave the project out; write {parts.scheme}://{_without(parts.netloc)}")
        if self.batch.count > MOST_LOGS:
            raise ValueError(f"batch.count: the service takes at most {MOST_LOGS} logs at once; write that or less")
        if self.fields and self.layout != "eventer":
            raise ValueError("fields and layout contradict each other; leave one of them out")
        for option, names in (("fields", self.fields), ("tags", self.tags)):
            for name in names:
                try:
                    check_field(name)
                except ValueError as error:
                    raise ValueError(f"{option}: {error}") from None


class Sink:
    """See `eventer.sink.Sink`. Sends may overlap: what they share is the access key and the correction of the clock."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        self._config = config
        self._clock = context.clock
        self._logs = Logs(config.layout, config.fields)
        self._keys = provider(config.auth, context.clock)
        self._url, self._host = _place(config)
        self._ahead = 0.0
        """Seconds that the service's clock is ahead of ours, where ours was found to be wrong."""
        self._http = Http(
            timeout=config.timeout,
            clock=context.clock,
            tls=config.tls,
            proxy=config.proxy,
            connections=config.in_flight,
        )

    async def open(self, state: bytes | None) -> None:
        """Get ready; nothing is sent to probe the far side.

        Raises:
            Retry, Blocked: files of certificates or of the access key cannot be used.
        """
        await self._http.open()
        await self._keys.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._keys.close()
        await self._http.close()

    async def probe(self) -> str:
        """See whether the Logstore is there and knows our access key, without writing to it.

        Returns:
            What was proved, in a sentence.

        Raises:
            Retry, Rejected, Blocked: as for `send`.
        """
        await self.open(None)
        config = self._config
        try:
            await self._request("GET", f"/logstores/{config.logstore}", b"", {"x-log-bodyrawsize": "0"})
        except Blocked as error:
            if "log:GetLogStore" not in error.answer:
                raise
            return "The service knows our access key. Whether it may write is known only with the first event."
        return (
            f"The Logstore {config.logstore} is there. Whether we may write to it is known only with the first event."
        )

    async def send(self, batch: Batch) -> Sent:
        """Send one request.

        Raises:
            Retry, Rejected, Blocked: see `sinks._http` and `sinks._sls_answers`.
        """
        config = self._config
        group = encode_group(self._logs.of(batch, self._now()), config.topic, config.source, config.tags)
        if len(group) > MOST_BYTES and len(batch) > 1:
            raise Rejected("The events are too much for one request.", reason="too_large")
        headers = {"Content-Type": "application/x-protobuf", "x-log-bodyrawsize": str(len(group))}
        if config.compression == "deflate":
            headers["x-log-compresstype"] = "deflate"
            group = await asyncio.to_thread(zlib.compress, group, 1)
        await self._request("POST", f"/logstores/{config.logstore}/shards/lb", group, headers)
        return Sent()

    async def _request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        key = await self._keys.get()
        now = self._now()
        sent = signed(
            method,
            path,
            headers | {"Host": self._host, "x-log-apiversion": API_VERSION},
            body,
            credentials=key,
            region=self._config.region,
            now=now,
        )
        answer = await self._http.request(method, self._url + path, body, sent, expected=ANSWERS)
        answer = _hiding(answer, self._url + path, key, sent["Authorization"])
        if answer.status in ANSWERS:
            raise await self._failure(answer, key)
        if not answer.headers.get(REQUEST_ID):
            raise Retry(
                f"The answer {answer.status} is not one of Log Service. Is there a proxy or a portal in between, or is "
                "the endpoint wrong?",
                reason="answer",
                answer=answer.shown(),
            )

    async def _failure(self, answer: Answer, key: Credentials) -> SinkError:
        """Return what a refusal means; correct what can be corrected for the next send."""
        now = self._clock.now()
        error = failure(answer, now)
        if error.reason == "clock":
            server = server_time(answer)
            ahead = 0.0 if server is None else server - now.timestamp()
            if server is not None and abs(ahead - self._ahead) > SKEW:
                self._ahead = ahead
                where = "behind" if ahead > 0 else "ahead of"
                return Retry(
                    f"The clock of this machine is {abs(ahead):.0f} s {where} that of Log Service. Requests "
                    "are signed with the time of the service from now on; set the clock.",
                    reason="clock",
                    after=0.0,
                    answer=error.answer,
                )
        elif error.reason in {"denied", "expired"} and await self._replaced(key):
            return Retry(
                "The access key was refused, and has been replaced since. The events are sent again with the new one.",
                reason=error.reason,
                after=0.0,
                answer=error.answer,
            )
        return error

    async def _replaced(self, key: Credentials) -> bool:
        """Whether there is another access key by now."""
        try:
            return await self._keys.get(renew=True) != key
        except SinkError:
            return False  # what was wrong with the one that was used says more

    def _now(self) -> datetime:
        return self._clock.now() + timedelta(seconds=self._ahead)


def _place(config: Config) -> tuple[str, str]:
    """Return address and Host of requests: the project is part of the host, which an IP address cannot have."""
    endpoint = config.endpoint
    if endpoint is None:
        endpoint = f"https://{config.region}{'-intranet' if config.internal else ''}.log.aliyuncs.com"
    parts = urlsplit(endpoint)
    host = f"{config.project}.{parts.netloc}"
    try:
        ip_address((parts.hostname or "").strip("[]"))
    except ValueError:
        return f"{parts.scheme}://{host}", host
    return f"{parts.scheme}://{parts.netloc}", host


def _hiding(answer: Answer, url: str, key: Credentials, authorization: str) -> Answer:
    """Return an answer that shows neither the key nor the signature, which the service repeats if it is wrong.

    Names in the address are no secrets here, and it helps to read which Logstore is not there.
    """
    ours = [key.secret, key.token, authorization.rpartition("=")[2]]
    ours += [text for text in answer.secrets if text not in url]
    return msgspec.structs.replace(answer, secrets=to_hide(ours))


def _without(host: str) -> str:
    return host.partition(".")[2]
