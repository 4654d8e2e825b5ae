"""TLS, certificates that change, and the way in from within a pod."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventer.demo.apiserver import ApiServer
from eventer.errors import Broken
from eventer.source.kube import Cluster, identify

DATA = Path(__file__).parent.parent / "data" / "tls"


def identity(name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(DATA / f"{name}.pem")
    return context


@pytest.fixture
async def secure() -> AsyncIterator[ApiServer]:
    server = ApiServer()
    await server.start(tls=identity("one"))
    yield server
    await server.stop()


async def test_a_certificate_is_verified(secure: ApiServer, tmp_path: Path) -> None:
    cluster = await Cluster.connect(secure.write_kubeconfig(tmp_path / "k", ca=DATA / "one.pem"))
    assert await identify(cluster) == secure.uid
    await cluster.close()
    stranger = await Cluster.connect(secure.write_kubeconfig(tmp_path / "k", ca=DATA / "two.pem", token="a-token"))
    with pytest.raises(Broken) as raised:
        await identify(stranger)
    assert "not trusted" in str(raised.value)
    assert len(secure.requests) == 1, "nothing, and no token, is sent to a server that is not known"
    await stranger.close()


async def test_w36_a_rotated_certificate_fails_closed_until_the_new_ca_is_there(
    secure: ApiServer, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.crt"
    shutil.copy(DATA / "one.pem", ca)
    cluster = await Cluster.connect(secure.write_kubeconfig(tmp_path / "k", ca=ca))
    assert await identify(cluster) == secure.uid
    port = secure.port
    await secure.stop()
    await secure.start(port, tls=identity("two"))
    with pytest.raises(Broken):
        await identify(cluster)
    shutil.copy(DATA / "two.pem", ca)
    assert await identify(cluster) == secure.uid
    await cluster.close()


async def test_in_a_pod(secure: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes_asyncio.config import incluster_config

    token, ca = tmp_path / "token", tmp_path / "ca.crt"
    shutil.copy(DATA / "one.pem", ca)
    token.write_text("one-token")
    secure.token = "one-token"
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(ca))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(secure.port))
    cluster = await Cluster.connect()
    assert await identify(cluster) == secure.uid
    token.write_text("two-token")
    secure.token = "two-token"
    assert await identify(cluster) == secure.uid
    await cluster.close()
