"""An object that was deleted ends its problems, where look-ups can tell."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from eventer.about import About, Enriched
from eventer.alerting.existence import ASKED, Existence
from eventer.alerting.notification import Why
from eventer.alerting.reader import AlertReader
from eventer.alerting.silences import Silences
from eventer.config.inhibition import Inhibit
from eventer.event import Event
from eventer.sink import Batch
from tests.helpers.alerting import START, Played, Words, node, pod
from tests.helpers.journals import append, opened
from tests.helpers.memory_notifier import notifier
from tests.helpers.virtual import LoopClock, VirtualLoop


class Objects:
    """Look-ups by which the objects with these names are gone."""

    def __init__(self, *gone: str) -> None:
        self.gone = set(gone)
        self.asked: list[list[str]] = []

    async def __call__(self, batch: Batch) -> Batch:
        self.asked.append([event.name for event in batch.events])
        return Batch(batch.lines, [self._found(event) for event in batch.events])

    def _found(self, event: Event) -> Event:
        state = Enriched.GONE if event.name in self.gone else Enriched.OK
        return msgspec.structs.replace(event, about=About(enriched=state))

    def count(self, batch: Batch) -> None:
        raise AssertionError("nothing is sent")


def known(name: str, at: float = 0.0, reason: str = "BackOff") -> Event:
    event = pod(reason, at, name=name)
    event.uid = f"uid of {name}"
    return event


async def test_a_deleted_object_ends_its_problem_and_one_that_exists_goes_on() -> None:
    played, objects = Played(), Objects("a")
    existence = Existence(objects)
    played.log += [known("a"), known("b")]
    played.settle(0)
    played.settle(10)
    await existence.look(played.alerts, START + 119)
    assert objects.asked == []
    await existence.look(played.alerts, START + 130)
    assert objects.asked == [["a", "b"]]
    played.run(730, since=130)
    problems = next(iter(played.books.groups.values())).problems
    assert {problem.name: (problem.ended, problem.ended_by) for problem in problems.values()} == {
        "a": (START + 130, "Deleted"),
        "b": (None, ""),
    }
    played.log += [pod("Started", 800, name="b")]
    played.settle(800)
    played.run(5000, since=800)
    assert [(note.why, note.resolved) for note in played.told] == [(Why.FIRST, 0), (Why.RESOLVED, 2)]


async def test_one_of_the_same_name_that_has_the_same_problem_goes_on_with_it() -> None:
    played, objects = Played(), Objects("a")
    played.log += [known("a")]
    played.settle(0)
    played.settle(10)
    await Existence(objects).look(played.alerts, START + 130)
    played.log += [known("a", 300)]
    played.settle(300)
    played.run(2000, since=300)
    assert [note.why for note in played.told] == [Why.FIRST]


async def test_conditions_nodes_and_what_has_no_uid_are_not_asked_for() -> None:
    played, objects = Played(), Objects()
    played.log += [node("Ready", "firing", 0), pod("BackOff", 0), known("over")]
    played.log += [pod("Started", 1, name="over")]
    played.settle(1)
    await Existence(objects).look(played.alerts, START + 1000)
    assert objects.asked == []


async def test_many_are_asked_for_in_turn() -> None:
    played, objects = Played(), Objects()
    existence = Existence(objects)
    played.log += [known(f"p{n}") for n in range(2 * ASKED + 10)]
    played.settle(0)
    for minute in range(3):
        await existence.look(played.alerts, START + 130 + 60 * minute)
    assert [len(names) for names in objects.asked] == [ASKED] * 3
    assert len({name for names in objects.asked for name in names}) == 2 * ASKED + 10


def test_a_notifier_with_look_ups_asks_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def play() -> list[list[str]]:
        clock, config, objects = LoopClock(), notifier(), Objects("a")
        async with opened(tmp_path, clock) as journal:
            quiet = {"inhibit": Inhibit(), "silences": Silences(), "exists": objects}
            reader = AlertReader("chat", config, config.group, journal, Words(), clock, **quiet)
            await reader.begin()
            task = asyncio.create_task(reader.run())
            await append(journal, [known("a", clock.now().timestamp() - START)])
            await asyncio.sleep(1500)
            assert journal.alerting.readers["chat"].opened == 2  # that it began, and that it is over
            reader.stop()
            await task
        return objects.asked

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        asked = runner.run(play())
    assert asked[0] == ["a"]
    assert len(asked) == 1, "what is over is not asked for again"
