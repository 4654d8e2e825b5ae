"""`sinks._tls`: whose certificates are taken, how we show ours, and what happens when files are replaced."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventer.clock import SystemClock
from eventer.errors import Blocked, Retry
from sinks._http import Http
from sinks._tls import TlsConfig
from tests.helpers.farside import FarSide
from tests.helpers.until import until
from tests.sinks.test_http import client, failure

TLS = Path(__file__).parent / "tls"


def server_tls(certificate: str = "good", *, asks: bool = False) -> ssl.SSLContext:
    """Make a server with one of the certificates; one that `asks` wants one of its clients as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / f"{certificate}.pem", TLS / "key.pem")
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(TLS / "ca.pem")
    return context


def tls(**files: str) -> TlsConfig:
    return TlsConfig(**{f"{name}_file": str(TLS / f"{file}.pem") for name, file in files.items()})


@pytest.mark.parametrize("known", [True, False], ids=["with our certificate", ""])
@pytest.mark.parametrize("certificate", ["expired", "wronghost", "selfsigned", "good"])
@pytest.mark.parametrize("trusted", [True, False])
async def test_x5_only_a_good_certificate_of_a_trusted_issuer_is_taken(
    certificate: str, trusted: bool, known: bool
) -> None:
    """X5: expired, wrong host, self-signed, unknown authority; also where we show a certificate of ours."""
    config = tls(**{"ca": "ca"} if trusted else {}, **{"cert": "good", "key": "key"} if known else {})
    async with FarSide(server_tls(certificate, asks=known)) as far, client(tls=config) as http:
        if certificate == "good" and trusted:
            assert (await http.request("POST", far.url, b"", {})).status == 200
            return
        with pytest.raises(Blocked) as caught:
            await http.request("POST", far.url, b"", {})
        assert caught.value.reason == "tls"
        assert not far.requests


class OldTls(FarSide):
    """Answers a handshake as an old version would; a Python of today cannot be made to."""

    version = b"\x03\x01"

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        record = await reader.readexactly(5)
        await reader.readexactly(int.from_bytes(record[3:5]))
        # ServerHello: version, random, no session, one old cipher, no compression.
        body = self.version + bytes(32) + b"\x00" + b"\x00\x2f" + b"\x00"
        message = b"\x02" + len(body).to_bytes(3) + body
        writer.write(b"\x16" + self.version + len(message).to_bytes(2) + message)
        self.came.set()
        await reader.read()
        return False


@pytest.mark.parametrize("version", [b"\x03\x00", b"\x03\x01", b"\x03\x02"], ids=["SSL 3", "TLS 1.0", "TLS 1.1"])
@pytest.mark.parametrize("known", [True, False], ids=["with our certificate", ""])
async def test_x5_old_tls_is_refused(version: bytes, known: bool) -> None:
    """X5: TLS 1.1 and older."""
    async with OldTls() as far:
        far.version = version
        config = tls(ca="ca", cert="good", key="key") if known else tls(ca="ca")
        caught = await failure(far.url.replace("http://", "https://"), tls=config)
    assert far.came.is_set()
    assert (type(caught), caught.reason) == (Retry, "tls")


class NoTls(FarSide):
    """Answers a TLS handshake as an HTTP server would."""

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        return False


async def test_tls_to_a_server_that_has_none() -> None:
    async with NoTls() as far:
        caught = await failure(far.url.replace("http://", "https://"))
    assert (type(caught), caught.reason) == (Retry, "tls")


