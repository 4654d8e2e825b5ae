"""How a command asks the running daemon: by the Unix socket in its state directory.

Only the standard library is needed for that, so that `eventer tail` begins at once.
"""

from __future__ import annotations

import argparse
import http.client
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from eventer.cli import add_config_option
from eventer.control.door import API, NAME, address
from eventer.errors import ConfigError, EventerError
from eventer.text import escape

__all__ = ["Daemon", "DaemonError", "NoDaemonError", "add_state_options", "directory_of"]

PATIENCE: Final = 10.0
"""Seconds of silence after which a daemon counts as hanging. Answers that take longer say something meanwhile."""


class DaemonError(EventerError):
    """The daemon was asked and did not do it; the message says why and what to do."""


class NoDaemonError(DaemonError):
    """No daemon runs on this state directory."""


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("daemon", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.settimeout(self.timeout)
            with address(self._path) as name:
                self.sock.connect(name)
        except BaseException:
            self.sock.close()
            raise


def add_state_options(parser: argparse.ArgumentParser) -> None:
    """Add what says on which state directory a daemon runs: `-c FILE`, or `--state DIR`."""
    add_config_option(parser)
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="state directory of the daemon (default: state.path of the file)"
    )


def directory_of(args: argparse.Namespace) -> Path:
    """Return the state directory that the options name.

    Raises:
        DaemonError: it cannot be told; the message says what to do.
    """
    if args.state is not None:
        return Path(args.state)
    from eventer.config.load import DEFAULT_PATH, state_directory

    file: Path = args.config
    if not file.exists() and file != Path(DEFAULT_PATH):
        raise DaemonError(f"There is no file {escape(str(file))}. Correct -c, or name the directory with --state.")
    try:
        return state_directory(args.config, os.environ)
    except ConfigError as error:
        fault = error.faults[0]
        raise DaemonError(
            f"{escape(str(args.config))} does not say where the state is: {fault.message}. Name it with --state."
        ) from None


class Daemon:
    """The daemon that runs on a state directory, seen from a command.

    Args:
        directory: the state directory.
        patience: seconds; see `PATIENCE`.
    """

    def __init__(self, directory: Path, patience: float = PATIENCE) -> None:
        self._directory = directory
        self._path = directory / NAME
        self._patience = patience

    def get(self, path: str, /, **query: object) -> Any:
        """Ask for something and return the answer, decoded.

        Raises:
            NoDaemonError: nobody runs here.
            DaemonError: it did not answer, or refused.
        """
        return self._ask("GET", path, query, None)

    def post(self, path: str, body: object = None, /, **query: object) -> Any:
        """Have something done and return the answer, decoded.

        Args:
            path: what.
            body: sent as JSON; bytes are sent as they are.
            query: parameters.

        Raises:
            NoDaemonError, DaemonError: as `get`.
        """
        return self._ask("POST", path, query, body if isinstance(body, bytes) else msgspec.json.encode(body))

    def lines(self, path: str, /, **query: object) -> Iterator[bytes]:
        """Ask for lines and yield them as they come. Empty ones, which only say that it lives, are left out.

        Raises:
            NoDaemonError, DaemonError: as `get`, also in the midst of it.
        """
        connection = _Connection(self._path, self._patience)
        try:
            answer = self._send(connection, "GET", path, query, None)
            while line := self._read(answer):
                if line != b"\n":
                    yield line.rstrip(b"\n")
        finally:
            connection.close()

    def _read(self, answer: http.client.HTTPResponse) -> bytes:
        try:
            return answer.readline()
        except TimeoutError:
            raise self._hangs() from None
        except (OSError, http.client.HTTPException):
            raise DaemonError("The daemon ended before it had answered.") from None

    def _ask(self, method: str, path: str, query: Mapping[str, object], body: bytes | None) -> Any:
        connection = _Connection(self._path, self._patience)
        try:
            data = self._send(connection, method, path, query, body).read()
        except TimeoutError:
            raise self._hangs() from None
        except (OSError, http.client.HTTPException):
            raise DaemonError("The daemon ended before it had answered. Look at its log, and ask again.") from None
        finally:
            connection.close()
        return msgspec.json.decode(data)

    def _send(
        self, connection: _Connection, method: str, path: str, query: Mapping[str, object], body: bytes | None
    ) -> http.client.HTTPResponse:
        """Send a request and return its answer, of which the head is read.

        Raises:
            NoDaemonError, DaemonError: as `get`.
        """
        asked = {key: str(value) for key, value in query.items() if value is not None}
        try:
            connection.request(method, f"{path}?{urlencode(asked)}" if asked else path, body)
            answer = connection.getresponse()
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            raise self._nobody() from None
        except PermissionError:
            raise DaemonError(
                f"The daemon's socket {self._path} is for its owner alone, and this user has the uid {os.getuid()}. "
                "Give the command as the daemon's user; in a pod, with kubectl exec."
            ) from None
        except TimeoutError:
            raise self._hangs() from None
        except (OSError, http.client.HTTPException) as error:
            raise DaemonError(f"The daemon did not answer ({error}). Look at its log, and ask again.") from None
        if answer.headers.get("Eventer-API") != API:
            raise DaemonError(
                "The daemon that runs is of another version than this command, and they do not understand each other. "
                "Use the command that was installed with the daemon."
            )
        if answer.status >= 400:
            raise self._refused(answer)
        return answer

    def _refused(self, answer: http.client.HTTPResponse) -> DaemonError:
        try:
            return DaemonError(str(msgspec.json.decode(answer.read())["error"]))
        except (OSError, http.client.HTTPException, msgspec.MsgspecError, KeyError, TypeError):
            return DaemonError(f"The daemon answered with {answer.status}. Look at its log.")

    def _nobody(self) -> DaemonError:
        pid = _holder(self._directory)
        if pid:
            return DaemonError(
                f"A daemon (pid {pid}) holds {self._directory}, but no socket of it answers: it is starting or "
                "ending, or its file system takes no sockets. Its log says which; ask again in a moment."
            )
        return NoDaemonError(f"No daemon runs on {self._directory}. Start one with eventer run.")

    def _hangs(self) -> DaemonError:
        pid = _holder(self._directory)
        return DaemonError(
            f"The daemon{f' (pid {pid})' if pid else ''} does not answer within {self._patience:g} s. Look at its log, "
            "and at /livez, which says whether it is stuck; a restart loses nothing."
        )


def _holder(directory: Path) -> str:
    # Not at the top: it brings the journal with it, and is needed only where something is wrong.
    from eventer.journal.files import holder

    return holder(directory)
