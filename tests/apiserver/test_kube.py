"""The connection: configuration, credentials, deadlines, and what must never be followed or told."""

from __future__ import annotations

import asyncio
import fcntl
import json
import socket
import stat
import sys
import termios
from pathlib import Path

import pytest

from eventer.demo.apiserver import ApiServer
from eventer.demo.faults import Fault
from eventer.errors import Broken, ConfigError, Gone, Refused
from eventer.source.kube import READ_SIZE, Cluster, Stalled, identify
from tests.helpers.recorded import special
from tests.helpers.until import until


def only(error: ConfigError) -> str:
    (fault,) = error.faults
    assert fault.remedy
    return fault.message


async def test_a_kubeconfig_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        await Cluster.connect(tmp_path / "missing")
    assert str(tmp_path / "missing") in only(raised.value)


@pytest.mark.parametrize("text", ["", "[]", "nonsense: [", "{}", '{"apiVersion": "v1", "current-context": "x"}'])
async def test_a_kubeconfig_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "k").write_text(text)
    with pytest.raises(ConfigError) as raised:
        await Cluster.connect(tmp_path / "k")
    assert str(tmp_path / "k") in only(raised.value)


async def test_a_context_that_is_not_there(server: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        await Cluster.connect(server.write_kubeconfig(tmp_path / "k"), "staging")
    assert "staging" in only(raised.value)


async def test_the_environment_s_kubeconfig(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(server.write_kubeconfig(tmp_path / "k")))
    cluster = await Cluster.connect()
    assert await identify(cluster) == server.uid
    await cluster.close()


async def test_in_a_pod_without_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    with pytest.raises(ConfigError) as raised:
        await Cluster.connect()
    assert "service account" in only(raised.value)


async def test_an_exec_plugin_is_asked_and_asked_again_after_a_401(server: ApiServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    plugin = tmp_path / "plugin"
    plugin.write_text(
        f"#!{sys.executable}\n"
        "import json\n"
        f"token = open({str(token)!r}).read()\n"
        'print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",'
        ' "status": {"token": token}}))\n'
    )
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    path = server.write_kubeconfig(tmp_path / "k")
    config = json.loads(path.read_text())
    config["users"][0]["user"] = {
        "exec": {"command": str(plugin), "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    }
    path.write_text(json.dumps(config))
    token.write_text("one-token")
    server.token = "one-token"
    cluster = await Cluster.connect(path)
    assert await identify(cluster) == server.uid
    token.write_text("two-token")
    server.token = "two-token"
    assert await identify(cluster) == server.uid
    assert cluster.reloads == 1
    await cluster.close()


async def test_a_plugin_that_fails_tells_nothing_it_wrote_and_is_asked_again(server, tmp_path, caplog) -> None:
    token = tmp_path / "token"
    plugin = tmp_path / "plugin"
    plugin.write_text(
        f"#!/bin/sh\ntest -f {token} || {{ echo 'refused hunter2hunter2' >&2; exit 3; }}\n"
        'echo \'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",'
        ' "status": {"token": "one-token"}}\'\n'
    )
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    path = server.write_kubeconfig(tmp_path / "k")
    config = json.loads(path.read_text())
    config["users"][0]["user"] = {"exec": {"command": str(plugin), "apiVersion": "client.authentication.k8s.io/v1"}}
    path.write_text(json.dumps(config))
    server.token = "one-token"
    cluster = await Cluster.connect(path)
    with pytest.raises(Broken) as raised:
        await cluster.get("/version")
    assert "exec plugin ended with 3" in str(raised.value)
    assert "hunter2" not in str(raised.value) + caplog.text
    token.touch()
    await cluster.get("/version")
    await cluster.close()


async def test_a_client_that_was_replaced_is_closed_when_its_last_request_fails(server, tmp_path) -> None:
    token = tmp_path / "token"
    token.write_text("one-token")
    server.token = "one-token"
    cluster = await Cluster.connect(server.write_kubeconfig(tmp_path / "k", token_file=token))
    old = cluster._session
    assert old is not None
    pool = old.api.rest_client.pool_manager._session
    token.write_text("two-token")
    server.token = "two-token"
    await cluster.get("/version")
    assert pool.closed
    await cluster.close()


async def test_several_streams_that_are_refused_together_reload_once(server: ApiServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one-token")
    server.token = "one-token"
    cluster = await Cluster.connect(server.write_kubeconfig(tmp_path / "k", token_file=token))
    async with cluster.watch("/api/v1/events", {"watch": "1", "resourceVersion": "1000"}, idle=10) as reads:
        token.write_text("two-token")
        server.token = "two-token"
        await asyncio.gather(*(cluster.get("/version") for _ in range(5)))
        assert cluster.reloads == 1
        server.create("a")
        assert b'"a"' in await reads.read(), "a watch that was open stays open"
    await cluster.close()


async def test_a_reload_that_fails_is_broken_and_the_next_one_may_work(server: ApiServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one-token")
    server.token = "one-token"
    cluster = await Cluster.connect(server.write_kubeconfig(tmp_path / "k", token_file=token))
    token.unlink()
    server.token = "two-token"
    with pytest.raises(Broken) as raised:
        await cluster.get("/version")
    assert "again" in str(raised.value)
    token.write_text("two-token")
    await cluster.get("/version")
    await cluster.close()


async def test_a_redirect_is_not_followed_so_the_token_stays_here(server: ApiServer, tmp_path: Path) -> None:
    other = ApiServer()
    await other.start()
    cluster = await Cluster.connect(server.write_kubeconfig(tmp_path / "k", token="the-token"))
    server.faults.add("other", Fault(status=302, headers={"Location": f"{other.url}/version"}))
    with pytest.raises(Refused) as raised:
        await cluster.get("/version")
    assert raised.value.status == 302
    assert server.requests[-1].headers["authorization"] == "Bearer the-token"
    assert not other.requests
    await cluster.close()
    await other.stop()


async def test_errors_tell_neither_token_nor_credentials_in_the_address(server: ApiServer, tmp_path: Path) -> None:
    path = server.write_kubeconfig(tmp_path / "k", token="hunter2hunter2")
    config = json.loads(path.read_text())
    config["clusters"][0]["cluster"]["server"] = f"http://user:swordfish@127.0.0.1:{server.port}"
    path.write_text(json.dumps(config))
    cluster = await Cluster.connect(path)
    messages = []
    for fault in (Fault(status=500), Fault(raw=b""), Fault(raw=b"x"), Fault(status=401), Fault(freeze_head=True)):
        server.faults.add("other", fault, times=2)
        with pytest.raises((Refused, Broken)) as raised:
            await cluster.get("/version", deadline=0.2)
        messages.append(str(raised.value) + repr(raised.value) + str(raised.value.__cause__))
        server.faults.clear()
    await server.stop()
    with pytest.raises(Broken) as raised:
        await cluster.get("/version")
    text = " ".join([*messages, str(raised.value)])
    assert "hunter2" not in text and "swordfish" not in text
    await cluster.close()


async def test_a_get_that_is_never_answered(server: ApiServer, cluster: Cluster) -> None:
    server.faults.add("other", Fault(freeze_head=True))
    with pytest.raises(Stalled):
        await cluster.get("/version", deadline=0.05)


async def test_a_body_that_never_ends(server: ApiServer, cluster: Cluster) -> None:
    server.faults.add(
        "other", Fault(raw=b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
    )
    with pytest.raises(Broken):
        await cluster.get("/version", deadline=5)


async def test_a_watch_is_read_in_bounded_pieces(server: ApiServer, cluster: Cluster) -> None:
    for number in range(1000):
        server.create(f"e{number}", message="x" * 1000)
    sizes = []
    async with cluster.watch("/api/v1/events", {"watch": "1", "resourceVersion": "1000"}, idle=10) as reads:
        while sum(sizes) < 1_400_000:
            sizes.append(len(await reads.read()))
    assert max(sizes) <= READ_SIZE
    await until(lambda: not server.watching)


async def test_what_comes_while_a_watch_rests_is_read_at_once(server: ApiServer, cluster: Cluster) -> None:
    version = server.store.version
    async with cluster.watch("/api/v1/events", {"watch": "1", "resourceVersion": str(version)}, idle=10) as reads:
        await until(lambda: server.watching)
        connection = reads._response.connection
        assert connection is not None and connection.transport is not None
        sock = connection.transport.get_extra_info("socket")
        waiting = bytearray(4)

        def arrived() -> int:
            fcntl.ioctl(sock.fileno(), termios.FIONREAD, waiting)
            return int.from_bytes(waiting, sys.byteorder)

        with reads.resting():
            for number in range(5):
                before = arrived()
                server.create(f"e{number}")
                await until(lambda before=before: arrived() > before)  # type: ignore[misc]
        assert (await reads.read()).count(b"\n") == 5
        server.create("after")
        assert (await reads.read()).count(b"\n") == 1


async def test_a_watch_s_socket_is_closed_by_close(server: ApiServer, cluster: Cluster) -> None:
    async with cluster.watch("/api/v1/events", {"watch": "1", "resourceVersion": "1000"}, idle=60) as reads:
        read = asyncio.create_task(reads.read())
        await until(lambda: server.watching)
        reads.close()
        with pytest.raises(Broken):
            await read
        await until(lambda: not server.watching)


async def test_the_kernel_watches_over_a_watch_s_socket(server: ApiServer, cluster: Cluster) -> None:
    async with cluster.watch("/api/v1/events", {"watch": "1", "resourceVersion": "1000"}, idle=60) as reads:
        connection = reads._response.connection
        assert connection is not None and connection.transport is not None
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


@pytest.mark.parametrize(
    ("name", "kind", "cause"),
    [
        ("401-bad-token-list", Refused, "Unauthorized"),
        ("403-no-rbac-list", Refused, "Forbidden"),
        ("400-bad-continue", Refused, "BadRequest"),
        ("400-bad-resource-version-list-events", Refused, "BadRequest"),
        ("404-unknown-path", Refused, "NotFound"),
        ("406-not-acceptable", Refused, "NotAcceptable"),
        ("410-list-exact-old-version", Gone, ""),
        ("410-list-inconsistent-continue", Gone, ""),
        ("504-too-large-rv-list-events", Refused, "ResourceVersionTooLarge"),
        ("504-too-large-rv-list-nodes", Refused, "ResourceVersionTooLarge"),
    ],
)
async def test_recorded_refusals(
    server: ApiServer, cluster: Cluster, name: str, kind: type[Exception], cause: str
) -> None:
    server.faults.add("list", Fault(raw=special(name)), times=2)
    with pytest.raises(kind) as raised:
        await cluster.get("/api/v1/events")
    if isinstance(raised.value, Refused):
        assert raised.value.status == int(name[:3])
        assert raised.value.cause == cause
        assert raised.value.after == (1.0 if name.endswith("nodes") else None)


async def test_the_uid_is_unknown_where_kube_system_may_not_be_read(server: ApiServer, cluster: Cluster) -> None:
    assert await identify(cluster) == server.uid
    server.faults.add("namespace", Fault(raw=special("403-no-rbac-list")))
    assert await identify(cluster) is None
    server.faults.add("namespace", Fault(status=500))
    with pytest.raises(Refused):
        await identify(cluster)
