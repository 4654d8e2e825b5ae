"""The way of a write to InfluxDB: names, proxies, certificates, secrets that are replaced; and the probe."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import os
from pathlib import Path
from typing import Any

import pytest

from eventer.errors import Blocked, Retry, SinkError
from eventer.values import Secret
from sinks._auth import BasicConfig
from sinks._proxy import ProxyConfig
from sinks._tls import TlsConfig
from sinks.influxdb import InfluxAuthConfig
from tests.helpers.farside import Answer, FarSide
from tests.helpers.influx import Influx
from tests.helpers.sinks import batch_of, make_event
from tests.sinks.test_influxdb import InfluxHarness, opened
from tests.sinks.test_tls import TLS, server_tls


async def failed(far: Any, **options: Any) -> SinkError:
    async with opened(far, **options) as sink:
        with pytest.raises(SinkError) as caught:
            await sink.send(batch_of([make_event(1)]))
    return caught.value


async def test_a_redirect_is_not_followed() -> None:
    async with Influx() as far, FarSide() as elsewhere:
        far.fault = Answer(307, b"", {"Location": elsewhere.url})
        error = await failed(far)
        assert elsewhere.requests == []
    assert isinstance(error, Blocked)
    assert error.reason == "redirect"


async def test_s20_a_name_that_leads_to_a_metadata_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """S20, X6. Found out when the name is resolved, before a connection is begun."""

    async def resolve(*_: Any, **__: Any) -> list[dict[str, Any]]:
        return [{"hostname": "h", "host": "169.254.169.254", "port": 80, "family": 2, "proto": 6, "flags": 0}]

    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", resolve)
    async with Influx() as far:
        error = await failed(far, url="http://influxdb.example:8086")
    assert isinstance(error, Blocked)
    assert error.reason == "address"


async def test_s20_a_name_that_does_not_resolve() -> None:
    async with Influx() as far:
        error = await failed(far, url="http://influxdb.invalid:8086")
    assert isinstance(error, Retry)
    assert error.reason == "dns"


async def test_nobody_there() -> None:
    async with Influx() as far:
        pass
    error = await failed(far)
    assert isinstance(error, Retry)
    assert error.reason == "refused"


@pytest.mark.parametrize("raw", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n"])
async def test_somebody_else_there(raw: bytes) -> None:
    async with Influx() as far:
        far.fault = Answer(raw=raw)
        error = await failed(far)
    assert isinstance(error, Retry)
    assert error.reason == "protocol"


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    async with Influx() as far:
        far.fault = Answer(drip=b"HTTP/1.1 503 Busy\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 400_000)
        error = await failed(far)
        await far.gone.wait()
    assert isinstance(error, Retry)
    assert error.reason == "server"


@pytest.mark.parametrize(
    ("certificate", "files", "kind"),
    [("good", {"ca_file": "ca.pem"}, None), ("wronghost", {"ca_file": "ca.pem"}, Blocked), ("good", {}, Blocked)],
)
async def test_certificates(certificate: str, files: dict[str, str], kind: type[SinkError] | None) -> None:
    tls = TlsConfig(**{option: str(TLS / name) for option, name in files.items()})
    async with Influx(server_tls(certificate)) as far:
        if kind is None:
            async with opened(far, tls=tls) as sink:
                assert not (await sink.send(batch_of([make_event(1)]))).failed
        else:
            error = await failed(far, tls=tls)
            assert isinstance(error, kind)
            assert error.reason == "tls"


async def test_a_far_side_that_wants_our_certificate(tmp_path: Path) -> None:
    """And files that are replaced are used for the next write."""
    mine = tmp_path / "mine.pem"
    async with Influx(server_tls(asks=True)) as far:
        assert (await failed(far, tls=TlsConfig(ca_file=str(TLS / "ca.pem")))).reason in {"tls", "cut"}
        mine.write_bytes((TLS / "good.pem").read_bytes())
        key = str(TLS / "key.pem")
        files = TlsConfig(ca_file=str(TLS / "ca.pem"), cert_file=str(mine), key_file=key)
        async with opened(far, tls=files) as sink:
            await sink.send(batch_of([make_event(1)]))
            before = far.connections
            os.utime(mine, ns=(1, 1))
            await sink.send(batch_of([make_event(2)]))
            assert far.connections == before + 1
            sending = asyncio.create_task(sink.send(batch_of([make_event(3)])))
            os.utime(mine, ns=(2, 2))
            await asyncio.gather(sending, sink.send(batch_of([make_event(4)])))  # the old ones end with their writes
            mine.write_bytes(b"half of it")
            for kind in (Retry, Blocked, Blocked):  # for a moment it may be so, while files are replaced
                with pytest.raises(kind, match=r"mine\.pem"):
                    await sink.send(batch_of([make_event(5)]))
        assert len(far.points) == 4


async def test_a_token_that_is_replaced_is_used_at_once(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first-token")
    auth = InfluxAuthConfig(token=Secret.file(file))
    async with Influx() as far:
        async with opened(far, auth=auth) as sink:
            far.authorization = "Token first-token"
            await sink.send(batch_of([make_event(1)]))
            far.authorization = "Token second-token"
            with pytest.raises(Blocked) as caught:
                await sink.send(batch_of([make_event(2)]))
            assert caught.value.reason == "denied"
            file.write_text("second-token\n")
            await sink.send(batch_of([make_event(2)]))
            file.unlink()
            with pytest.raises(Blocked) as caught:
                await sink.send(batch_of([make_event(3)]))
            assert caught.value.reason == "secret"
        assert len(far.points) == 2


async def test_a_proxy_is_gone_through_with_its_password() -> None:
    proxy = BasicConfig(username="me", password=Secret.literal("proxys-password"))
    async with FarSide() as way, Influx() as far:
        way.answer = Answer(204)
        async with opened(far, url="http://influxdb.example:8086", proxy=ProxyConfig(url=way.url, basic=proxy)) as sink:
            await sink.send(batch_of([make_event(1)]))
            way.answer = Answer(407, b"not proxys-password")
            with pytest.raises(SinkError) as caught:
                await sink.send(batch_of([make_event(1)]))
        assert far.requests == []
        (request, _) = way.requests
    assert request.target.startswith("http://influxdb.example:8086/api/v2/write?")
    assert request.headers["proxy-authorization"].startswith("Basic ")
    assert isinstance(caught.value, Blocked)
    assert caught.value.answer == "not <secret>"


async def test_sends_overlap() -> None:
    async with Influx() as far:
        async with opened(far, in_flight=4) as sink:
            far.fault = Answer(hang=True)
            sends = [asyncio.create_task(sink.send(batch_of([make_event(number)]))) for number in range(4)]
            while len(far.requests) < 4:
                await asyncio.sleep(0)
            for send in sends:
                send.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await send
            far.fault = None
            await asyncio.gather(*(sink.send(batch_of([make_event(number)])) for number in range(4)))
        assert len(far.points) == 4


async def test_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    find = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "sinks._influxdb_client":
            raise ImportError("No module named 'influxdb_client'", name="influxdb_client")
        return find(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    async with Influx() as far:
        sink = InfluxHarness(far, monkeypatch).sink()
        with pytest.raises(Blocked, match=r"pip install 'eventer\[influxdb\]'"):
            await sink.open(None)
        await sink.close()


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_a_probe_writes_nothing(version: int) -> None:
    async with Influx(version=version) as far:
        async with opened(far) as sink:
            assert "events is there, and we may write" in await sink.probe()
            far.authorization = "Token other"
            with pytest.raises(Blocked):
                await sink.probe()
        async with opened(far, bucket="absent") as sink:
            far.authorization = None
            with pytest.raises(Blocked) as caught:
                await sink.probe()
        assert caught.value.reason == "bucket"
        assert (far.writes, far.points) == ([], {})
