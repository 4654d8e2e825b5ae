"""What keeps others quiet and finds no room is counted where people look."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from eventer.alerting.inhibition import Inhibition
from eventer.observe.metrics import REGISTRY
from tests.helpers.alerting import START, node
from tests.helpers.journals import append, opened
from tests.helpers.memory_notifier import MemoryNotifier, notifier, notifying
from tests.helpers.virtual import in_virtual_time


def unremembered() -> float:
    return REGISTRY.get_sample_value("eventer_alerting_unremembered_sources_total", {"sink": "chat"}) or 0.0


@in_virtual_time
async def test_sources_without_room_are_counted_once_also_over_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventer.alerting.alerts.Inhibition", partial(Inhibition, most=4))
    before = unremembered()
    async with opened(tmp_path) as journal:
        for n, name in enumerate(["n1", "n2", "n3", "n4"]):
            async with notifying(journal, MemoryNotifier(), notifier(wait=0)):
                event = node("Ready", "firing", journal.now - START, name=name)
                await append(journal, [event])
                while journal.alerting.readers["chat"].cursor <= n:
                    await asyncio.sleep(0.1)
    assert unremembered() - before == 4  # a node that is down is a source of two rules
