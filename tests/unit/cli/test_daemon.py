"""Commands against a daemon that is well, gone, starting, hung, of another version, or another user's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventer.cli import main
from eventer.cli.daemon import Daemon, DaemonError, NoDaemonError
from eventer.control.door import NAME, address
from eventer.demo.apiserver import ApiServer
from eventer.journal.files import lock
from tests.helpers.inprocess import Site


@contextlib.contextmanager
def listening(directory: Path) -> Iterator[socket.socket]:
    """A socket where the daemon's would be."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(directory / NAME))
        made.listen()
        yield made


# -- the socket ------------------------------------------------------------------------------------------


async def test_the_socket_is_its_owners_alone_and_goes_with_the_daemon(site: Site) -> None:
    path = site.state / NAME
    async with site.running():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_ISSOCK(path.stat().st_mode)
    assert not path.exists()


async def test_what_a_killed_daemon_left_is_replaced(site: Site) -> None:
    site.state.mkdir(mode=0o700)
    with listening(site.state):
        pass
    async with site.running():
        status = await asyncio.to_thread(Daemon(site.state).get, "/v1/status")
        assert status["pid"] == os.getpid()


async def test_a_deep_state_directory_is_reached_too(tmp_path: Path, server: ApiServer) -> None:
    deep = tmp_path / "/".join(["directory"] * 20)
    deep.mkdir(parents=True)
    site = Site(deep, server)
    async with site.running():
        assert (await asyncio.to_thread(Daemon(site.state).get, "/v1/status"))["live"]


async def test_where_no_socket_can_be_the_daemon_works_all_the_same(
    site: Site, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("eventer.control.socket._bound", refuse)
    async with site.running():
        server.create("one")
        await site.has("one")
        with pytest.raises(DaemonError, match="no socket of it answers"):
            await asyncio.to_thread(Daemon(site.state).get, "/v1/status")


async def test_what_is_not_there_is_said(site: Site) -> None:
    async with site.running():
        with pytest.raises(DaemonError, match="Not Found"):
            await asyncio.to_thread(Daemon(site.state).get, "/v1/nothing")
        with pytest.raises(DaemonError, match="last and since are numbers"):
            await asyncio.to_thread(lambda: [*Daemon(site.state).lines("/v1/events", last="many")])


# -- nobody, or nobody that answers -------------------------------------------------------------------------


def test_no_daemon(tmp_path: Path) -> None:
    with pytest.raises(NoDaemonError, match=r"No daemon runs on .*\. Start one with eventer run\.$"):
        Daemon(tmp_path / "none").get("/v1/status")
    with listening(tmp_path):
        pass
    with pytest.raises(NoDaemonError, match="No daemon runs"):
        Daemon(tmp_path).get("/v1/status")


def test_a_daemon_that_has_no_socket_yet(tmp_path: Path) -> None:
    with (
        lock(tmp_path),
        pytest.raises(DaemonError, match=rf"A daemon \(pid {os.getpid()}\) holds .*starting or ending"),
    ):
        Daemon(tmp_path).get("/v1/status")


def test_a_hung_daemon(tmp_path: Path) -> None:
    with listening(tmp_path), lock(tmp_path):
        for ask in (lambda d: d.get("/v1/status"), lambda d: d.post("/v1/reload"), lambda d: [*d.lines("/v1/events")]):
            with pytest.raises(DaemonError, match=rf"The daemon \(pid {os.getpid()}\) does not answer within 0.1 s"):
                ask(Daemon(tmp_path, patience=0.1))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nEventer-API: 99\r\n\r\n{}", "of another version"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "of another version"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nEventer-API: 1\r\n\r\n{}", "ended before it had answered"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 2\r\nEventer-API: 1\r\n\r\n{}", "answered with 500"),
        (b"nonsense\r\n\r\n", "did not answer"),
        (b"", "did not answer"),
    ],
)
def test_a_daemon_that_answers_otherwise(tmp_path: Path, answer: bytes, words: str) -> None:
    import threading

    with listening(tmp_path) as door:

        def serve() -> None:
            connection, _ = door.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(DaemonError, match=words):
            Daemon(tmp_path).get("/v1/status")
        thread.join()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_daemon(tmp_path: Path) -> None:
    directory = Path("/tmp") / f"eventer-test-{os.getpid()}"
    directory.mkdir(mode=0o755)
    try:
        with listening(directory):
            (directory / NAME).chmod(0o600)
            os.seteuid(65534)
            try:
                with pytest.raises(DaemonError, match=r"is for its owner alone.*kubectl exec"):
                    Daemon(directory).get("/v1/status")
            finally:
                os.seteuid(0)
    finally:
        (directory / NAME).unlink()
        directory.rmdir()


def test_the_address_of_a_deep_socket_fits(tmp_path: Path) -> None:
    deep = tmp_path / "/".join(["directory"] * 20)
    deep.mkdir(parents=True)
    with address(deep / NAME) as name:
        assert len(name) <= 107
        assert Path(name).parent.samefile(deep)


# -- which state directory ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["status", "tail", "reload"])
def test_every_command_says_in_a_sentence_that_nobody_is_there(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--state", str(tmp_path)]) == 1
    output = capsys.readouterr()
    assert output.err == f"eventer {command}: No daemon runs on {tmp_path}. Start one with eventer run.\n"
    assert not output.out


def test_a_file_that_is_not_there_is_not_taken_for_the_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "-c", str(tmp_path / "c.yaml")]) == 1
    assert f"There is no file {tmp_path}/c.yaml." in capsys.readouterr().err


def test_a_configuration_with_faults_elsewhere_still_says_where_the_state_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c.yaml"
    monkeypatch.setenv("STATE", str(tmp_path))
    file.write_text("sinks: 5\nnonsense: 1\nstate: {path: '${STATE}'}\n")
    assert main(["status", "-c", str(file)]) == 1
    assert f"No daemon runs on {tmp_path}." in capsys.readouterr().err


@pytest.mark.parametrize("text", ["state: {path: '${NOT_SET}'}", "state: ["])
def test_one_that_does_not_say_it_asks_for_the_option(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    assert main(["status", "-c", str(file)]) == 1
    assert "does not say where the state is" in (error := capsys.readouterr().err)
    assert "--state" in error
