"""Plays seeds, in a test or alone: `python -m tests.simulation.play FIRST COUNT`."""

from __future__ import annotations

import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import structlog

from eventer import failpoint
from tests.simulation.journal import without_threads
from tests.simulation.loop import SimLoop
from tests.simulation.world import World

__all__ = ["Broken", "play", "quiet"]

MEMORY = Path("/dev/shm")
STORY = 80
"""Lines of the story that a failure shows."""


class Broken(AssertionError):
    """A promise was broken under a seed."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let nobody log: most of it would be about what the simulation breaks itself."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


def play(seed: int) -> World:
    """Play one seed.

    Raises:
        Broken: with what was found, the story, and how to play it again.
    """
    dice = random.Random(seed)

    class Seeded(random.Random):
        """Whoever wants a generator of its own gets one that the seed decides."""

        def __init__(self, given: Any = None) -> None:
            super().__init__(dice.random() if given is None else given)

    loop = SimLoop(dice)
    home = MEMORY if MEMORY.is_dir() else None
    directory = Path(tempfile.mkdtemp(prefix="eventer-sim-", dir=home))
    try:
        world = World(directory, loop, dice)
        with without_threads(), mock.patch.object(failpoint, "hit", world.hit), mock.patch("random.Random", Seeded):
            try:
                loop.run_until_complete(world.run())
            except Exception as error:  # what the story shows is worth more than where it stopped
                world.verdict.fault(f"{type(error).__name__}: {error}")
                raise Broken(_tell(seed, world)) from error
        if world.verdict.faults:
            raise Broken(_tell(seed, world))
        return world
    finally:
        loop.close()
        shutil.rmtree(directory, ignore_errors=True)


def _tell(seed: int, world: World) -> str:
    story = "\n".join(world.story[-STORY:])
    faults = "\n".join(f"- {fault}" for fault in world.verdict.faults[:10])
    return f"seed {seed}:\n{faults}\n{story}\nAgain: pytest tests/simulation --seed {seed}"


def main(first: int, count: int) -> None:
    """Play seeds and say how many a minute it were."""
    began = time.process_time()
    broken = events = 0
    with quiet():
        for seed in range(first, first + count):
            try:
                events += play(seed).verdict.events
            except Broken as error:
                broken += 1
                print(error, flush=True)
    took = time.process_time() - began
    print(f"{count} seeds, {broken} broken, {events / count:.0f} events each, {60 * count / took:.0f} a minute of CPU")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
