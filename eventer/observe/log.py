"""The daemon's own log: structured, on standard error, one line per change of state.

Standard output belongs to the `stdout` sink. Everything that comes from elsewhere (an error's
text, a server's words) is redacted and escaped before it is written.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import msgspec
import structlog

from eventer.text import escape, redact

__all__ = ["configure"]

Level = Literal["debug", "info", "warning", "error"]


def configure(level: Level, form: Literal["json", "console"]) -> None:
    """Set up structlog for this process.

    Args:
        level: least severity that is written; lines below it cost next to nothing.
        form: `json` for machines, `console` for people.
    """
    render: Any = structlog.processors.JSONRenderer(serializer=_json)
    if form == "console":
        render = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if form == "json" else _pass,
            _clean,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(name)s: %(message)s", force=True)
    # asyncio reports tasks that died; the libraries' own talk holds addresses and is not ours to tell.
    for name in ("httpx", "httpcore", "aiohttp", "kubernetes_asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _json(line: Any, **_: Any) -> str:
    return msgspec.json.encode(line, enc_hook=str).decode()


def _pass(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return line


def _clean(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in line.items():
        if isinstance(value, str) and key != "exception":
            line[key] = escape(redact(value))
        elif isinstance(value, str):
            line[key] = redact(value)
    return line
