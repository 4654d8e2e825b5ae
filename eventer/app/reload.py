"""The configuration while the daemon runs: when its file is read again, and what came of that.

It is read again on SIGHUP, when its content is another one, and when a command asks. What is wrong in it is
said, all of it, and what runs stays as it is. Secrets in files need none of this: they are read at each use.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import structlog

from eventer.clock import Backoff, Clock
from eventer.config.load import Examined, examine
from eventer.config.types import Config
from eventer.control.report import ConfigReport
from eventer.errors import ConfigError, Fault, JournalError
from eventer.observe.log import configure

__all__ = ["ConfigFile", "Reload"]

LOOK_EVERY: Final = 5.0
"""Seconds between looks at the file. The kubelet itself takes up to a minute to bring a changed ConfigMap
(https://kubernetes.io/docs/concepts/configuration/configmap/#mounted-configmaps-are-updated-automatically)."""
AT_START: Final = ("state.path", "state.max_size", "state.keep", "state.mirror", "server.listen")
"""Options that a running daemon cannot change; the rest of a configuration does not wait for them."""

log = structlog.get_logger()

_Seen = tuple[int, int, int] | None


class ConfigFile:
    """The file that a configuration comes from.

    Args:
        path: of the file, or of a link to it: a mounted ConfigMap is changed by putting another link there.
        environ: variables for `${VAR}`.
    """

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self.path = path
        self._environ = environ

    def read(self) -> Examined:
        """Read it; see `eventer.config.load.examine`."""
        return examine(self.path, self._environ)

    def look(self) -> _Seen:
        """Return what tells this content from another, without reading it; None if there is no file."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns


class Reload:
    """Reads the configuration again, and has it followed.

    Args:
        file: None if there is nothing to read again.
        config: what runs.
        follow: brings the daemon in line with a configuration; raises ConfigError if that would lose events.
        clock: time.
    """

    def __init__(
        self, file: ConfigFile | None, config: Config, follow: Callable[[Config], Awaitable[None]], clock: Clock
    ) -> None:
        self._file = file
        self._follow = follow
        self._clock = clock
        self._first = config
        self._seen = file.look() if file else None
        self._asked = asyncio.Event()
        self._answers: list[asyncio.Future[ConfigReport]] = []
        self.config = config
        self.report = ConfigReport(file=str(file.path) if file else "", taken=clock.now().timestamp())

    def ask(self) -> None:
        """Have the file read as soon as may be."""
        self._asked.set()

    async def asked(self) -> ConfigReport:
        """Have the file read, and return what came of it."""
        answer: asyncio.Future[ConfigReport] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        self._asked.set()
        return await answer

    async def run(self) -> None:
        """Watch the file and the requests, for ever."""
        while True:
            if await self._due():
                answers, self._answers = self._answers, []
                await self._read()
                for answer in answers:
                    if not answer.done():
                        answer.set_result(self.report)

    async def _due(self) -> bool:
        """Wait for a request, or until it is time to look; return whether to read."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await self._asked.wait()
                self._asked.clear()
                return True
        if self._file is None or (seen := self._file.look()) == self._seen:
            return False
        # Whoever is writing it just now must come to the end: half a file may be a whole configuration.
        await self._clock.sleep(1.0)
        return self._file.look() == seen

    async def _read(self) -> None:
        if self._file is None:
            return
        seen = self._file.look()
        await self._take(await asyncio.to_thread(self._file.read))
        self._seen = seen  # not before: what is cancelled in the midst is begun anew by whoever runs this next

    async def _take(self, examined: Examined) -> None:
        report = self.report
        if examined.config is None:
            self._refuse(examined.faults)
            return
        config = examined.config
        if config == self.config:
            report.results["unchanged"] += 1
            report.refused, report.faults = None, []
            log.info("configuration read again, nothing changed")
            return
        backoff = Backoff(0.5, 10.0, clock=self._clock)
        while True:
            try:
                await self._follow(config)
                break
            except ConfigError as error:
                self._refuse(error.faults)
                return
            except JournalError as error:  # some of it may be done: there is only the way ahead
                log.warning("configuration not taken yet, tried again", reason=str(error))
                await self._clock.sleep(backoff.next())
        self.config = config
        report.results["taken"] += 1
        report.taken = self._clock.now().timestamp()
        report.refused, report.faults = None, []
        report.waiting = [name for name in AT_START if _option(config, name) != _option(self._first, name)]
        if config.log != self._first.log:
            configure(config.log.level, config.log.format)
        for fault in examined.faults:
            log.warning("configuration: warning", path=fault.path, line=fault.line, message=fault.message)
        log.info("configuration taken", sinks=[*config.sinks], rules=len(config.filter), sources=len(config.sources))
        if report.waiting:
            log.warning("changed options take effect at the next start", options=report.waiting)

    def _refuse(self, faults: list[Fault]) -> None:
        report = self.report
        report.results["refused"] += 1
        report.refused = self._clock.now().timestamp()
        report.faults = [fault for fault in faults if not fault.warning]
        for fault in report.faults:
            log.error(
                "configuration refused, the old one stays",
                path=fault.path, line=fault.line, message=fault.message, remedy=fault.remedy,
            )  # fmt: skip


def _option(config: Config, name: str) -> object:
    section, option = name.split(".")
    return getattr(getattr(config, section), option, None)
