"""Dead letters as a person meets them: looked at, retried when the far side is mended, with a kill in between."""

from __future__ import annotations

import asyncio
import json
import sys

from tests.helpers.daemon import Daemon
from tests.helpers.oracle import Sight, judge
from tests.helpers.process import until
from tests.helpers.receiver import Receiver
from tests.helpers.writer import Writer
from tests.real.conftest import MakeDaemon
from tests.real.controlplane import ControlPlane
from tests.real.rows import end_well, settled, source, truth_of, webhook, write

EVENTS = 200
ONE_IN = 20


async def eventer(daemon: Daemon, *words: str) -> tuple[int, str]:
    """Give a command as a user does; return its exit code and what it printed."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "eventer", *words, "-c", str(daemon.config_file), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    return child.returncode or 0, out.decode()


async def test_one_in_twenty_is_refused_and_mended_and_killed_in_between(
    plane: ControlPlane, daemons: MakeDaemon
) -> None:
    await plane.namespace("dead-letters")
    writer = Writer(plane.api, seed=5, namespaces=("dead-letters",))

    def refuses(sight: Sight) -> bool:
        return sight.message.startswith("bad")

    async with Receiver() as receiver:
        receiver.refuses = refuses
        daemon = daemons(sources=[source(plane, namespaces=["dead-letters"])])
        daemon.config["sinks"]["hook"] = webhook(receiver.url, batch={"count": 50})
        await daemon.start()
        await write(writer, EVENTS, message=lambda number: "bad" if number % ONE_IN == 0 else "fine")
        refused = EVENTS // ONE_IN

        async def dead() -> int:
            return (await daemon.books()).outcome("hook", "dead")

        async def all_dead() -> bool:
            return await dead() == refused

        await until(all_dead, "the refused ones to be dead letters")
        code, out = await eventer(daemon, "dead-letters", "list", "--sink", "hook", "--output", "json")
        letters = [json.loads(line) for line in out.splitlines()]
        assert (code, len(letters)) == (0, refused)
        assert all(each["event"]["message"].startswith("bad") for each in letters)
        assert all("no mapping for this" in each["answer"] for each in letters)

        # Retried in vain: dead again, and counted.
        assert (await eventer(daemon, "dead-letters", "retry", f"hook/{letters[0]['number']}"))[0] == 0
        await until(all_dead, "it to be dead again")

        # The far side is mended, and down just then; the daemon is killed before any of them could go.
        receiver.status = 503
        assert (await eventer(daemon, "dead-letters", "retry", "--sink", "hook"))[0] == 0
        daemon.kill9()
        books = daemon.journal()
        assert books.faults() == []
        assert books.letters["hook"] == {"parked": refused}
        receiver.status, receiver.refuses = 200, lambda _: False
        await daemon.start()
        truth = await truth_of(plane, writer, "dead-letters")
        verdict = await settled(truth, lambda: receiver.sights, exact=True)
        assert verdict.lost_objects == verdict.lost_states == []

        async def none_waits() -> bool:
            books = await daemon.books()
            return not books.outcome("hook", "parked") and not books.outcome("hook", "dead")

        await until(none_waits, "the letters to be settled")
        await end_well(daemon, truth, exact=True)
        assert judge(truth, receiver.sights, exact=True).lost_objects == []
