"""What an answer to a part of a read means: pure decisions, no sending."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventer.delivery.parts import Parts, checked
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.event import Event, Origin, Outcome, encode_lines
from eventer.journal import Letter
from eventer.sink import Sent


def lines(n: int) -> list[bytes]:
    return encode_lines(
        [
            Event(
                id=f"i{i}", time=datetime(2026, 1, 1, tzinfo=UTC), cluster="c", origin=Origin.EVENT, type="Normal",
                reason="R", message=f"m{i}", kind="Pod", namespace="n", name=f"p{i}", count=1, entity=f"e{i}",
                version=i, object="o", problem="p",
            )
            for i in range(n)
        ]
    )  # fmt: skip


def letter(index: int, state: Outcome, error: SinkError) -> Letter:
    return Letter(
        number=index, state=state, reason=error.reason, destination=error.destination, at=1.0, event=lines(40)[index]
    )


def parts_of(n: int, wanted: list[int], lanes: int = 1, bury: Any = lambda _: None) -> Parts:
    """Make the parts of a read of `n` events of which these are wanted."""
    parts = Parts(lines(n), letter, bury)
    parts.decide_all(Outcome.UNMATCHED, but=wanted)
    parts.send(wanted, lanes)
    return parts


class FarSide:
    """Takes everything but the poison; sometimes answers a whole send with another failure first."""

    def __init__(self, poison: set[bytes], known: set[bytes], per_item: bool, moods: list[str]) -> None:
        self.poison, self.known, self.per_item, self.moods = poison, known, per_item, moods
        self.taken: list[bytes] = []

    def answer(self, sent: list[bytes]) -> Sent | SinkError:
        mood = self.moods.pop() if self.moods else "well"
        if mood == "busy":
            return Retry("busy", reason="busy")
        if mood == "locked":
            return Blocked("locked", reason="denied")
        bad = {i: Rejected("bad", reason="bad") for i, line in enumerate(sent) if line in self.poison}
        if bad and not self.per_item:
            return Rejected("something in it is bad", reason="bad")
        failed: dict[int, SinkError] = dict(bad)
        if mood == "halting" and len(sent) > 1:
            failed |= {i: Retry("later", reason="busy") for i in range(len(sent) // 2, len(sent)) if i not in bad}
        good = [line for i, line in enumerate(sent) if i not in failed]
        self.taken += good
        return Sent(failed=failed, duplicates=sum(line in self.known for line in good))


@given(
    st.integers(1, 40).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)), st.sets(st.integers(0, n - 1)))
    ),
    st.sets(st.integers(0, 39)),
    st.booleans(),
    st.lists(st.sampled_from(["well", "busy", "locked", "halting"]), max_size=12),
)
def test_every_event_gets_one_outcome_and_only_bad_ones_are_buried(picked, known, per_item, moods) -> None:  # type: ignore[no-untyped-def]
    n, wanted, bad = picked
    all_lines = lines(n)
    indexes = sorted(wanted)
    poison = {all_lines[i] for i in bad}
    far = FarSide(poison, {all_lines[i] for i in known if i < n}, per_item, list(moods))
    parts = parts_of(n, indexes)
    outcomes: Counter[Outcome] = Counter()
    buried: list[bytes] = []
    for _ in range(20 * n + len(moods)):
        if not indexes or parts.done:
            break
        ((lane, batch),) = parts.next()
        result = far.answer(list(batch.lines))
        failures = parts.judge(lane, result)
        if isinstance(result, Retry | Blocked):
            assert failures == [result]
        decided = parts.decided()
        outcomes += decided.outcomes
        buried += [letter.event for letter in decided.letters]
    if not indexes:
        return
    assert parts.done
    good = [all_lines[i] for i in indexes if all_lines[i] not in poison]
    assert far.taken == good or sorted(far.taken) == sorted(good)
    assert buried == [all_lines[i] for i in indexes if all_lines[i] in poison]
    assert sum(outcomes.values()) == n
    assert outcomes[Outcome.UNMATCHED] == n - len(indexes)
    assert outcomes[Outcome.DEAD] == len(buried)
    assert outcomes[Outcome.DELIVERED] + outcomes[Outcome.DUPLICATE] == len(good)


def test_what_is_decided_is_told_as_soon_as_nothing_before_it_is_open() -> None:
    parts = parts_of(4, [0, 1, 3])
    parts.judge(0, Sent(failed={1: Retry("later", reason="busy")}))
    assert parts.decided().outcomes == {Outcome.DELIVERED: 1}
    assert parts.decided().outcomes == {}
    ((_, batch),) = parts.next()
    assert list(batch.lines) == lines(4)[1:2]
    parts.judge(0, Sent())
    assert parts.decided().outcomes == {Outcome.DELIVERED: 2, Outcome.UNMATCHED: 1}
    assert parts.done


def test_an_item_that_failed_with_a_destination_is_parked_and_the_others_go_on() -> None:
    parts = parts_of(3, [0, 1, 2])
    error = Blocked("no such topic", reason="unknown_topic", destination="audit")
    assert parts.judge(0, Sent(failed={1: error})) == [error]
    assert parts.done
    decided = parts.decided()
    assert decided.outcomes == {Outcome.DELIVERED: 2, Outcome.PARKED: 1}
    assert [(each.number, each.state, each.destination) for each in decided.letters] == [(1, Outcome.PARKED, "audit")]


def test_what_may_not_be_buried_is_kept_to_be_sent() -> None:
    instead = Blocked("too many", reason="bad")
    parts = parts_of(2, [0, 1], bury=lambda _: instead)
    assert parts.judge(0, Sent(failed={1: Rejected("bad", reason="bad")})) == [instead]
    assert parts.decided().outcomes == {Outcome.DELIVERED: 1}
    assert parts.judge(0, Rejected("bad", reason="bad")) == [instead]
    assert not parts.done
    parts.judge(0, Sent())
    assert parts.decided().outcomes == {Outcome.DELIVERED: 1}


@given(st.integers(1, 40), st.integers(1, 8))
def test_lanes_share_out_all_events_and_no_entity(n: int, lanes: int) -> None:
    """Entities of `lines` differ; those of two events with one entity must be in one lane."""
    pair = lines(n) * 2
    parts = Parts(pair, letter, lambda _: None)
    parts.send(range(2 * n), lanes)
    sent = parts.next(lanes)
    assert len(sent) <= lanes
    assert sorted(line for _, batch in sent for line in batch.lines) == sorted(pair)
    entities = [{event.entity for event in batch.events} for _, batch in sent]
    assert sum(map(len, entities)) == n
    for lane, _ in sent:
        parts.judge(lane, Sent())
    assert parts.done
    assert parts.decided().outcomes == {Outcome.DELIVERED: 2 * n}


def test_a_probe_is_one_event_with_nothing_of_its_entity_before_it() -> None:
    pair = lines(3) * 2
    for seed in range(20):
        parts = Parts(pair, letter, lambda _: None)
        parts.send(range(6))
        parts.single_out(Random(seed))
        ((_, batch),) = parts.next()
        assert next(iter(batch.lines)) in pair[:3] and len(batch) == 1
        parts.judge(0, Retry("later", reason="busy"))
        parts.single_out(Random(seed + 1))
        while not parts.done:
            parts.judge(0, Sent())
        assert parts.decided().outcomes == {Outcome.DELIVERED: 6}


def test_what_is_given_up_is_only_what_nothing_was_decided_on() -> None:
    parts = parts_of(5, [0, 1, 2, 4])
    parts.judge(0, Sent(failed={0: Retry("later", reason="busy"), 3: Retry("later", reason="busy")}))
    assert parts.decided().outcomes == {}
    assert parts.give_up(4, Outcome.EXPIRED) == 1
    assert parts.decided().outcomes == {Outcome.EXPIRED: 1, Outcome.DELIVERED: 2, Outcome.UNMATCHED: 1}
    ((_, batch),) = parts.next()
    assert list(batch.lines) == lines(5)[4:]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"ok",
        Sent(state="text"),  # type: ignore[arg-type]
        Sent(duplicates=-1),
        Sent(failed={2: Retry("later", reason="busy")}),
        Sent(failed={0: "no"}),  # type: ignore[dict-item]
    ],
)
def test_an_answer_that_breaks_the_contract_goes_no_further(answer: object) -> None:
    with pytest.raises(TypeError):
        checked(answer, 2)
    assert checked(Sent(failed={1: Retry("later", reason="busy")}), 2).duplicates == 0


def test_what_a_sink_says_of_a_failure_can_be_stored() -> None:
    error = Rejected("no \ud800", reason={"code": 5}, answer=["\ud800"], after=float("nan"))  # type: ignore[arg-type]
    assert (error.reason, error.after) == ("{'code': 5}", None)
    (str(error) + error.answer).encode()
