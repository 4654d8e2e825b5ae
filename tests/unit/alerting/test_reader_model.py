"""From the event log to messages, under any answers, refusals and kills: every event is in some message's count."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from eventer.delivery import telling
from eventer.errors import Blocked, DiskRefused, Rejected, Retry
from eventer.event import Outcome
from eventer.journal import Journal
from eventer.sink import BatchConfig
from tests.helpers.alerting import START, node, pod
from tests.helpers.journals import append, balanced, failing, killed, opened
from tests.helpers.memory_notifier import MemoryNotifier, covered, lost, notifier, notifying, rested
from tests.helpers.virtual import LoopClock, VirtualLoop

EXAMPLES = 2000 if os.environ.get("EVENTER_SOAK") else 30
FAILURES = st.one_of(
    st.builds(Retry, st.just("not now"), reason=st.just("away")),
    st.builds(Rejected, st.just("never"), reason=st.just("bad")),
    st.builds(Blocked, st.just("who?"), reason=st.just("denied")),
    st.builds(RuntimeError),
    st.builds(asyncio.CancelledError),
)
ANSWERS = st.none() | FAILURES | st.builds(lost, st.builds(Retry, st.just("lost"), reason=st.just("lost")))
HAPPENS = st.one_of(
    st.tuples(st.sampled_from(["BackOff", "Started", "OOMKilling", "Odd"]), st.sampled_from("abcd"), st.just("")),
    st.tuples(st.sampled_from(["Ready", "NetworkUnavailable"]), st.just("n1"), st.sampled_from(["firing", "resolved"])),
)
LIVES = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.lists(HAPPENS, max_size=5), st.sampled_from([0.0, 1.0, 12.0, 400.0, 4000.0])), max_size=5
        ),
        st.lists(ANSWERS, max_size=12),
        st.sampled_from(["stop", "kill", "cancel"]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=4,
)


@given(lives=LIVES, limit=st.sampled_from(["", "1/m", "3/m"]), by=st.sampled_from([["cluster"], ["name"]]))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_event_is_in_some_messages_count(lives: list[Any], limit: str, by: list[str]) -> None:
    with (
        tempfile.TemporaryDirectory() as root,
        capture_logs(),
        pytest.MonkeyPatch.context() as patch,
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        patch.setattr(telling, "WAITING_MOST", 4)
        patch.setattr("eventer.delivery.runner.AT_ONCE", BatchConfig(count=3))
        patch.setattr(telling, "AT_ONCE", BatchConfig(count=3))
        runner.run(_live(Path(root), lives, notifier(limit, by=by)))


async def _live(root: Path, lives: list[Any], config: Any) -> None:
    clock = LoopClock()
    directory = root / "0"
    told = []
    for number, (happens, script, end, refusals) in enumerate([*lives, ([], [], "stop", 0)]):
        sink = MemoryNotifier(*script)
        last = number == len(lives)
        async with opened(directory, clock) as journal:
            assert journal.quarantined is None
            async with notifying(journal, sink, config, stop=end == "stop"):
                for events, seconds in happens:
                    at = clock.now().timestamp() - START
                    made = [
                        node(what, state, at) if state else pod(what, at, name=name) for what, name, state in events
                    ]
                    if made:
                        await append(journal, made)
                    with failing(times=refusals):
                        await asyncio.sleep(seconds)
                    with contextlib.suppress(DiskRefused):
                        await journal.tidy()
                if last:
                    await rested(journal)
                if end == "kill":
                    directory = killed(directory, root / f"{number + 1}")
                    told += sink.told
            if end != "kill":
                told += sink.told
            if last:
                await _check(journal, told)
    balanced(directory)


async def _check(journal: Journal, told: list[Any]) -> None:
    reader, record = journal.alerting.readers["chat"], journal.alerting.notifiers["chat"]
    assert (reader.cursor, reader.waiting, reader.dropped) == (journal.head, 0, 0)
    assert reader.represented + reader.unmatched == journal.head
    outcomes = record.outcomes
    assert sum(outcomes.values()) == record.cursor == reader.opened
    rows = await journal._on_reader(lambda c: c.execute("SELECT number FROM letter").fetchall())
    dead = {row[0] + 1 for row in rows}  # notifications count from 1
    assert len(dead) == outcomes.get(Outcome.DEAD, 0)
    assert not outcomes.keys() - {Outcome.DELIVERED, Outcome.FOLDED, Outcome.DEAD}
    # Each notification arrived, alone or in another one, or is a dead letter; and nothing else did.
    assert covered(told) | dead >= set(range(1, reader.opened + 1))
    assert covered(told) <= set(range(1, reader.opened + 1))
    event(f"folded: {outcomes.get(Outcome.FOLDED, 0) > 0}, dead: {bool(dead)}, told: {bool(told)}")
