"""L6: thousands of schedules of faults, each from one seed, over the real rooms from the watch to the sink.

A failing seed tells its story and how to play it again. `EVENTER_SEEDS` sets how many are played,
`EVENTER_FIRST_SEED` where they begin; `make soak` plays 20,000.
"""

from __future__ import annotations

import pytest

from tests.simulation.play import play, quiet


def test_l6_simulation(seed: int) -> None:
    """Nothing is lost, nothing comes twice without a reason, the books balance, nothing is left over."""
    with quiet():
        world = play(seed)
    assert world.verdict.events > 0


@pytest.mark.parametrize("number", [3, 26, 47])
def test_l6_the_same_seed_is_the_same_schedule(number: int) -> None:
    with quiet():
        first, again = play(number), play(number)
    assert first.story == again.story
    assert first.hits == again.hits
    assert [[event.id for event in far.arrived] for far in first.fars] == [
        [event.id for event in far.arrived] for far in again.fars
    ]
