"""Delivery under any script of answers, refusals and kills: at least once, in order, one outcome per event."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from eventer.delivery.desk import Decision
from eventer.delivery.runner import Pace, Runner
from eventer.errors import EventerError
from eventer.event import Outcome, decode_lines
from tests.helpers.journals import append, balanced, everything, failing, killed, numbered, opened
from tests.helpers.memory_sink import (
    MemorySink,
    RoutedSink,
    bad,
    blocked,
    closed,
    config,
    hang,
    lost_answer,
    ok,
    outcomes,
    partly,
    rejected,
    retry,
    running,
    settled,
)
from tests.helpers.virtual import LoopClock, VirtualLoop

EXAMPLES = 3000 if os.environ.get("EVENTER_SOAK") else 40
EVENTS = 24
ENTITIES = 5
NAMES = [f"web-{n}" for n in range(EVENTS)]
PACE = Pace(retry_base=0.5, retry_cap=4.0, probe_base=4.0, probe_cap=8.0)
FAILURES = st.builds(retry) | st.builds(rejected) | st.builds(blocked)

ANSWERS = st.one_of(
    st.builds(ok, duplicates=st.integers(0, 2), state=st.none() | st.binary(max_size=2)),
    st.builds(partly, st.dictionaries(st.sampled_from(NAMES), FAILURES, max_size=8), state=st.none() | st.just(b"x")),
    st.builds(bad, *[st.sampled_from(NAMES)] * 3),
    st.builds(retry, st.none() | st.floats(0, 10)),
    st.builds(blocked),
    st.builds(hang),
    st.builds(lost_answer, st.just(retry())),
    st.builds(lost_answer, st.just(RuntimeError("x"))),
    st.builds(RuntimeError),
    st.builds(asyncio.CancelledError),
)
NUMBERS = st.just(set(range(EVENTS))) | st.sets(st.integers(0, EVENTS))
PLACES = st.lists(st.sampled_from(["n0", "n1"]), min_size=1, max_size=2)
LIVES = st.lists(
    st.tuples(
        st.lists(ANSWERS | st.builds(lambda places: closed(*places), PLACES), max_size=10),
        st.sampled_from(["stop", "kill", "cancel"]),
        st.floats(0, 20),
        st.integers(0, 3),
        st.lists(st.tuples(st.sampled_from(Decision), NUMBERS, st.floats(0, 10)), max_size=3),
        st.sets(st.sampled_from(NAMES), max_size=3),
    ),
    max_size=4,
)


@given(
    lives=LIVES,
    count=st.sampled_from([1, 3, 500]),
    rules=st.sampled_from([[], [{"name": "/[02468]$/"}], [{"name": "none"}]]),
    appends=st.lists(st.integers(1, 6), max_size=8),
)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_at_least_once_in_order_and_one_outcome_each(
    lives: list[Any], count: int, rules: list[Any], appends: list[int]
) -> None:
    _run(lives, config(*rules, count=count, timeout=5), appends)


@given(
    lives=LIVES,
    count=st.sampled_from([1, 3, 500]),
    rules=st.sampled_from([[], [{"name": "/[02468]$/"}]]),
    appends=st.lists(st.integers(1, 6), max_size=8),
    in_flight=st.sampled_from([1, 2, 5]),
    repeats=st.sampled_from(["all", "7s", "changes"]),
    limit=st.sampled_from(["", "30/m"]),
    kind=st.sampled_from([MemorySink, RoutedSink]),
)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_same_with_everything_that_parks_and_overlaps(
    lives: list[Any],
    count: int,
    rules: list[Any],
    appends: list[int],
    in_flight: int,
    repeats: str,
    limit: str,
    kind: type[MemorySink],
) -> None:
    options = config(*rules, count=count, timeout=5, in_flight=in_flight, repeats=repeats, limit=limit)
    _run(lives, options, appends, kind)


def _run(lives: list[Any], options: Any, appends: list[int], kind: type[MemorySink] = MemorySink) -> None:
    with (
        tempfile.TemporaryDirectory() as root,
        capture_logs(),
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        runner.run(_live(Path(root), lives, options, appends, kind))


LAST: Any = ([], "stop", 0.0, 0, [], set())
"""The life in which all comes to rest."""


class Decisions:
    """What people asked for, whether it came to that or not."""

    def __init__(self) -> None:
        self.retried: set[str] = set()
        self.dropped: set[str] = set()

    async def by_a_person(self, runner: Runner, decision: Decision, numbers: set[int], after: float) -> None:
        await asyncio.sleep(after)
        asked = self.retried if decision is Decision.RETRY else self.dropped
        asked |= {f"web-{n}" for n in numbers}
        with contextlib.suppress(EventerError):
            done = await runner.desk.ask(decision, numbers)
            event(f"{decision}: {bool(done.done)}")


async def _live(root: Path, lives: list[Any], options: Any, appends: list[int], kind: type[MemorySink]) -> None:
    clock = LoopClock()
    directory = root / "0"
    arrived: list[str] = []
    left = list(range(EVENTS))
    decided = Decisions()
    for number, (script, end, seconds, refusals, decisions, poison) in enumerate([*lives, LAST]):
        sink = kind(*script, otherwise=bad(*poison))
        sink.overlap = options.in_flight
        last = number == len(lives)
        async with opened(directory, clock) as journal:
            assert journal.quarantined is None
            async with running(journal, sink, options, stop=end == "stop", pace=PACE) as runner:
                keeping = asyncio.create_task(journal.keep_house())
                while left:
                    n = appends.pop(0) if appends else 4
                    now, left = left[:n], left[n:]
                    for each in now:  # a few entities, each with several states
                        await append(
                            journal, numbered(each, entity=f"e{each % ENTITIES}", namespace=f"n{each % ENTITIES % 2}")
                        )
                    if not last:
                        break
                with failing(times=refusals):
                    people = [asyncio.create_task(decided.by_a_person(runner, *each)) for each in decisions]
                    await asyncio.sleep(seconds)
                if last:
                    await settled(journal, EVENTS)
                    while outcomes(journal)[Outcome.PARKED]:
                        await asyncio.sleep(1)
                keeping.cancel()
                for person in people:
                    person.cancel()
                if end == "kill":
                    directory = killed(directory, root / f"{number + 1}")
                    arrived += sink.arrived
            if end != "kill":
                arrived += sink.arrived
            with contextlib.suppress(asyncio.CancelledError):
                await keeping
            if last:
                await _check(journal, arrived, options, decided)
    balanced(directory)


async def _check(journal: Any, arrived: list[str], options: Any, decided: Decisions) -> None:
    record = journal.readers["memory"]
    assert record.cursor == journal.head == EVENTS
    assert sum(record.outcomes.values()) == EVENTS
    rows = await journal._on_reader(lambda c: c.execute("SELECT event FROM letter").fetchall())
    dead = [each.name for each in decode_lines([row[0] for row in rows])]
    assert len(dead) == len(set(dead)) == record.outcomes.get(Outcome.DEAD, 0)
    assert record.outcomes.get(Outcome.DROPPED, 0) <= len(decided.dropped)
    given_up = decided.dropped if record.outcomes.get(Outcome.DROPPED, 0) else set()
    # At least once: what was wanted arrived, or is a dead letter.
    wanted = [name for name in NAMES if not options.match or any(rule.open["name"](name) for rule in options.match)]
    if record.outcomes.get(Outcome.COALESCED, 0):
        assert options.repeats.window is not None
        for entity in range(ENTITIES):  # the latest of each always arrives
            newest = [name for name in NAMES[entity::ENTITIES] if name in wanted][-1:]
            assert set(newest) <= set(arrived) | set(dead) | given_up
    else:
        assert set(wanted) <= set(arrived) | set(dead) | given_up
        assert len(set(wanted) - set(arrived) - set(dead)) <= record.outcomes.get(Outcome.DROPPED, 0)
    assert set(arrived) | set(dead) <= set(wanted)
    assert record.outcomes.get(Outcome.UNMATCHED, 0) == EVENTS - len(wanted)
    # In order for each entity: whatever was repeated, what arrived last is the newest. A letter that a person
    # had tried again comes behind what went meanwhile.
    last = {name: place for place, name in enumerate(arrived)}
    for entity in range(ENTITIES):
        places = [
            last[name] for name in NAMES[entity::ENTITIES] if name in last and name not in {*dead, *decided.retried}
        ]
        assert places == sorted(places)
    times = Counter(arrived)
    event(f"repeats: {sum(times.values()) > len(times)}, dead: {bool(dead)}")
    assert not await everything(journal, EVENTS)
