"""The daemon's own log: structured, on standard error, one line per change of state.

Standard output belongs to the `stdout` sink. Everything that comes from elsewhere (an error's
text, a server's words, what a library reports) is redacted and escaped before it is written.
"""

from __future__ import annotations

import logging
import sys
import textwrap
from collections.abc import Mapping, MutableMapping
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
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _clean,
    ]
    if form == "json":
        processors.append(structlog.processors.JSONRenderer(serializer=_json))
    else:
        console = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        processors += [_indent, console]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter
    libraries = logging.StreamHandler(sys.stderr)
    libraries.setFormatter(
        formatter(processors=[structlog.stdlib.add_logger_name, formatter.remove_processors_meta, *processors])
    )
    logging.basicConfig(level=logging.ERROR, handlers=[libraries], force=True)
    # asyncio reports tasks that died; the libraries' own talk holds addresses and is not ours to tell.
    for name in ("httpx", "httpcore", "aiohttp", "kubernetes_asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _json(line: Any, **_: Any) -> str:
    return msgspec.json.encode(line).decode()


def _clean(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in line.items():
        # A traceback has lines of its own; within them nothing else may move the cursor.
        line[key] = "\n".join(map(escape, redact(value).split("\n"))) if key == "exception" else _shown(value)
    return line


def _shown(value: Any) -> Any:
    """Redact and escape every text in a value. What is neither text, number nor collection becomes a text."""
    match value:
        case None | bool():
            return value
        case int() | float():  # of the plain type: a size is a number with a type of its own
            return int(value) if isinstance(value, int) else float(value)
        case Mapping():
            return {_shown(str(key)): _shown(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_shown(each) for each in value]
        case _:
            return escape(redact(str(value)))


def _indent(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Move a traceback to the right: an error's text must not pass for a line of this log."""
    if "exception" in line:
        line["exception"] = textwrap.indent(line["exception"], "  ", lambda _: True)
    return line
