"""How `kind: kafka` finds its brokers, whom it trusts, and who it is to them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventer.errors import Blocked, Retry, SinkError
from eventer.values import Duration, Secret
from sinks._kafka_options import SaslConfig
from sinks._tls import TlsConfig
from tests.helpers.fakekafka import FakeKafka
from tests.helpers.process import free_port
from tests.helpers.sinks import batch_of, make_event
from tests.sinks.test_http import leads_to
from tests.sinks.test_kafka import ids, opened
from tests.sinks.test_kafka_answers import closed, failure
from tests.sinks.test_tls import TLS, server_tls


@pytest.fixture
async def far() -> AsyncIterator[FakeKafka]:
    async with FakeKafka() as broker:
        yield broker


# -- addresses -----------------------------------------------------------------------------------


async def test_s20_names_that_do_not_resolve_are_tried_again(far: FakeKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    far.name = "kafka.example"
    async with closed(far, sasl=None) as sink:
        far.password = None
        for code in (socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_NONAME):

            def broken(*_: Any, code: int = code, **__: Any) -> Any:
                raise socket.gaierror(code, "down")

            with monkeypatch.context() as patch:
                patch.setattr(socket, "getaddrinfo", broken)
                with pytest.raises(Retry) as failed:
                    await sink.open(None)
            assert failed.value.reason == "dns"
        leads_to(monkeypatch, "127.0.0.1")
        await sink.open(None)
        assert (await sink.send(batch_of([make_event(1)]))).failed == {}


async def test_s20_a_name_that_leads_elsewhere_is_followed(far: FakeKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    after = FakeKafka()
    after.host, after.port = "127.0.0.2", far.port
    far.name = after.name = "kafka.example"
    leads_to(monkeypatch, far.host)
    async with opened(far) as sink:
        await sink.send(batch_of([make_event(1)]))
        await far.stop()
        async with after:
            leads_to(monkeypatch, after.host)
            await sent_in_the_end(sink, after)
    assert ids(after.kept) == [make_event(2).id]


async def test_s20_dead_addresses_of_a_name_do_not_hide_a_living_one(
    far: FakeKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    far.name = "kafka.example"
    leads_to(monkeypatch, "::1", "127.0.0.2", "127.0.0.1")
    async with opened(far) as sink:
        assert (await sink.send(batch_of([make_event(1)]))).failed == {}


async def sent_in_the_end(sink: Any, far: FakeKafka) -> None:
    """Send one event, as the runner does: again after each failure, but not for ever."""
    for _ in range(5):
        with contextlib.suppress(Retry):
            await sink.send(batch_of([make_event(2)]))
        if far.kept:
            return


async def test_s20_brokers_that_all_got_other_addresses_are_found_again(far: FakeKafka) -> None:
    """S20. What is known of the cluster is then of no use; `brokers` is asked again."""
    after = FakeKafka()  # which the first one does not name
    after.port = free_port()
    async with opened(far, brokers=[far.server, after.server]) as sink:
        await sink.send(batch_of([make_event(1)]))
        await far.stop()
        async with after:
            await sent_in_the_end(sink, after)
    assert ids(far.kept) == [make_event(1).id]
    assert ids(after.kept) == [make_event(2).id]


# -- who we are ----------------------------------------------------------------------------------


def login(password: Path) -> SaslConfig:
    return SaslConfig(mechanism="PLAIN", username="eventer", password=Secret.file(password))


async def test_a_password_that_is_replaced(far: FakeKafka, tmp_path: Path) -> None:
    """Refused, it is a person's turn; the new one is taken without a restart, and nothing is written twice."""
    path = tmp_path / "password"
    path.write_text("old\n")
    async with closed(far, sasl=login(path), topic="events") as sink:
        far.password = "old"
        await sink.open(None)
        await sink.send(batch_of([make_event(1)]))
        far.lose = True
        with pytest.raises(Retry):
            await sink.send(batch_of([make_event(2)]))
        far.lose, far.password = False, "new"
        error = await failure(sink, make_event(2))
        assert (type(error), error.reason) == (Blocked, "auth")
        assert "eventer" in str(error)
        path.write_text("new\n")
        assert (await sink.send(batch_of([make_event(2)]))).failed == {}
    assert ids(far.kept) == [make_event(1).id, make_event(2).id]


