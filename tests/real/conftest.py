"""Fixtures of the tests against real servers.

All tests here share one event loop, because a control plane outlives a single test: it takes 4 s to
start, so tests that leave it whole share one per module (`plane`), and tests that break it ask for
their own (`planes`).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.helpers.daemon import Daemon
from tests.helpers.process import Child
from tests.real.controlplane import ControlPlane
from tests.real.influxdb import influxdb
from tests.real.opensearch import opensearch
from tests.real.parts.build import missing

__all__ = ["influxdb", "opensearch"]

pytest.register_assert_rewrite("tests.real.rows")  # its asserts explain themselves like those of tests

MakePlane = Callable[..., Awaitable[ControlPlane]]
MakeDaemon = Callable[..., Daemon]

_children: list[Child] = []
"""Of the test that runs now; their last lines are shown if it fails."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    absent = missing()
    reason = f"{', '.join(absent)} not built: run `make real`, or tests/real/parts/build.py first"
    for item in items:
        if not item.path.is_relative_to(Path(__file__).parent):
            continue
        # Not skipped: a suite that silently proves nothing is worse than one that fails.
        if absent and item.path.name != "test_parts.py":
            pytest.exit(reason, returncode=3)
        if asyncio.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed:  # type: ignore[attr-defined]
        for child in _children:
            report.sections.append((f"last lines of {child.log}", child.tail(40 if child.name == "daemon" else 8)))  # type: ignore[attr-defined]
    return report


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plane(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    """One control plane for all tests of a module; a test leaves it as it found it."""
    control_plane = ControlPlane(tmp_path_factory.mktemp("plane"), users=("reader",))
    _children.extend(control_plane.children)
    try:
        await control_plane.start()
        yield control_plane
    finally:
        await control_plane.stop()
        for child in control_plane.children:
            _children.remove(child)


@pytest_asyncio.fixture(loop_scope="session")
async def planes(tmp_path: Path) -> AsyncIterator[MakePlane]:
    """Make control planes that belong to this test alone: `await planes(event_ttl="60s")`."""
    made: list[ControlPlane] = []

    async def make(**options: Any) -> ControlPlane:
        directory = tmp_path / f"plane{len(made)}"
        directory.mkdir()
        control_plane = ControlPlane(directory, **({"name": f"cluster{len(made)}"} | options))
        made.append(control_plane)
        _children.extend(control_plane.children)
        await control_plane.start()
        return control_plane

    try:
        yield make
    finally:
        for control_plane in made:
            await control_plane.stop()
            for child in control_plane.children:
                _children.remove(child)


@pytest_asyncio.fixture(loop_scope="session")
async def daemons(tmp_path: Path) -> AsyncIterator[MakeDaemon]:
    """Make daemons, not started yet: `daemons(sources=[...], sinks={...})`; see `Daemon`."""
    made: list[Daemon] = []

    def make(**options: Any) -> Daemon:
        directory = tmp_path / f"daemon{len(made)}"
        directory.mkdir()
        daemon = Daemon(directory, **options)
        made.append(daemon)
        _children.append(daemon.child)
        return daemon

    try:
        yield make
    finally:
        for daemon in made:
            await daemon.close()
            _children.remove(daemon.child)


def pytest_report_header() -> str:
    return f"real parts: python {sys.version_info.major}.{sys.version_info.minor}, control planes on loopback"
