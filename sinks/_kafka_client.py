"""Kafka's wire for the sink: the one module that imports aiokafka, and every way in which a request can fail.

`AIOKafkaProducer` is not used, because it repeats what got no answer by itself and for ever: the runner
could not know what became of a batch, and a close could hang. Here a request is sent once; who called
repeats it, with the same bytes (`sinks._kafka_producer`). From aiokafka come connections, TLS, SASL,
metadata, and the encoding of batches.

aiokafka turns "wrong password", "foreign certificate" and "nobody there" into one error and writes the
cause into its log only (`AIOKafkaClient.bootstrap`, `_get_conn`). So its log is not shown but read here:
`Wire.cause` is the last exception that it named.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final

from aiokafka import errors
from aiokafka.abc import AbstractTokenProvider
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from eventer.errors import Blocked, Retry, SinkError
from eventer.values import Secret
from sinks._auth import reveal
from sinks._kafka_options import SaslConfig
from sinks._tls import TlsConfig, context, stamp

__all__ = ["CODECS", "Wire", "builder"]

CODECS: Final = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
"""Numbers of the compressions, as a batch names them (https://kafka.apache.org/documentation/#recordbatch)."""
_CLOSE_TIMEOUT: Final = 1.0
"""Seconds for a close in good order; TLS alone would wait 30 s for a far side that is frozen."""
_wire: ContextVar[Wire | None] = ContextVar("kafka_wire", default=None)
"""Which wire runs; tasks that aiokafka starts inherit it."""


class _Ear(logging.Handler):
    """Hears what aiokafka logs, for the wire that it is about."""

    def emit(self, record: logging.LogRecord) -> None:
        wire = _wire.get()
        if wire is None or not isinstance(record.args, tuple):
            return
        for value in record.args:
            if isinstance(value, BaseException):
                wire.cause = value


_log = logging.getLogger("aiokafka")
_log.setLevel(logging.WARNING)  # below that it logs requests, with what is in them
_log.propagate = False
_log.addHandler(_Ear())


class _Token(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is not typed
    """Gives the present token at each connect."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    async def token(self) -> str:
        return reveal(self._token, "The token")


def builder(codec: str, most: int) -> Any:
    """Return what makes one batch of records.

    Args:
        codec: its compression.
        most: bytes after which it takes no further record; the first is always taken.
    """
    return DefaultRecordBatchBuilder(2, CODECS[codec], 0, -1, -1, 0, most)


class Wire:
    """Connections to one Kafka cluster.

    Args:
        servers: `host:port` of the brokers to ask first.
        timeout: seconds for one answer of a broker.
    """

    def __init__(
        self, servers: Sequence[str], *, client_id: str, timeout: float, tls: TlsConfig | None, sasl: SaslConfig | None
    ) -> None:
        self._servers = list(servers)
        self._client_id = client_id
        self._timeout = timeout
        self._tls = tls
        self._sasl = sasl
        self._client: Any = None
        self._made_from: tuple[object, ...] = ()
        self._topics: frozenset[str] = frozenset()
        self._lost = False
        """Whether no broker that we know answers: they may all have got new addresses, so it begins anew."""
        self.cause: BaseException | None = None
        """Why the last connection or request failed, as aiokafka logged it."""

    # -- life ------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect, or connect anew where certificates or the password have changed.

        Raises:
            Retry, Blocked: no broker can be used; the message says why.
        """
        _wire.set(self)
        if self._client is not None:
            if self._present() == self._made_from and not self._lost:
                return
            await self.close()
        made_from = self._present()
        sasl, secure = self._sasl, None
        if self._tls is not None:
            secure = context(self._tls, ssl.create_default_context)
        options: dict[str, Any] = {}
        if sasl is not None:
            options["sasl_mechanism"] = sasl.mechanism
            if sasl.token is not None:
                options["sasl_oauth_token_provider"] = _Token(sasl.token)
            else:
                options["sasl_plain_username"], options["sasl_plain_password"] = sasl.username, made_from[0]
        protocol = ("SASL_" if sasl else "") + ("SSL" if secure else "PLAINTEXT")
        client = AIOKafkaClient(
            bootstrap_servers=self._servers,
            client_id=self._client_id,
            request_timeout_ms=int(self._timeout * 1000),
            security_protocol=protocol,
            ssl_context=secure,
            **options,
        )
        self.cause = None
        try:
            await client.bootstrap()
        except BaseException as error:
            await _close(client)
            if not isinstance(error, Exception):
                raise
            raise self.fault(error) from None
        if not client.cluster.brokers():
            await _close(client)
            if sasl is not None and sasl.token is not None:  # what a broker says to such a client when the login failed
                raise Blocked("Kafka refuses our token; look whether it has expired.", reason="auth")
            raise Retry("Kafka names no broker that could take anything.", reason="connect")
        self._client, self._made_from, self._topics, self._lost = client, made_from, frozenset(), False

    def _present(self) -> tuple[object, ...]:
        """What connections are made from, as it is now: they are made anew when it changes."""
        password = reveal(self._sasl.password, "The password") if self._sasl and self._sasl.password else ""
        return password, stamp(self._tls) if self._tls else ()

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await _close(client)

    # -- metadata --------------------------------------------------------------------------------

    async def look_up(self, topics: Iterable[str], *, anew: bool = False) -> set[str]:
        """Learn about topics; return those of them that cannot be written now.

        Args:
            topics: names.
            anew: ask also about what is known: leaders have changed.

        Raises:
            Retry, Blocked: no broker answers.
        """
        _wire.set(self)
        wanted = frozenset(topics)
        cluster = self._client.cluster
        missing = {topic for topic in wanted if not cluster.partitions_for_topic(topic)}
        if not missing and not anew:
            return missing
        self.cause = None
        # Without those that are not there: each refresh would ask for them again.
        self._topics = frozenset(topic for topic in self._topics if cluster.partitions_for_topic(topic)) | wanted
        self._client.set_topics(self._topics)
        if not await self._client.force_metadata_update():
            self._lost = True
            raise self.fault(errors.NodeNotReadyError())
        missing = {topic for topic in wanted if not cluster.partitions_for_topic(topic)}
        if missing:
            self._topics -= missing
            if self._topics:
                self._client.set_topics(self._topics)
        return missing

    def denied(self, topic: str) -> bool:
        """Whether the last look-up was told that this topic is none of our business."""
        return topic in self._client.cluster.unauthorized_topics

    def partitions(self, topic: str) -> list[int]:
        """Return the numbers of a topic's partitions, in order; none where it is unknown."""
        return sorted(self._client.cluster.partitions_for_topic(topic) or ())

    def leader(self, topic: str, partition: int) -> int | None:
        """Return the broker that leads a partition; None where there is none now."""
        node = self._client.cluster.leader_for_partition(TopicPartition(topic, partition))
        return None if node is None or node < 0 else int(node)

    # -- requests --------------------------------------------------------------------------------

    async def producer_id(self) -> tuple[int, int]:
        """Ask for an identity to number batches under, so that a repeat is known as one.

        Returns:
            Id and epoch; -1, -1 from a far side that knows no such thing.

        Raises:
            Retry, Blocked: see `fault`.
        """
        _wire.set(self)
        request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60_000)
        try:
            answer = await self._client.send(self._client.get_random_node(), request)
        except errors.IncompatibleBrokerVersion:
            return -1, -1
        except Exception as error:  # noqa: BLE001 - `fault` knows
            raise self.fault(error) from None
        if answer.error_code == errors.ClusterAuthorizationFailedError.errno:
            raise Blocked(
                "Kafka does not let us number our batches (CLUSTER_AUTHORIZATION_FAILED). Give the user the right "
                "Write on the topic, and for brokers before 2.8 also IdempotentWrite on the cluster: `kafka-acls.sh "
                "--add --allow-principal User:NAME --operation IdempotentWrite --cluster`.",
                reason="acl",
            )
        if answer.error_code:
            raise Retry(f"Kafka gives us no producer id now (error {answer.error_code}).", reason="producer")
        return int(answer.producer_id), int(answer.producer_epoch)

    async def ready(self, node: int) -> None:
        """Connect to one broker, if we are not.

        Raises:
            Retry, Blocked: it cannot be reached, or refuses us; nothing was sent.
        """
        _wire.set(self)
        self.cause = None
        try:
            there = await self._client.ready(node)
        except Exception as error:  # noqa: BLE001 - `fault` knows
            raise self.fault(error) from None
        if not there:
            raise self.fault(errors.NodeNotReadyError())

    async def produce(
        self, node: int, batches: Mapping[tuple[str, int], bytes | bytearray]
    ) -> dict[tuple[str, int], int]:
        """Send one batch for each of some partitions to their leader, and return the error code of each.

        Raises:
            Retry, Blocked: no answer; what became of the batches is unknown.
        """
        _wire.set(self)
        topics: dict[str, list[tuple[int, bytes | bytearray]]] = {}
        for (topic, partition), data in batches.items():
            topics.setdefault(topic, []).append((partition, data))
        request = ProduceRequest(
            transactional_id=None, required_acks=-1, timeout=int(self._timeout * 1000), topics=list(topics.items())
        )
        try:
            answer = await self._client.send(node, request)
            codes = {(topic, part[0]): int(part[1]) for topic, parts in answer.topics for part in parts}
        except Exception as error:  # noqa: BLE001 - `fault` knows
            raise self.fault(error) from None
        return codes

    # -- failures --------------------------------------------------------------------------------

    def fault(self, error: BaseException | None = None) -> SinkError:
        """Say in words why there was no answer: by what aiokafka logged, else by what it raised."""
        generic = isinstance(
            error, errors.KafkaConnectionError | errors.NodeNotReadyError | errors.RequestTimedOutError
        )
        cause = self.cause if (error is None or generic) and self.cause is not None else error
        while isinstance(cause, errors.KafkaConnectionError) and cause.__cause__ is not None:
            cause = cause.__cause__
        return _words(cause, self._sasl, secure=self._tls is not None)


async def _close(client: Any) -> None:
    connections = list(client._conns.values())  # noqa: SLF001 - nothing public ends a connection at once
    writers = [connection._writer for connection in connections if connection._writer is not None]  # noqa: SLF001
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await client.close()
    except Exception:  # noqa: BLE001, S110 - whatever it is, the sockets are ended below
        pass
    finally:
        for writer in writers:
            with contextlib.suppress(Exception):
                writer.transport.abort()


def _words(cause: BaseException | None, sasl: SaslConfig | None, *, secure: bool) -> SinkError:
    if isinstance(cause, SinkError):  # a file with a token that cannot be read
        return cause
    if isinstance(cause, errors.SaslAuthenticationFailed):
        who = f"the user {sasl.username} or the password" if sasl and sasl.username else "our token"
        return Blocked(
            f"Kafka refuses {who}. Look whether it was made for {sasl.mechanism if sasl else 'SASL'}, and has not been "
            "replaced.",
            reason="auth",
        )
    if isinstance(cause, errors.UnsupportedSaslMechanismError):
        return Blocked(
            f"This listener of Kafka does not know the mechanism {sasl.mechanism if sasl else ''}; write one of those "
            "in its sasl.enabled.mechanisms.",
            reason="auth",
        )
    if isinstance(cause, errors.IllegalSaslStateError):
        return Blocked("This listener of Kafka wants no login; leave `sasl` out, or take another port.", reason="auth")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Blocked(
            f"The certificate of Kafka is not trusted: {cause.verify_message.rstrip('.')}. Name its authority in "
            "tls.ca_file, and brokers by a name that stands in the certificate.",
            reason="tls",
        )
    if isinstance(cause, ssl.SSLError):
        if "WRONG_VERSION" in (cause.reason or "") or "RECORD_LAYER" in (cause.reason or ""):
            return Blocked("This listener of Kafka speaks no TLS; leave `tls` out, or take another port.", reason="tls")
        return Blocked(
            f"TLS with Kafka fails ({cause.reason or 'no reason given'}). It may ask for a certificate of ours: see "
            "tls.cert_file.",
            reason="tls",
        )
    if isinstance(cause, errors.IncompatibleBrokerVersion):
        return Blocked("This is no Kafka, or one older than 1.0: it lacks what is needed.", reason="version")
    if isinstance(cause, socket.gaierror):
        return Retry("The name of a broker cannot be resolved.", reason="dns")
    if isinstance(cause, ConnectionRefusedError):
        return Retry("No broker of Kafka can be reached: the connection is refused.", reason="connect")
    if isinstance(cause, TimeoutError | errors.RequestTimedOutError):
        return Retry("Kafka did not answer in time.", reason="timeout")
    if isinstance(cause, errors.KafkaConnectionError | EOFError | ConnectionError):
        protocol = ("SASL_" if sasl else "") + ("SSL" if secure else "PLAINTEXT")
        return Retry(
            f"Kafka closed the connection. If it always does, this listener does not speak {protocol} (see `tls` and "
            "`sasl`), or it refuses our certificate or our token.",
            reason="connection",
        )
    if isinstance(cause, OSError):
        return Retry(f"No broker of Kafka can be reached: {cause.strerror or type(cause).__name__}.", reason="connect")
    if isinstance(cause, errors.NodeNotReadyError):
        return Retry("The broker that leads the partition cannot be reached.", reason="connect")
    return Retry(f"A request to Kafka failed with {type(cause).__name__}.", reason="unexpected")
