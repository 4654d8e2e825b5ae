"""What most fault rows share: a source for a control plane, many writes, and the final judgement."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.helpers.daemon import Daemon
from tests.helpers.oracle import Sight, Verdict, judge
from tests.helpers.process import until
from tests.helpers.writer import Truth, Writer, survey
from tests.real.controlplane import ControlPlane

__all__ = [
    "SOAK",
    "SOON",
    "WATCH_TIMES",
    "end_well",
    "pages_of",
    "scale",
    "settled",
    "source",
    "truth_of",
    "webhook",
    "write",
]

SOAK: Final = bool(os.environ.get("EVENTER_SOAK"))
"""Set by `make soak`: rows run with the numbers of docs/faults.md as written."""

WATCH_TIMES: Final = {
    "eventer.source.settings:StreamSettings.watch_timeout": [3, 5],
    "eventer.source.settings:StreamSettings.idle_margin": 2.0,
    "eventer.source.settings:StreamSettings.deadline": 5.0,
}
"""Length of a watch and patience beyond it, shortened from minutes to seconds (`Daemon.scaled`)."""


SOON: Final = {"eventer.delivery.breaker:Pace.retry_cap": 5.0}
"""Seconds after which a sink that was down for long is tried again at the latest, in place of 60 (`Daemon.scaled`)."""


def pages_of(items: int) -> dict[str, Any]:
    """Let lists come in pages of so many items in place of 500 (`Daemon.scaled`)."""
    return {"eventer.source.settings:StreamSettings.page": items}


def scale(short: int, written: int) -> int:
    """Return the number for this run: the short one, or under `make soak` that of the row."""
    return written if SOAK else short


def source(plane: ControlPlane, *, user: str = "admin", server: str = "", **options: Any) -> dict[str, Any]:
    """Return an entry of `sources:` for a control plane, as a user, through a proxy if one is given."""
    kubernetes = {"kubeconfig": str(plane.kubeconfig(user=user, server=server))} | options
    return {"cluster": plane.name, "kubernetes": kubernetes}


def webhook(url: str, **options: Any) -> dict[str, Any]:
    """Return an entry of `sinks:` for a webhook."""
    return {"kind": "webhook", "url": url, "format": "array"} | options


async def write(writer: Writer, count: int, *, message: Callable[[int], str] = lambda _: "") -> list[Truth]:
    """Create that many Events as fast as the API takes them, and return them."""
    made: list[Truth] = []
    for start in range(0, count, 50):
        block = [writer.create(message=message(number)) for number in range(start, min(start + 50, count))]
        made += await asyncio.gather(*block)
    return made


async def truth_of(plane: ControlPlane, writer: Writer, namespace: str = "") -> dict[str, Truth]:
    """Join what the API acknowledged to the writer with what it holds now."""
    truth = {uid: item for uid, item in writer.truth.items() if not namespace or item.namespace == namespace}
    written = {item.namespace for item in truth.values()} | {namespace}
    for uid, item in (await survey(plane.api, namespace)).items():
        if item.namespace == "default" and "default" not in written:
            continue  # the API server's own: of Services whose addresses it repairs, for one
        if uid not in truth or not truth[uid].deleted:
            truth[uid] = item
    return truth


async def settled(
    truth: Mapping[str, Truth], sights: Callable[[], list[Sight]], *, exact: bool = False, timeout: float = 60.0
) -> Verdict:
    """Wait until a sink has every object in its last state, and return the verdict on it.

    If that does not come, the verdict says what is missing; so it is asserted, not raised.
    """
    verdict = judge(truth, sights(), exact=exact)

    def complete() -> bool:
        nonlocal verdict
        verdict = judge(truth, sights(), exact=exact)
        return not verdict.lost_objects and not verdict.lost_states

    with contextlib.suppress(TimeoutError):
        await until(complete, "all final states", timeout=timeout, every=0.2)
    return verdict


async def end_well(
    daemon: Daemon,
    truth: Mapping[str, Truth],
    *,
    repeats: int = 0,
    exact: bool = False,
    archive: str = "archive",
) -> Verdict:
    """Assert what every row asserts, and stop the daemon.

    Nothing lost in the file sink, at most so many repeats, order and sums right; the books balance
    while it runs, and again in the journal that it leaves; it ends with exit code 0.
    """
    verdict = await settled(truth, lambda: daemon.sights(archive), exact=exact)
    assert verdict.faults(repeats=repeats) == []
    assert verdict.records > 0

    async def even() -> bool:
        books = await daemon.books()
        return books.cursors.get(archive) == books.head

    await until(even, "the cursor to reach the head")
    books = await daemon.books()
    assert books.faults() == []
    assert await daemon.term() == 0
    assert daemon.journal().faults() == []
    return verdict
