"""A daemon in this process, with a sink that refuses some events, and commands given to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

import sinks
from eventer.cli import main
from eventer.sink import load
from tests.helpers.inprocess import Site

Command = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def quiet() -> Iterator[None]:
    """What a daemon logs in this process must not stand among what a command says."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


@pytest.fixture
def picky(monkeypatch: pytest.MonkeyPatch, quiet: None) -> Iterator[Any]:
    """The module of the sink `picky`, as if somebody had installed it."""
    monkeypatch.setattr(sinks, "__path__", [*sinks.__path__, str(Path(__file__).parent / "kinds")])
    module = load("picky")
    module.ARRIVED.clear()
    module.TRIES.clear()
    module.WORLD.update(mended=False, down=False)
    handlers = list(logging.root.handlers)
    yield module
    logging.root.handlers[:] = handlers


@pytest.fixture
def picky_site(site: Site, picky: Any) -> Site:
    """A site with a file sink `out`, and `fussy`, which is picky."""
    site.document["sinks"]["fussy"] = {"kind": "picky"}
    return site


@pytest.fixture
def command(picky_site: Site, capsys: pytest.CaptureFixture[str]) -> Command:
    """Give a command with the site's configuration; returns exit code, standard output and standard error."""

    async def give(*words: str) -> tuple[int, str, str]:
        picky_site.write()
        code = await asyncio.to_thread(main, [*words, "-c", str(picky_site.file)])
        out, err = capsys.readouterr()
        return code, out, err

    return give
