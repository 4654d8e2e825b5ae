"""What alerting costs on the path of events, and how many messages people get in incidents that are played.

    python -m tests.bench alerting

The cost is CPU of this process for reading a full journal, deciding and telling, less that of reading alone. Events
are those of 5,000 pods; of so many as the row says, every Event is a Warning of one of 500 Deployments' pods.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from eventer.clock import SystemClock
from eventer.event import Event, problem_key
from eventer.journal import Journal
from tests.bench.rig import Bench, say
from tests.helpers.bounds import ROWS
from tests.helpers.components import Cluster
from tests.helpers.journals import append, opened
from tests.helpers.memory_notifier import MemoryNotifier, notifying
from tests.helpers.playing import MEANINGS, play, receiver
from tests.helpers.sinks import make_event
from tests.helpers.virtual import BEGIN, VirtualLoop

EVENTS: Final = 100_000
BATCH: Final = 2_000
ROUNDS: Final = 3


def alerting(_: Bench) -> None:
    """Print both tables."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    say("| warnings | CPU µs/event |\n|---|---|")
    for share in (0, 10, 100):
        say(f"| {share} % | {min(asyncio.run(_cost(share)) for _ in range(ROUNDS)):.1f} |")
    say(
        "\n| incident | with look-ups | bound | without | bound | told as over | warnings, a message each | unrepresented |"
    )
    say("|---|---|---|---|---|---|---|---|")
    for row in ROWS.values():
        told = []
        for enrich in (True, False):
            cluster = Cluster(BEGIN)
            row.play(cluster)
            with tempfile.TemporaryDirectory() as directory, asyncio.Runner(loop_factory=VirtualLoop) as runner:
                told.append(runner.run(play(Path(directory), cluster, row.configs(enrich), step=row.step)).values())
            for each in told[-1]:
                each.per = row.per
        most = [max(each.messages for each in one) for one in told]
        over = max(each.over for one in told for each in one)
        left = sum(each.unrepresented for one in told for each in one)
        warnings = sum(event.type == "Warning" for _, event in cluster.events)
        say(f"| {row.name} | {most[0]} | {row.most} | {most[1]} | {row.off} | {over} | {warnings} | {left} |")


async def _cost(share: int) -> float:
    """Return microseconds of CPU an event."""
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as directory:
        async with opened(Path(directory) / "journal", clock) as journal:
            await journal.alerting.begin("chat", 0)
            for first in range(0, EVENTS, BATCH):
                await append(journal, [_event(n, share, clock) for n in range(first, first + BATCH)])
            reading = await _cpu(_read(journal))
            gc.collect()
            async with notifying(journal, MemoryNotifier(), receiver(enrich=False), meanings=MEANINGS):
                whole = await _cpu(_taken(journal))
            return (whole - reading) / EVENTS * 1e6


def _event(number: int, share: int, clock: SystemClock) -> Event:
    bad = number % 100 < share
    pod = number * 7 % (500 if bad else 5_000)
    about, reason = f"prod/Pod/ns-{pod % 20}/web-{pod}", "BackOff" if bad else "Pulled"
    return make_event(
        number,
        time=clock.now() - timedelta(seconds=1),
        type="Warning" if bad else "Normal",
        reason=reason,
        message=f"Back-off restarting failed container app in pod web-{pod}" if bad else "Container image is there",
        namespace=f"ns-{pod % 20}",
        name=f"web-{pod}",
        object=about,
        problem=problem_key(about, reason, "spec.containers{web}"),
        count=1,
        delta=1,
    )


async def _cpu(work: object) -> float:
    began = time.process_time()
    await work  # type: ignore[misc]
    return time.process_time() - began


async def _read(journal: Journal) -> None:
    cursor = 0
    while cursor < journal.head:
        cursor = (await journal.read(cursor, BATCH, 1 << 20)).end


async def _taken(journal: Journal) -> None:
    while journal.alerting.readers["chat"].cursor < journal.head:
        await asyncio.sleep(0.05)
