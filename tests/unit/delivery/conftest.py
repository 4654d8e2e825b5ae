"""The log of each test, as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """Lines that were logged; rendering tracebacks for people would take most of the tests' time."""
    with capture_logs() as lines:
        yield lines
