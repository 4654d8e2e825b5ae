"""A notifier in memory that answers by script, and all that makes and tells its notifications."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import msgspec

from eventer.alerting.digest import fold_lines
from eventer.alerting.notification import Notification, Why, decode, encode
from eventer.alerting.reader import AlertReader
from eventer.alerting.silences import Silences
from eventer.alerting.terms import Meanings
from eventer.config.inhibition import Inhibit
from eventer.delivery.runner import Pace, Runner
from eventer.delivery.telling import Telling
from eventer.event import Outcome
from eventer.journal import Journal
from eventer.match import Rule
from eventer.sink import Batch, Enrich, GroupConfig, NotifierConfig, Sent
from eventer.values import Duration, Rate
from tests.helpers.alerting import START, Words, pod
from tests.helpers.journals import append

__all__ = ["MemoryNotifier", "covered", "lost", "notifier", "notifying", "opened_notes", "rested", "told"]

Answer = BaseException | Callable[["MemoryNotifier", Notification], None]


def lost(error: BaseException) -> Answer:
    """The message arrives, and the answer does not."""

    def answer(sink: MemoryNotifier, note: Notification) -> None:
        sink.told.append(note)
        raise error

    return answer


class MemoryNotifier:
    """Each send takes the next answer of the script: None for a message that arrives, or what is raised."""

    def __init__(self, *script: Answer | None, otherwise: Answer | None = None) -> None:
        self.script = list(script)
        self.otherwise = otherwise
        self.told: list[Notification] = []
        """Messages that arrived, in order."""
        self.times: list[float] = []
        """When each send began, by the loop's time."""
        self.closed = 0

    async def open(self, state: bytes | None) -> None:
        assert state is None

    async def send(self, batch: Batch) -> Sent:
        (line,) = batch.lines
        self.times.append(asyncio.get_running_loop().time())
        answer = self.script.pop(0) if self.script else self.otherwise
        if isinstance(answer, BaseException):
            raise answer
        note = decode(line)
        if answer is not None:
            answer(self, note)
        self.told.append(note)
        return Sent()

    async def close(self) -> None:
        self.closed += 1


def notifier(limit: str = "", *, timeout: float = 5, **group: Any) -> NotifierConfig:
    times = {name: Duration(value) for name, value in group.items() if name != "by"}
    return NotifierConfig(
        kind="memory",
        match=[Rule.parse({"type": "Warning"})],
        group=GroupConfig(by=group.get("by", ["cluster", "namespace", "family"]), **times),
        limit=Rate.parse(limit) if limit else None,
        timeout=Duration(timeout),
    )


@contextlib.asynccontextmanager
async def notifying(
    journal: Journal,
    sink: MemoryNotifier,
    config: NotifierConfig | None = None,
    *,
    name: str = "chat",
    max_age: float = 86_400.0,
    stop: bool = True,
    alerting: bool = True,
    meanings: Meanings | None = None,
    enrich: Enrich | None = None,
) -> AsyncIterator[Runner]:
    """Run alerting, if wanted, and the runner of a notifier; at the end stop them in order, or cancel them."""
    config = config or notifier()
    reader = AlertReader(
        name,
        config,
        config.group,
        journal,
        meanings or Words(),
        journal._clock,
        inhibit=Inhibit(),
        silences=Silences(),
        enrich=enrich,
    )
    telling = Telling(name, journal.alerting.log(name), fold_lines, journal._clock, again=config.repeats_unknown)
    pace = Pace(retry_base=0.5, retry_cap=4.0, probe_base=4.0, probe_cap=8.0)
    runner = Runner(name, sink, config, journal, journal._clock, max_age=max_age, pace=pace, telling=telling)
    await reader.begin()
    await runner.begin()
    tasks = [asyncio.create_task(runner.run())]
    if alerting:
        tasks.append(asyncio.create_task(reader.run()))
    try:
        yield runner
        assert not any(task.done() for task in tasks), "it ended by itself"
        if stop:
            reader.stop()
            runner.stop()
            async with asyncio.timeout(3600):
                await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert sink.closed <= 1


async def opened_notes(journal: Journal, n: int, name: str = "chat", *, at: float = 0.0) -> None:
    """Append so many notifications, each of a group of its own, as alerting would that represents an event by each."""
    await journal.alerting.begin(name, journal.head)
    before = journal.alerting.readers[name]
    events = [pod("BackOff", at, name=f"p{before.opened + i}") for i in range(n)]
    await append(journal, events)
    emit = [
        encode(
            Notification(
                number=before.opened + i + 1,
                why=Why.FIRST,
                at=START + at,
                group={"name": event.name},
                severity="warning",
                firing=1,
                events=1,
            )
        )
        for i, event in enumerate(events)
    ]
    record = msgspec.structs.replace(
        before, cursor=journal.head, represented=before.represented + n, opened=before.opened + n
    )
    await journal.alerting.settle(name, record, emit, b"")


async def told(journal: Journal, upto: int, name: str = "chat") -> None:
    """Return when so many notifications are settled."""
    wait = 0.01
    async with asyncio.timeout(7 * 86_400):
        while journal.alerting.notifiers[name].cursor < upto:
            await asyncio.sleep(wait)
            wait = min(wait * 1.2, 10.0)


async def rested(journal: Journal, name: str = "chat") -> None:
    """Return when every event is in some notification, or concerns nobody, and every notification is told."""
    wait = 0.1
    async with asyncio.timeout(7 * 86_400):
        while not _rests(journal, name):
            await asyncio.sleep(wait)
            wait = min(wait * 1.2, 30.0)


def _rests(journal: Journal, name: str) -> bool:
    reader, notifier_ = journal.alerting.readers[name], journal.alerting.notifiers[name]
    settled = reader.cursor == journal.head and not reader.waiting
    return settled and notifier_.cursor == reader.opened and not notifier_.outcomes.get(Outcome.PARKED)


def covered(told: Iterable[Notification]) -> set[int]:
    """Return the numbers of the notifications that messages stand for."""
    return {number for note in told for number in range(note.number - max(note.folded, 1) + 1, note.number + 1)}
