"""A daemon that writes mails: few of them, whatever happens, and every event in one of their counts."""

from __future__ import annotations

import asyncio
from pathlib import Path

from eventer.demo.apiserver import ApiServer
from eventer.event import Outcome
from eventer.journal import read_books
from tests.helpers.inprocess import Site, StillClock
from tests.helpers.mailhost import MailHost
from tests.helpers.until import until


async def test_a_burst_over_40_namespaces_is_a_mail_a_minute_and_not_one_for_each(
    tmp_path: Path, server: ApiServer
) -> None:
    site = Site(tmp_path, server)
    clock = StillClock()
    async with MailHost() as host:
        host.answer("bob@example.com", *["550 5.1.1 no such user"] * 9)
        site.document["sinks"]["mail"] = {
            "kind": "email", "host": "localhost", "port": host.port, "security": "none",
            "sender": "eventer@example.com", "to": ["ann@example.com", "bob@example.com"],
        }  # fmt: skip
        async with site.running(clock) as life:
            for number in range(200):
                server.create(f"e{number}", namespace=f"team-{number % 40}", type="Warning", reason="Failed")
            journal = life.journal.alerting
            await until(lambda: life.journal.head >= 200, "200 events")
            for _ in range(300):
                clock.advance(1)
                await asyncio.sleep(0.003)
                opened, books = journal.readers["mail"].opened, journal.notifiers["mail"]
                if opened >= 40 and journal.readers["mail"].waiting == 0 and books.cursor == opened:
                    break
    reader, record = read_books(site.state).alerting["mail"], read_books(site.state).notifiers["mail"]
    assert (reader.represented, reader.waiting) == (200, 0)
    assert 1 <= len(host.got) <= 3
    assert record.outcomes[Outcome.DELIVERED] == len(host.got)
    assert record.outcomes[Outcome.DELIVERED] + record.outcomes.get(Outcome.FOLDED, 0) == reader.opened
    assert any("40 messages in one" in got.text() or "39 messages in one" in got.text() for got in host.got)
    assert {tuple(got.recipients) for got in host.got} == {("ann@example.com",)}
