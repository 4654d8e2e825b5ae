"""Mail from a daemon to a real server: over STARTTLS with a login, while it is away, and across kill -9."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from eventer.demo.apiserver import ApiServer
from eventer.event import Outcome
from eventer.journal import read_books
from tests.helpers.process import until
from tests.real.conftest import Daemon, MakeDaemon
from tests.real.mailserver import PASSWORD, TLS, USER, MailServer

SIGKILLED = -9


@pytest_asyncio.fixture(loop_scope="session")
async def post(tmp_path: Path) -> AsyncIterator[MailServer]:
    directory = tmp_path / "post"
    directory.mkdir()
    server = MailServer(directory)
    await server.start()
    yield server
    server.child.kill()


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncIterator[ApiServer]:
    server = ApiServer()
    await server.start()
    yield server
    await server.stop()


def configured(daemons: MakeDaemon, server: ApiServer, post: MailServer, **options: Any) -> Daemon:
    daemon = daemons(sources=[])
    config = server.write_kubeconfig(daemon.directory / "kubeconfig")
    password = daemon.directory / "password"
    password.write_text(PASSWORD)
    daemon.config["sources"] = [{"cluster": "prod", "kubernetes": {"kubeconfig": str(config), "nodes": False}}]
    daemon.config["sinks"] = {
        "mail": {
            "kind": "email",
            "host": "localhost",
            "port": post.port,
            "auth": {"username": USER, "password_file": str(password)},
            "tls": {"ca_file": str(TLS / "ca.pem")},
            "sender": "Eventer <eventer@example.com>",
            "to": ["Ann <ann@example.com>"],
            "cc": ["bob@example.com"],
            "group": {"by": ["name"], "wait": "0s"},
            "limit": "1000/s",
        }
        | options
    }
    return daemon


def subjects(post: MailServer) -> set[str]:
    return {str(mail["Subject"]) for mail in post.mails}


def warn(server: ApiServer, number: int) -> None:
    server.create(about=f"pod-{number}", type="Warning", reason="BackOff", message="Back-off restarting 容器 <b>x</b>")


async def test_a_warning_is_told_by_mail(daemons: MakeDaemon, server: ApiServer, post: MailServer) -> None:
    html = "<ul>{% for problem in problems %}<li>{{ problem.message }}</li>{% endfor %}</ul>"
    daemon = configured(daemons, server, post, language="zh", template={"subject": "{{ title }}！", "html": html})
    await daemon.start()
    warn(server, 1)
    await until(lambda: len(post.mails) == 1, "a mail")
    assert await daemon.term() == 0
    (mail,) = post.mails
    assert post.recipients == [["ann@example.com", "bob@example.com"]]
    assert str(mail["Subject"]) == "[prod] 🟠 BackOff · Pod default/pod-1！"
    plain, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert page is not None
    assert "Back-off restarting 容器 <b>x</b>" in plain.get_content()
    assert "<li>Back-off restarting 容器 &lt;b&gt;x&lt;/b&gt;</li>" in page.get_content()
    assert read_books(daemon.state).notifiers["mail"].outcomes == {Outcome.DELIVERED: 1}
    assert PASSWORD not in daemon.child.log.read_text()


async def test_s2_a_server_that_was_away_gets_all_of_it(
    daemons: MakeDaemon, server: ApiServer, post: MailServer
) -> None:
    """S2. Killed, and started again: nothing is missing. Frozen: the answer is given up, and what was sent is known."""
    daemon = configured(daemons, server, post, timeout="2s")
    await daemon.start()
    warn(server, 0)
    await until(lambda: len(subjects(post)) == 1, "the first mail")
    post.child.kill()
    for number in range(1, 6):
        warn(server, number)
    await until(lambda: "refused the connection" in daemon.child.log.read_text(), "the daemon to notice")
    await post.start()
    await until(lambda: len(subjects(post)) == 6, "all mails")
    post.child.signal(signal.SIGSTOP)
    warn(server, 6)
    await until(lambda: "did not say who it is in time" in daemon.child.log.read_text(), "the daemon to give up")
    post.child.signal(signal.SIGCONT)
    await until(lambda: len(subjects(post)) == 7, "the last mail")
    assert await daemon.term() == 0
    record = read_books(daemon.state).notifiers["mail"]
    assert sum(record.outcomes.values()) == record.cursor == 7


@pytest.mark.parametrize("place", ["delivery.send", "delivery.sent", "delivery.settled"])
async def test_q1_a_mail_that_is_sent_twice_has_one_id(
    daemons: MakeDaemon, server: ApiServer, post: MailServer, place: str
) -> None:
    """Q1. Killed around a send: no mail is missing, and of those that come twice both have the same Message-ID."""
    daemon = configured(daemons, server, post)
    await daemon.start(failpoints=f"{place}=kill@3")
    for number in range(10):
        warn(server, number)
        await until(lambda n=number: len(subjects(post)) > n or not daemon.child.alive, "mails", every=0.01)  # type: ignore[misc]
    assert await daemon.child.ended() == SIGKILLED
    await daemon.start()
    await until(lambda: len(subjects(post)) == 10, "all to be told")
    assert await daemon.term() == 0
    mails = post.mails
    assert len({str(mail["Message-ID"]) for mail in mails}) == 10
    assert 10 <= len(mails) <= 12
    record = read_books(daemon.state).notifiers["mail"]
    assert record.cursor == sum(record.outcomes.values()) == 10
