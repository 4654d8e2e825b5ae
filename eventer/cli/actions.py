"""Commands with actions that look at, or change, what the journal keeps: `eventer silence`, `eventer dead-letters`.

The daemon is asked, if one runs, for it alone changes its journal; otherwise the journal itself is opened.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from eventer.cli import add_command
from eventer.errors import EventerError

if TYPE_CHECKING:
    from eventer.clock import Clock
    from eventer.journal import Journal

__all__ = ["WrongUseError", "add_actions", "in_journal", "performed"]

_T = TypeVar("_T")


class WrongUseError(Exception):
    """The command line makes no sense; the message says what does."""


def add_actions(
    subparsers: Any, name: str, text: str, examples: Sequence[str], codes: Mapping[int, str], actions: Mapping[str, str]
) -> Mapping[str, argparse.ArgumentParser]:
    """Add a command that has actions; `args.action` names the one that is meant.

    Args:
        subparsers: of the program's parser; so with `name`, `text`, `examples` and `codes`, see `add_command`.
        actions: each with what it does.

    Returns:
        The parser of each action.
    """
    parsers = add_command(subparsers, name, text, examples, codes).add_subparsers(
        title="actions", dest="action", metavar="ACTION", required=True
    )
    return {
        action: parsers.add_parser(action, help=summary, description=f"{name} {action}: {summary}.")
        for action, summary in actions.items()
    }


def performed(args: argparse.Namespace, action: Callable[[], int]) -> int:
    """Do what an action says, and tell on standard error why it could not be done.

    Returns:
        The action's exit code; 1 if it could not be done; 2 for wrong usage.
    """
    try:
        return action()
    except WrongUseError as error:
        code, failure = 2, str(error)
    except BrokenPipeError:
        raise
    except (EventerError, OSError) as error:
        code, failure = 1, str(error)
    print(f"eventer {args.command} {args.action}: {failure}", file=sys.stderr)
    return code


def in_journal(directory: Path, work: Callable[[Journal, Clock], Awaitable[_T]]) -> _T:
    """Work on the journal of a state directory, where no daemon runs.

    Raises:
        JournalError: it cannot be used.
    """
    import asyncio

    from eventer.clock import SystemClock
    from eventer.journal import Journal

    async def run() -> _T:
        clock = SystemClock()
        with Journal.open(directory, max_size=sys.maxsize, clock=clock) as journal:
            try:
                return await work(journal, clock)
            finally:
                await journal.close()

    return asyncio.run(run())
