"""Which seeds are played, and how to play one again."""

from __future__ import annotations

import os

import pytest

SEEDS = 100
"""Of `make test`."""
SOAK_SEEDS = 20_000


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="play this one seed of the simulation, and tell its story")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" not in metafunc.fixturenames:
        return
    one = metafunc.config.getoption("--seed", default=None)
    first = int(os.environ.get("EVENTER_FIRST_SEED", "0"))
    count = int(os.environ.get("EVENTER_SEEDS", SOAK_SEEDS if os.environ.get("EVENTER_SOAK") else SEEDS))
    metafunc.parametrize("seed", [one] if one is not None else range(first, first + count))
