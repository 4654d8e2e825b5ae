"""A mail server in a process of its own: aiosmtpd with STARTTLS and a login, which keeps what it takes as files.

As a program: `python -m tests.real.mailserver DIRECTORY PORT`. It asks for the user and the password below, offers no
login without TLS, and confirms a message when its file has reached the disk.
"""

from __future__ import annotations

import os
import ssl
import sys
import threading
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, Final, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.helpers.process import Child, free_port, until

__all__ = ["PASSWORD", "TLS", "USER", "MailServer"]

USER: Final = "eventer"
PASSWORD: Final = "right-password"
TLS: Final = Path(__file__).parents[1] / "sinks" / "tls"


class MailServer:
    """One server, which a test can kill, freeze and start again; what it took stays."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        args = [sys.executable, "-m", "tests.real.mailserver", directory, str(self.port)]
        self.child = Child("mailserver", args, directory)

    async def start(self) -> None:
        (self.directory / "listening").unlink(missing_ok=True)
        self.child.start()
        await until((self.directory / "listening").exists, "the mail server to listen")

    @property
    def mails(self) -> list[EmailMessage]:
        """What it took, in order."""
        files = sorted(self.directory.glob("*.eml"))
        return [cast("EmailMessage", message_from_bytes(file.read_bytes(), policy=default)) for file in files]

    @property
    def recipients(self) -> list[list[str]]:
        """Who was to get each."""
        return [file.read_text().split() for file in sorted(self.directory.glob("*.rcpt"))]


class _Keeper:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._taken = len(list(directory.glob("*.eml")))

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self._taken += 1
        (self._directory / f"{self._taken:06}.rcpt").write_text("\n".join(envelope.rcpt_tos))
        unfinished = self._directory / "unfinished"
        with unfinished.open("wb") as file:
            file.write(envelope.content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self._directory / f"{self._taken:06}.eml")
        return "250 2.0.0 taken"


def _authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    good = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=good, handled=False)


def main() -> None:
    directory, port = Path(sys.argv[1]), int(sys.argv[2])
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(TLS / "good.pem", TLS / "key.pem")
    controller = Controller(
        _Keeper(directory),
        hostname="127.0.0.1",
        port=port,
        tls_context=secure,
        require_starttls=True,
        authenticator=_authenticate,
        auth_required=True,
        ready_timeout=60,
    )
    controller.start()
    (directory / "listening").touch()
    threading.Event().wait()


if __name__ == "__main__":
    main()