async def test_a_password_that_cannot_be_read(far: FakeKafka, tmp_path: Path) -> None:
    async with closed(far, sasl=login(tmp_path / "missing")) as sink:
        with pytest.raises(Blocked, match="cannot be read"):
            await sink.open(None)


async def test_no_broker_is_a_wait(far: FakeKafka) -> None:
    async with closed(far, sasl=None, brokers=["127.0.0.1:1"]) as sink:
        with pytest.raises(Retry) as failed:
            await sink.open(None)
        assert failed.value.reason == "connect"


async def test_a_broker_that_says_nothing_is_a_wait() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                await reader.read()
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        far = FakeKafka()
        async with closed(far, sasl=None, brokers=[f"127.0.0.1:{port}"], timeout=Duration(0.5)) as sink:
            with pytest.raises(Retry) as failed:
                await sink.open(None)
    assert failed.value.reason == "timeout"


@pytest.mark.parametrize(
    ("certificate", "files", "reason"),
    [("good", {}, "tls"), ("wronghost", {"ca_file": "ca.pem"}, "tls"), ("good", {"ca_file": "ca.pem"}, "")],
)
async def test_certificates(certificate: str, files: dict[str, str], reason: str) -> None:
    config = TlsConfig(**{name: str(TLS / file) for name, file in files.items()})
    async with FakeKafka(server_tls(certificate)) as far, closed(far, tls=config) as sink:
        if not reason:
            await sink.open(None)
            assert (await sink.send(batch_of([make_event(1)]))).failed == {}
            return
        with pytest.raises(Blocked) as failed:
            await sink.open(None)
        assert failed.value.reason == reason


async def test_a_certificate_that_is_replaced_takes_effect_at_the_next_send(tmp_path: Path) -> None:
    """A connection may live for weeks; that of the old certificate is not used any more."""
    files = {name: tmp_path / name for name in ("ca.pem", "good.pem", "key.pem")}
    for name, path in files.items():
        path.write_bytes((TLS / name).read_bytes())
    config = TlsConfig(
        **{f"{key}_file": str(files[name]) for key, name in zip(("ca", "cert", "key"), files, strict=True)}
    )
    async with FakeKafka(server_tls(asks=True)) as far, closed(far, tls=config) as sink:
        await sink.open(None)
        await sink.send(batch_of([make_event(1)]))
        logins = far.logins
        await sink.send(batch_of([make_event(2)]))
        assert far.logins == logins
        files["good.pem"].write_bytes((TLS / "good.pem").read_bytes())
        await sink.send(batch_of([make_event(3)]))
        assert far.logins > logins
        files["good.pem"].write_text("nothing")
        assert (await failure(sink)).reason == "tls"
    assert ids(far.kept) == [make_event(n).id for n in (1, 2, 3)]


async def test_a_broker_that_asks_for_a_certificate_of_ours() -> None:
    config = TlsConfig(ca_file=str(TLS / "ca.pem"))
    ours = TlsConfig(ca_file=str(TLS / "ca.pem"), cert_file=str(TLS / "good.pem"), key_file=str(TLS / "key.pem"))
    async with FakeKafka(server_tls(asks=True)) as far:
        async with closed(far, tls=config, sasl=None) as sink:
            with pytest.raises(SinkError, match="certificate"):
                await sink.open(None)
        async with closed(far, tls=ours, sasl=None) as sink:
            far.password = None
            await sink.open(None)


async def test_tls_where_none_is_spoken(far: FakeKafka) -> None:
    async with closed(far, tls=TlsConfig(ca_file=str(TLS / "ca.pem")), sasl=None) as sink:
        with pytest.raises(SinkError, match="does not speak SSL"):
            await sink.open(None)
