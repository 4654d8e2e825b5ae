"""`eventer check --probe`: asks the far sides whether they would take events, and writes none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from eventer.cli.colour import GREEN, RED, YELLOW, Paint
from eventer.clock import SystemClock
from eventer.errors import SinkError
from eventer.sink import SinkConfig, SinkContext, load
from eventer.text import escape, redact

__all__ = ["Probed", "render", "run"]


class Probed(msgspec.Struct, kw_only=True):
    """What came of asking one sink."""

    sink: str
    ok: bool | None
    """None where its kind cannot be asked without sending something."""
    message: str


def run(sinks: Mapping[str, SinkConfig]) -> list[Probed]:
    """Ask all far sides, at once. Each is given its time-out twice: to be reached, and to answer."""

    async def all_of_them() -> list[Probed]:
        return await asyncio.gather(*(_probe(name, config) for name, config in sinks.items()))

    return asyncio.run(all_of_them())


async def _probe(name: str, config: SinkConfig) -> Probed:
    sink: Any = None
    try:
        sink = load(config.kind).Sink(config, SinkContext(name=name, clock=SystemClock()))
        if not hasattr(sink, "probe"):
            words = f"cannot be probed without sending; try `eventer test-send {name}`"
            if config.keeps_state:
                words = f"a sink of kind {config.kind} belongs to the daemon alone, and is not probed"
            return Probed(sink=name, ok=None, message=words)
        async with asyncio.timeout(2 * config.timeout):
            return Probed(sink=name, ok=True, message=await sink.probe())
    except SinkError as error:
        answer = f" It answered: {redact(error.answer)[:300]}" if error.answer else ""
        return Probed(sink=name, ok=False, message=f"{error}{answer}")
    except TimeoutError:
        return Probed(sink=name, ok=False, message=f"no answer within {2 * config.timeout:g} s")
    except Exception as error:  # noqa: BLE001 - a sink by a third party can fail in any way
        return Probed(sink=name, ok=False, message=f"the sink failed with {type(error).__name__}, which is a bug in it")
    finally:
        if sink is not None:
            await _close(sink, config.timeout)


async def _close(sink: Any, patience: float) -> None:
    try:
        async with asyncio.timeout(patience):
            await sink.close()
    except Exception:  # noqa: BLE001, S110 - the answer is there; the process ends anyway
        pass


def render(probed: list[Probed], paint: Paint) -> str:
    """Write for people what came of it, a line for each sink."""
    words = {True: paint(GREEN, "ok"), False: paint(RED, "failed"), None: paint(YELLOW, "not probed")}
    return "\n".join(f"{escape(each.sink)}: {words[each.ok]}: {escape(each.message)}" for each in probed)
