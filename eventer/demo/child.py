"""The daemon of the demo, as a process of its own, so that it can be killed: what `eventer run` runs.

It ends when its standard input does: a demo that was killed, or whose terminal was closed, leaves nothing running.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

from eventer import app
from eventer.clock import SystemClock
from eventer.config.load import load
from eventer.errors import ConfigError, EventerError
from eventer.observe import log

__all__ = ["main"]


def main(file: Path) -> int:
    """Run the daemon until SIGTERM, or until nobody holds the other end of standard input.

    Returns:
        0 after an orderly stop, 1 if it could not start or go on; why is on standard error.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    code = 0
    try:
        config = load(file, os.environ).config
        log.configure(config.log.level, config.log.format)
        asyncio.run(app.run(config, SystemClock(), file))
    except* EventerError as failures:
        _say(failures)
        code = 1
    return code


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _say(failures: BaseExceptionGroup[EventerError]) -> None:
    for failure in failures.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            _say(failure)
        elif isinstance(failure, ConfigError):
            for fault in failure.faults:
                print(fault.told, file=sys.stderr)
        else:
            print(failure, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
