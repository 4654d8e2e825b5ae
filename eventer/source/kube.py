"""The connection to one API server: the only importer of kubernetes_asyncio.

The library brings what is tedious to get right: kubeconfig, contexts, exec plugins, client certificates
and in-cluster tokens. Its watch, typed models and error handling are not used: with raw answers it
checks no status, follows redirects and never times out, so all of that is done here. Everything that
goes wrong leaves this module as `Gone`, `Refused` or `Broken`, with a message that holds no URL and no
credential.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import aiohttp
import msgspec

from eventer.errors import Broken, ConfigError, Fault, Refused, SourceError
from eventer.source.answers import date_of, failure_of, words
from eventer.source.envelope import uid_of
from eventer.source.keepalive import harden
from eventer.source.reads import READ_SIZE, Reads, Stalled

__all__ = ["Answer", "Cluster", "Oversized", "Reads", "Stalled", "identify"]

BODY_CAP: Final = 256 << 20
"""Most bytes of one answer. A page of 500 events has 0.6 MB as a rule."""
CONNECT: Final = 10.0
HEADERS: Final = 30.0
LOAD: Final = 30.0
"""Seconds for loading the configuration: an exec plugin may ask its cloud for a token."""
_ERROR_BODY: Final = 64 << 10
_JSON: Final = "application/json"
_PLUGIN: Final = re.compile(r"exec: process returned (-?\d+)")
"""How kubernetes_asyncio says that an exec plugin failed."""


class Oversized(Broken):
    """An answer is larger than we are willing to hold; ask for less at once."""


class Answer(msgspec.Struct, frozen=True):
    """A successful answer."""

    body: bytes | bytearray
    date: datetime | None
    """The server's clock (Date header), None where it tells none."""


class _Call(NamedTuple):
    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: object = None


class _Session:
    """One configured client. It is replaced, never changed, and closed when its last request is done.

    Each request uses it as a context manager, from before it is sent until its answer is closed.
    """

    def __init__(self, api: Any) -> None:
        self.api = api
        self.retired = False
        self._users = 0

    async def __aenter__(self) -> Self:
        self._users += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        if self.retired and not self._users:
            await self.api.close()


