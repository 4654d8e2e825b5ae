"""Row S23: the daemon is told to stop while a far side hangs for longer than there is time."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from eventer.demo.apiserver import ApiServer
from eventer.event import Outcome
from eventer.journal import read_books
from tests.helpers.farside import Answer, FarSide
from tests.helpers.inprocess import Site
from tests.helpers.until import until


async def test_s23_sends_that_take_too_long_are_cut_and_the_sink_ends_in_order(
    site: Site, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventer.app.daemon.GRACE", 2.0)
    async with FarSide() as far:
        far.answer = Answer(hang=True)
        site.document["sinks"]["hook"] = {"kind": "webhook", "url": far.url, "timeout": "60s"}
        with capture_logs() as logs:
            async with site.running() as life:
                server.create("ev-1")
                await until(lambda: far.requests, "the send")
                await life.settled("out")
        errors = [entry["error"] for entry in logs if entry["event"] == "sink does not take events"]
        assert errors == ["No answer before Eventer had to end it."]
        assert not [entry for entry in logs if entry["event"] == "sink did not close"]
    assert site.balanced() == 1
    readers = read_books(site.state).readers
    assert (readers["hook"].cursor, readers["out"].outcomes) == (0, {Outcome.DELIVERED: 1})