@contextlib.contextmanager
def refusing(context: ssl.SSLContext) -> Iterator[str]:
    """Serve one connection as real servers do: refuse a handshake by an alert, where asyncio just cuts it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as secure:
                with contextlib.suppress(ssl.SSLError):
                    secure.do_handshake()
                with socket.socket(fileno=secure.detach()) as plain:
                    plain.shutdown(socket.SHUT_WR)
                    while plain.recv(4096):  # unread bytes would reset the connection, and the alert be lost
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join()


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shown", ["none", "expired", "selfsigned"])
async def test_x5_a_far_side_that_does_not_know_us_is_not_tried_like_one_that_is_down(
    shown: str, newest: ssl.TLSVersion
) -> None:
    context = server_tls(asks=True)
    context.maximum_version = newest
    config = tls(ca="ca") if shown == "none" else tls(ca="ca", cert=shown, key="key")
    with refusing(context) as url:
        caught = await failure(url, tls=config)
    if shown == "none" and newest is ssl.TLSVersion.TLSv1_2:
        # The alert of that version for a missing certificate is also that for no common cipher.
        assert (type(caught), caught.reason) == (Retry, "tls")
    else:
        assert (type(caught), caught.reason) == (Blocked, "tls")
        assert "tls.cert_file" in str(caught)


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_far_side_that_wants_to_know_us_gets_our_certificate(newest: ssl.TLSVersion) -> None:
    context = server_tls(asks=True)
    context.maximum_version = newest
    async with FarSide(context) as far, client(tls=tls(ca="ca", cert="good", key="key")) as http:
        assert (await http.request("POST", far.url, b"", {})).status == 200
        assert len(far.requests) == 1


async def test_a_cut_within_tls_is_a_cut() -> None:
    async with FarSide(server_tls()) as far, client(tls=tls(ca="ca")) as http:
        far.before = far.abort
        with pytest.raises(Retry) as caught:
            await http.request("POST", far.url, b"", {})
    assert caught.value.reason == "cut"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"ca": "absent"}, "absent.pem"),
        ({"ca": "empty"}, "empty.pem"),
        ({"ca": "wrong"}, "wrong.pem"),
        ({"cert": "absent", "key": "key"}, "absent.pem"),
        ({"cert": "good", "key": "absent"}, "absent.pem"),
        ({"cert": "good"}, "do not hold"),
        ({"cert": "wrong", "key": "key"}, "do not hold"),
        ({"cert": "good", "key": "otherkey"}, "is not that of"),
        ({"cert": "good", "key": "lockedkey"}, "password"),
    ],
)
async def test_a_file_that_cannot_be_used_blocks(tmp_path: Path, files: dict[str, str], words: str) -> None:
    for path in TLS.glob("*.pem"):
        shutil.copy(path, tmp_path)
    (tmp_path / "empty.pem").write_text("")
    (tmp_path / "wrong.pem").write_text("no certificate")
    config = TlsConfig(**{f"{name}_file": str(tmp_path / f"{file}.pem") for name, file in files.items()})
    http = Http(timeout=1.0, clock=SystemClock(), tls=config)
    with pytest.raises(Blocked, match=words) as caught:
        await http.open()
    assert caught.value.reason == "tls"
    await http.close()


async def test_certificate_and_key_may_lie_in_one_file(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text((TLS / "good.pem").read_text() + (TLS / "key.pem").read_text())
    config = TlsConfig(ca_file=str(TLS / "ca.pem"), cert_file=str(both))
    async with FarSide(server_tls(asks=True)) as far, client(tls=config) as http:
        await http.request("POST", far.url, b"", {})
        assert len(far.requests) == 1


def test_a_key_needs_a_certificate() -> None:
    with pytest.raises(ValueError, match="add cert_file"):
        TlsConfig(key_file="key.pem")


class Mounted:
    """Files as a kubelet mounts them: links into a directory that is exchanged as a whole."""

    def __init__(self, directory: Path, **files: str) -> None:
        self._directory = directory
        self._turn = 0
        self.replace(**files)
        for name in files:
            (directory / f"{name}.pem").symlink_to(Path("data") / f"{name}.pem")
        self.config = TlsConfig(**{f"{name}_file": str(directory / f"{name}.pem") for name in files})

    def replace(self, **files: str) -> None:
        self._turn += 1
        turn = self._directory / str(self._turn)
        turn.mkdir()
        for name, file in files.items():
            shutil.copy(TLS / f"{file}.pem", turn / f"{name}.pem")
        (self._directory / "new").symlink_to(turn.name)
        (self._directory / "new").rename(self._directory / "data")


async def post(http: Http, far: FarSide) -> Any:
    return await http.request("POST", far.url, b"", {})


async def test_a_new_certificate_is_shown_from_the_next_request_on(tmp_path: Path) -> None:
    files = Mounted(tmp_path, ca="ca", cert="expired", key="key")
    async with FarSide(server_tls(asks=True)) as far, client(tls=files.config) as http:
        with pytest.raises((Blocked, Retry)):
            await post(http, far)
        files.replace(ca="ca", cert="good", key="key")
        await post(http, far)
        await post(http, far)
        assert len(far.requests) == 2


async def test_an_authority_that_is_no_longer_trusted_ends_open_connections_too(tmp_path: Path) -> None:
    files = Mounted(tmp_path, ca="ca")
    async with FarSide(server_tls()) as far, client(tls=files.config) as http:
        await post(http, far)
        files.replace(ca="selfsigned")
        with pytest.raises(Blocked) as caught:
            await post(http, far)
        assert caught.value.reason == "tls"
        files.replace(ca="ca")
        await post(http, far)
        assert len(far.requests) == 2


async def test_half_replaced_files_are_waited_for_and_wrong_ones_told(tmp_path: Path) -> None:
    files = Mounted(tmp_path, ca="ca", cert="good", key="key")
    async with FarSide(server_tls(asks=True)) as far, client(tls=files.config) as http:
        await post(http, far)
        files.replace(ca="ca", cert="good", key="otherkey")
        for expected in (Retry, Blocked, Blocked):
            with pytest.raises(expected) as caught:
                await post(http, far)
            assert caught.value.reason == "tls"
        (tmp_path / "key.pem").unlink()
        with pytest.raises(Retry, match="cannot be read"):
            await post(http, far)
        shutil.copy(TLS / "key.pem", tmp_path / "key.pem")
        await post(http, far)
        assert len(far.requests) == 2


async def test_requests_under_way_end_on_the_connections_that_they_began_on(tmp_path: Path) -> None:
    files = Mounted(tmp_path, ca="ca", cert="good", key="key")
    async with FarSide(server_tls(asks=True)) as far, client(tls=files.config, connections=2) as http:
        release = asyncio.Event()
        far.before = release.wait
        first = asyncio.create_task(post(http, far))
        await far.came.wait()
        files.replace(ca="ca", cert="good", key="key")
        second = asyncio.create_task(post(http, far))
        await until(lambda: len(far.requests) == 2, "the second request")
        release.set()
        assert [(await first).status, (await second).status] == [200, 200]
        assert far.connections == 2
        await until(lambda: far.open == 1, "the first connection to be closed, as it is of no use any more")