class _Once:
    """What kubernetes_asyncio calls its pool: adds what its interface cannot say to each request."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def request(self, **arguments: Any) -> Any:
        # A redirect would carry the token to another host. The library's read buffer is for its line
        # reader: with 2 MiB up to 4 MiB pile up per watch.
        return self._session.request(**{**arguments, "allow_redirects": False, "read_bufsize": READ_SIZE})

    async def close(self) -> None:
        await self._session.close()


class Cluster:
    """One API server and how to speak to it. Get one from `connect`; several streams share it."""

    def __init__(self, kubeconfig: str | Path | None, context: str | None) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._session: _Session | None = None
        self._loading = asyncio.Lock()
        self.reloads = 0
        """How often the configuration was read again: after a 401, a TLS error, or an exec plugin that failed."""

    @classmethod
    async def connect(cls, kubeconfig: str | Path | None = None, context: str | None = None) -> Cluster:
        """Load the configuration. Nothing is sent yet.

        Without arguments: the pod's service account inside a cluster, else $KUBECONFIG or ~/.kube/config.
        An exec plugin that fails or hangs may work later: it is asked again with the first request.

        Args:
            kubeconfig: a kubeconfig file.
            context: a context in it; None for its current one.

        Raises:
            ConfigError: there is no usable configuration; the fault says what to do.
        """
        cluster = cls(kubeconfig, context)
        try:
            cluster._session = await cluster._load()
        except _PluginError:
            pass
        except _LoadError as error:
            raise ConfigError([Fault(path="kubernetes", message=str(error), remedy=error.remedy)]) from None
        return cluster

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.api.close()

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, accept: str | None = None, deadline: float = 30.0
    ) -> Answer:
        """Send one GET and read its whole answer.

        Args:
            path: absolute path.
            params: query.
            accept: media type; JSON without it.
            deadline: seconds for everything, the body included.

        Raises:
            Gone, Refused: the server said so.
            Stalled: no complete answer within the deadline.
            Broken: no connection, or one that broke.
        """
        return await self._whole(_Call("GET", path, params or {}, {"Accept": accept or _JSON}), deadline)

    async def patch(self, path: str, change: Mapping[str, Any], *, deadline: float = 30.0) -> Answer:
        """Change one object by a JSON merge patch (RFC 7396), which leaves out what stays as it is.

        Args:
            path: absolute path.
            change: the patch. If it has `metadata.resourceVersion`, an object with another one is left alone (409).
            deadline: seconds for everything.

        Raises:
            Gone, Refused: the server said so; nothing was changed.
            Stalled, Broken: as `get`; whether the object was changed is not known.
        """
        headers = {"Accept": _JSON, "Content-Type": "application/merge-patch+json"}
        return await self._whole(_Call("PATCH", path, {}, headers, change), deadline)

    async def _whole(self, call: _Call, deadline: float) -> Answer:
        try:
            async with asyncio.timeout(deadline), self._request(call, deadline) as response:
                return Answer(await _read_body(response), date_of(response.headers))
        except TimeoutError:
            raise Stalled(f"No complete answer within {deadline:.0f} s.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(f"The answer was cut: {words(error)}.") from None

    @asynccontextmanager
    async def watch(
        self, path: str, params: Mapping[str, str], *, idle: float, accept: str = _JSON
    ) -> AsyncIterator[Reads]:
        """Open a watch; its socket is closed at the end of the block, whatever ended it.

        Args:
            path, params, accept: as for `get`.
            idle: seconds of silence after which a read is given up.

        Raises:
            Gone, Refused, Stalled, Broken: as `get`.
        """
        async with self._request(_Call("GET", path, params, {"Accept": accept}), min(HEADERS, idle)) as response:
            harden(response)
            yield Reads(response, idle)

    @asynccontextmanager
    async def _request(self, call: _Call, deadline: float) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and yield its answer, unread. A 401 or a TLS error reloads the configuration once."""
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(self._session or await self._reload(None))
            try:
                response = await self._send(session, call, deadline)
            except _AgainError:
                session = await stack.enter_async_context(await self._reload(session))
                try:
                    response = await self._send(session, call, deadline)
                except _AgainError as again:
                    raise again.error from None
            stack.callback(response.close)
            yield response

    async def _send(self, session: _Session, call: _Call, deadline: float) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout(deadline):
                response: aiohttp.ClientResponse = await session.api.call_api(
                    call.path,
                    call.method,
                    query_params=list(call.params.items()),
                    header_params=dict(call.headers),
                    body=call.body,
                    auth_settings=["BearerToken"],
                    _preload_content=False,
                    _request_timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
                )
        except aiohttp.ClientSSLError as tls:
            raise _AgainError(Broken(f"No connection: {words(tls)}.")) from None
        except aiohttp.ServerTimeoutError:
            raise Broken(f"No connection within {CONNECT:.0f} s.") from None
        except TimeoutError:
            raise Stalled(f"No answer within {deadline:.0f} s.") from None
        except Exception as other:  # noqa: BLE001 - a token hook of the library raises anything
            raise Broken(f"No answer: {words(other)}.") from None
        if response.status == 200 and ("json" in response.content_type or "*/*" in call.headers["Accept"]):
            return response
        try:
            failure = await _failure(response)
        finally:
            response.close()
        raise _AgainError(failure) if response.status == 401 else failure

    async def _reload(self, used: _Session | None) -> _Session:
        """Read kubeconfig, token file, certificates and exec plugin again, once for all who failed together.

        Args:
            used: what the caller was refused with; None if nothing could be loaded so far.
        """
        async with self._loading:
            if self._session is not None and self._session is not used:
                return self._session
            self.reloads += 1
            try:
                self._session = await self._load()
            except _LoadError as error:
                why = "" if used is None else "Access was refused, and reading the configuration again failed: "
                raise Broken(f"{why}{error}") from None
            if used is not None:
                used.retired = True
            return self._session

    async def _load(self) -> _Session:
        # Not at the top: the import costs 63 MiB, which commands without a cluster need not pay.
        from kubernetes_asyncio import client, config

        # Its loaders log what an exec plugin printed, which may be a credential; we say what failed.
        logging.getLogger("kubernetes_asyncio").setLevel(logging.CRITICAL + 1)
        configuration = client.Configuration()
        inside = self._kubeconfig is None and self._context is None and "KUBERNETES_SERVICE_HOST" in os.environ
        file = os.fspath(self._kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")
        try:
            async with asyncio.timeout(LOAD):
                if inside:
                    load: Any = config.load_incluster_config
                    load(client_configuration=configuration)
                else:
                    _require(file)
                    # Never written back: we only read, and the file may be shared.
                    await config.load_kube_config(
                        config_file=file,
                        context=self._context,
                        client_configuration=configuration,
                        persist_config=False,
                    )
            api: Any = client.ApiClient(configuration)
        except _LoadError:
            raise
        except Exception as error:  # noqa: BLE001 - the loaders raise anything, from KeyError to AssertionError
            where = "the pod's service account" if inside else f"the kubeconfig {file}"
            remedy = "Try it with kubectl."
            if isinstance(error, TimeoutError):
                raise _PluginError(f"Cannot use {where}: its exec plugin takes too long.", remedy) from None
            if failed := _PLUGIN.match(str(error)):
                # What comes after this is what the plugin wrote, and it may be a credential.
                raise _PluginError(f"Cannot use {where}: its exec plugin ended with {failed[1]}.", remedy) from None
            raise _LoadError(f"Cannot use {where}: {words(error)}.", remedy) from None
        api.rest_client.pool_manager = _Once(api.rest_client.pool_manager)
        api.user_agent = "eventer"
        return _Session(api)


class _LoadError(Exception):
    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class _PluginError(_LoadError):
    """An exec plugin failed: its cloud may be down, and up again in a minute."""


class _AgainError(Exception):
    """Worth another try with the configuration read again."""

    def __init__(self, error: SourceError) -> None:
        super().__init__(str(error))
        self.error = error


async def identify(cluster: Cluster) -> str | None:
    """Return the uid of kube-system, which tells clusters apart; None where reading it is forbidden.

    Raises:
        Gone, Refused, Stalled, Broken: as `Cluster.get`.
    """
    try:
        answer = await cluster.get("/api/v1/namespaces/kube-system")
    except Refused as error:
        if error.status in {403, 404}:
            return None
        raise
    return uid_of(answer.body)


def _require(paths: str) -> None:
    """The library only warns about a file that is not there, and then fails on something else."""
    if any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path):
        return
    raise _LoadError(
        f"There is no kubeconfig at {paths}, and this process does not run in a pod.",
        "Name a kubeconfig file (`kubernetes: {kubeconfig: PATH}`), or set KUBECONFIG.",
    )


async def _read_body(response: aiohttp.ClientResponse) -> bytearray:
    # Grown in place: parts, joined at the end, are there twice for a moment, and a list without pages is large.
    body = bytearray()
    while part := await response.content.read(READ_SIZE):
        body += part
        if len(body) > BODY_CAP:
            raise Oversized(f"An answer is larger than {BODY_CAP >> 20} MiB.")
    return body


async def _failure(response: aiohttp.ClientResponse) -> SourceError:
    if response.status == 200:
        return Broken("The answer is no JSON: something else than an API server answers there.")
    body = b""
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(HEADERS):
            while len(body) < _ERROR_BODY and (part := await response.content.read(_ERROR_BODY - len(body))):
                body += part
    return failure_of(response.status, response.headers, body)
