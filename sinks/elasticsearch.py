"""`kind: elasticsearch`: events as documents, in Elasticsearch 7 to 9, OpenSearch 1 to 3, and their serverless forms.

One bulk request holds a batch. Each document has an `_id` that comes from its event, so what is sent again
after a lost answer or a kill meets its first copy and counts as a duplicate. The rest is in the private
modules beside this one: documents, answers, template, auth.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.layout import Column
from eventer.sink import Batch, ConcurrentSinkConfig, Sent, SinkContext
from eventer.values import Duration
from sinks._answers import Answer
from sinks._elasticsearch_answers import FILTER, judged, of_whole
from sinks._elasticsearch_auth import SearchAuthConfig, Signer, plain
from sinks._elasticsearch_documents import Documents, check_index
from sinks._elasticsearch_template import Server, outdated, template, template_name
from sinks._gzip import compressed
from sinks._http import Http, check_address
from sinks._proxy import ProxyConfig
from sinks._tls import TlsConfig

__all__ = ["Config", "Sink"]

ANSWER_LIMIT: Final = 16 << 20
"""Bytes read of an answer: 10,000 items that all failed, with 1.6 KiB of reason each."""
OLDEST: Final = (7, 0)
"""Older ones want the type of each document."""
UNSENT: Final = frozenset({"refused", "dns", "tls", "address"})
"""Reasons for which the far side has got nothing of the request, so that another node can have it at once."""

_PRODUCTS: Final = {"elasticsearch": "Elasticsearch", "opensearch": "OpenSearch", "": "The cluster"}
_RIGHT: Final = "give our user or key the privilege create_doc, or index for `mode: latest`."


class Config(ConcurrentSinkConfig, kw_only=True):
    """Options of `kind: elasticsearch`."""

    url: Annotated[str, Meta(examples=["https://elasticsearch.example:9200"])]
    """Where the cluster is: https://host:9200. Several nodes are separated by commas: if one does not answer,
    the next one is asked. No user name and password in it."""
    index: str = "events-{yyyy.MM.dd}"
    """Name of the index. {yyyy.MM.dd}, {yyyy.MM} and {yyyy} stand for the event's own time (UTC). With another
    `mode` than `events` it is one name, without a date."""
    mode: Literal["events", "data-stream", "latest"] = "events"
    """`events`: a document for each state of an Event, in an index by its time. `data-stream`: the same, in
    a data stream, which begins new indexes by itself. `latest`: one document for each Event, with its
    latest state."""
    layout: Literal["eventer", "ecs", "kube-eventer"] = "eventer"
    """Fields of a document: `eventer`, as everywhere else, and `@timestamp`; `ecs`, those of Elastic's
    own module for Kubernetes (Elastic Common Schema); `kube-eventer`, those of the tool of that name."""
    fields: dict[str, Column] = msgspec.field(default_factory=dict)
    """Fields of your own, in place of a layout: name to a field of the event, such as `message`, `labels.team`
    or `time | seconds`, or to a constant, such as `=prod`. `@timestamp` is added."""
    template: bool = False
    """Install the index template at the start: how fields are mapped. It needs the right to manage index
    templates, and holds for indexes that are made after it."""
    pipeline: Annotated[str | None, Meta(examples=["add-team"])] = None
    """Ingest pipeline that documents go through."""
    gzip: bool = False
    """Compress requests: a tenth of the bytes or less, for more CPU than the rest of sending takes."""
    auth: SearchAuthConfig | None = None
    """Who we are: user name and password, an API key, a token, or a role of AWS."""
    tls: TlsConfig = msgspec.field(default_factory=TlsConfig)
    """Whom to trust, and our own certificate."""
    proxy: ProxyConfig | None = None
    """HTTP proxy to go through. Variables such as HTTPS_PROXY are not looked at."""
    timeout: Duration = Duration(30)
    """Most time for one send, answer included. After it the outcome is unknown, and the send is
    repeated."""

    def __post_init__(self) -> None:
        """Check what goes together.

        Raises:
            ValueError: with the remedy.
        """
        super().__post_init__()
        nodes = _nodes(self.url)
        if not nodes or any(mark in self.url for mark in "?#"):
            raise ValueError("url: this is no address of a cluster; write for example https://host:9200")
        if "@" in self.url:
            raise ValueError("url: user name and password do not belong into the address; write them under auth")
        for node in nodes:
            check_address(node, "url")
        try:
            check_index(self.index, self.mode)
        except ValueError as error:
            raise ValueError(f"index: {error}") from None
        if self.fields and self.layout != "eventer":
            raise ValueError("fields and layout contradict each other; leave one of them out")
        stamp = self.fields.get("@timestamp")
        if stamp is not None and (stamp.field != "time" or stamp.form not in {None, "milliseconds"}):
            raise ValueError("fields: @timestamp is when the event happened; write `time`, or leave it out")
        if self.pipeline is not None and not _plain(self.pipeline):
            raise ValueError("pipeline: a name takes letters, digits and . _ - here")


class Sink:
    """See `eventer.sink.Sink`. Sends may overlap: what they share is only which node is asked first."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        self._config = config
        self._clock = context.clock
        self._documents = Documents(config.index, config.mode, config.layout, config.fields)
        self._signer = Signer(config.auth.aws) if config.auth and config.auth.aws else None
        self._path = f"/_bulk?filter_path={FILTER}"
        if config.pipeline:
            self._path += f"&pipeline={config.pipeline}"
        self._node = 0
        """How often another node was chosen."""
        self._http = Http(
            timeout=config.timeout,
            clock=context.clock,
            auth=plain(config.auth),
            tls=config.tls,
            proxy=config.proxy,
            connections=config.in_flight,
            answer_limit=ANSWER_LIMIT,
        )

    async def open(self, state: bytes | None) -> None:
        """See who answers, and prepare what the options ask for.

        Raises:
            Retry: nobody answers.
            Blocked: credentials, certificates or rights are missing, or the version is too old.
        """
        server = await self._reach()
        if self._config.template:
            await self._install(server)
        if self._config.mode == "data-stream":
            await self._stream()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def probe(self) -> str:
        """See whether the cluster would take documents from us; neither a document nor a template is written.

        Returns:
            What was proved, in a sentence.

        Raises:
            Retry, Rejected, Blocked: as for `send`.
        """
        server = await self._reach()
        who = f"{_PRODUCTS[server.product]} {'.'.join(map(str, server.version))}".rstrip()
        if self._config.pipeline:
            path = f"/_ingest/pipeline/{self._config.pipeline}"
            answer = await self._request("GET", path, expected={403, 404})
            if answer.status == 404:
                raise Blocked(
                    f"There is no ingest pipeline {self._config.pipeline}: create it, or leave it out.",
                    reason="pipeline",
                )
        name = self._documents.name(self._clock.now().isoformat().encode())
        allowed = await self._allowed(name) if server.product == "elasticsearch" else None
        if allowed is False:
            raise Blocked(f"{who} answers, but we may not create documents in {name}: {_RIGHT}", reason="denied")
        if allowed:
            return f"{who} answers, and we may create documents in {name}."
        return f"{who} answers, and lets us in. Whether we may write to {name} is known only with the first event."

    async def send(self, batch: Batch) -> Sent:
        """Send one bulk request.

        Raises:
            Retry, Rejected, Blocked: see `sinks._http` and `sinks._elasticsearch_answers`.
        """
        bulk = self._documents.bulk(batch)
        answer = await self._request("POST", self._path, bulk.body)
        if len(answer.body) >= ANSWER_LIMIT and len(batch) > 1:
            raise Rejected("The answer is too long; smaller requests will do.", reason="answer")
        return judged(answer, len(batch), bulk.names)

    def destinations(self, batch: Batch) -> Sequence[str]:
        """Name the index of each event, so that events for an index that takes nothing are known beforehand."""
        return self._documents.names(batch)

    # -- before the first send -------------------------------------------------------------------

    async def _reach(self) -> Server:
        """Get ready for requests, and see who answers."""
        await self._http.open()
        if self._signer:
            await self._signer.open()
        return await self._server()

    async def _allowed(self, name: str) -> bool | None:
        """Ask whether we may create documents in an index; None where that is not told.

        https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-security-has-privileges, which
        everybody may ask about himself. OpenSearch has nothing like it.
        """
        right = "index" if self._config.mode == "latest" else "create_doc"
        asked = {"index": [{"names": [name], "privileges": [right]}]}
        path = "/_security/user/_has_privileges"
        body = msgspec.json.encode(asked)
        # Without its security, or where it is somebody else's, the cluster does not know the path.
        answer = await self._request("POST", path, body, expected={400, 403, 404, 405, 500})
        try:
            found = msgspec.json.decode(answer.body, type=_Privileges)
        except (msgspec.MsgspecError, RecursionError):
            return None
        return found.has_all_requested

    async def _server(self) -> Server:
        """Ask who answers. Where that is not told (serverless collections, missing rights), it does not matter.

        Raises:
            Blocked: the version is too old.
        """
        answer = await self._request("GET", "/", expected={403, 404})
        try:
            found = msgspec.json.decode(answer.body, type=_Root)
        except (msgspec.MsgspecError, RecursionError):
            return Server()
        version = tuple(int(part) for part in found.version.number.split("-")[0].split(".") if part.isdigit())
        server = Server(
            product="opensearch" if found.version.distribution == "opensearch" else "elasticsearch",
            version=version,
            flavor=found.version.build_flavor,
        )
        if server.product == "elasticsearch" and version < OLDEST:
            raise Blocked(
                f"This is Elasticsearch {found.version.number[:20]}; versions before 7 are not supported.",
                reason="version",
            )
        return server

    async def _install(self, server: Server) -> None:
        """Install the template, unless it is there.

        Raises:
            Blocked: it is refused.
        """
        config = self._config
        path = f"/_index_template/{template_name(config.index)}"
        stream = config.mode == "data-stream"
        wanted = template(server, config.index, config.layout, config.fields, stream=stream)
        answer = await self._request("GET", path, expected={400, 403, 404, 405})
        if answer.status == 200:
            try:
                (found,) = msgspec.json.decode(answer.body)["index_templates"]
                if not outdated(found["index_template"], wanted):
                    return
            except (msgspec.DecodeError, RecursionError, ValueError, KeyError, TypeError):
                raise Retry("The answer is not that of Elasticsearch or OpenSearch.", reason="answer") from None
        answer = await self._request("PUT", path, msgspec.json.encode(wanted), expected={400, 403, 404, 405})
        if answer.status == 403:
            raise Blocked(
                "We may not install the index template: give our user or key the right to manage index templates, or "
                "install it by hand and leave `template` out.",
                reason="denied",
                answer=answer.shown(),
            )
        if answer.status != 200:
            raise Blocked(
                f"The index template was refused with {answer.status}: install one by hand and leave `template` out. "
                "Index templates of this kind need Elasticsearch 7.8 or newer, or OpenSearch.",
                reason="template",
                answer=answer.shown(),
            )

    async def _stream(self) -> None:
        """Make the data stream, unless it is there: otherwise the first document would make a plain index.

        Raises:
            Blocked: no template says that the name is a data stream's.
        """
        path = f"/_data_stream/{self._config.index}"
        answer = await self._request("GET", path, expected={403, 404})
        if answer.status != 404:
            return  # it is there, or that is not for us to know
        answer = await self._request("PUT", path, expected={400, 403, 404})
        if answer.status == 400 and b"resource_already_exists" not in answer.body:
            raise Blocked(
                f"There is no index template that makes {self._config.index} a data stream: write `template: true`, or "
                "install one.",
                reason="template",
                answer=answer.shown(),
            )

    # -- requests --------------------------------------------------------------------------------

    async def _request(self, method: str, path: str, body: bytes = b"", *, expected: Container[int] = ()) -> Answer:
        """Send a request to the node that answered last, or to the next one where it cannot be reached.

        Args:
            method: GET, POST, PUT.
            path: with its query, percent-encoded.
            body: empty, JSON or NDJSON.
            expected: statuses other than 2xx that are answers.
        """
        config = self._config
        headers: dict[str, str] = {}
        if body:
            headers["Content-Type"] = "application/x-ndjson" if path == self._path else "application/json"
        if config.gzip and body:
            headers["Content-Encoding"] = "gzip"
            body = await compressed(body)
        nodes = _nodes(config.url)
        for left in reversed(range(len(nodes))):
            at = self._node
            url = nodes[at % len(nodes)].rstrip("/") + path
            sent = await self._signer.sign(method, url, headers, body) if self._signer else headers
            try:
                return await self._http.request(method, url, body, sent, expected=expected)
            except SinkError as error:
                if not isinstance(error, Rejected) and self._node == at:  # or a send beside this one was quicker
                    self._node = at + 1
                if not left or error.reason not in UNSENT:
                    raise of_whole(error) from None
        raise AssertionError("there is a node, says the configuration")


class _Version(msgspec.Struct):
    number: str
    distribution: str = ""
    build_flavor: str = ""


class _Root(msgspec.Struct):
    """What GET / answers, as far as it matters."""

    version: _Version


class _Privileges(msgspec.Struct):
    """What asking for privileges answers, as far as it matters."""

    has_all_requested: bool


def _nodes(urls: str) -> list[str]:
    return [url.strip() for url in urls.split(",") if url.strip()]


def _plain(name: str) -> bool:
    return name.replace(".", "").replace("_", "").replace("-", "").isalnum() and name.isascii()
