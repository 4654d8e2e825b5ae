"""Row G5: what is silenced at which moment, whatever zone it was written in and wherever the clock goes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from eventer.about import About, NamespaceFacts, Owner
from eventer.alerting.muting import Mute
from eventer.alerting.silences import ANNOTATION, Silence, Silences
from eventer.event import Event
from eventer.match import Rule
from eventer.values import Time
from tests.helpers.sinks import make_event
from tests.helpers.virtual import in_virtual_time

NOW = 1_800_000_000.0


def silence(name: str, begins: float, ends: float, **match: Any) -> Silence:
    """A silence between two moments after `NOW`; of everything, without a rule."""
    return Silence(
        name=name, rules=(Rule.parse(match),), owner="ann", reason="works", begins=NOW + begins, ends=NOW + ends
    )


def of(*silences: Silence) -> Silences:
    made = Silences()
    made.replace(silences)
    return made


def by(silences: Silences, at: float, event: Event | None = None) -> str:
    """Name of the silence that covers an event at a moment after `NOW`."""
    mute = silences.mute(event or make_event(), NOW + at)
    if mute is None:
        return ""
    assert mute.stage == "silence"
    assert mute.until > NOW + at
    return mute.name


def annotated(*mutes: str, **changes: Any) -> Event:
    return make_event(about=About(enriched="ok", mutes=list(mutes)), **changes)


def test_g5_a_silence_covers_what_it_matches_from_its_begin_until_its_end() -> None:
    silences = of(silence("a", 10, 20, namespace="shop", reason=["BackOff", "Failed"]))
    assert [by(silences, at) for at in (9.9, 10, 19.9, 20, 21)] == ["", "a", "a", "", ""]
    assert by(silences, 15, make_event(reason="Failed")) == "a"
    assert by(silences, 15, make_event(reason="Unhealthy")) == ""
    assert by(silences, 15, make_event(namespace="other")) == ""
    assert silences.mute(make_event(), NOW + 15) == Mute("silence", "a", NOW + 20)


def test_of_several_it_is_the_one_that_ends_last() -> None:
    a, b, c = silence("a", 0, 30), silence("b", 10, 50, namespace="shop"), silence("c", 0, 40, reason="Failed")
    silences = of(a, b, c)
    assert [by(silences, at) for at in (5, 10, 35, 49, 50)] == ["a", "b", "b", "b", ""]
    assert [by(silences, at, make_event(reason="Failed", namespace="x")) for at in (5, 29, 35, 45)] == [*"ccc", ""]
    assert by(of(silence("z", 0, 9), silence("y", 0, 9)), 0) == "y"  # the same one each time


def test_g5_a_clock_that_is_set_moves_no_silence() -> None:
    silences = of(silence("a", 10, 20), silence("b", 30, 40))
    times = [15, 35, 15, 5, 1e9, 12, -1e9, 39]
    assert [by(silences, at) for at in times] == ["a", "b", "a", "", "", "a", "", "b"]


@pytest.mark.parametrize(
    ("begins", "ends", "hours"),
    [
        # Berlin, the night in which 02:00 to 03:00 comes twice, and that in which it does not come.
        ("2026-10-25T01:30:00+02:00", "2026-10-25T03:30:00+01:00", 3),
        ("2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", 1),
        ("2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00", 1),
        # A zone of half an hour, a day further on; lower case and no seconds, which RFC 3339 does not mind or people do not.
        ("2026-04-05T01:45:00+11:00", "2026-04-05T01:45+10:30", 0.5),
        ("2026-06-30t23:59:00z", "2026-07-01 00:59:00.5+00:00", 1 + 0.5 / 3600),
    ],
)
def test_g5_a_silence_over_a_change_to_or_from_summer_time_is_as_long_as_its_moments_say(
    begins: str, ends: str, hours: float
) -> None:
    first, last = Time.parse(begins), Time.parse(ends)
    assert last - first == pytest.approx(hours * 3600)
    silences = of(silence("night", first - NOW, last - NOW))
    assert by(silences, first - NOW - 1) == ""
    assert by(silences, first - NOW) == by(silences, last - NOW - 0.1) == "night"
    assert by(silences, last - NOW) == ""


_WHEN = st.integers(0, 50)


@given(
    spans=st.lists(st.tuples(_WHEN, _WHEN, st.sampled_from(["shop", "pay", ""])), max_size=8),
    asked=st.lists(st.tuples(st.integers(-5, 55), st.sampled_from(["shop", "pay", "other"])), max_size=20),
)
def test_g5_whenever_it_is_asked_it_is_as_if_each_silence_was_looked_at(
    spans: list[tuple[int, int, str]], asked: list[tuple[int, str]]
) -> None:
    made = [
        silence(f"s{n}", begins, ends, **({"namespace": namespace} if namespace else {}))
        for n, (begins, ends, namespace) in enumerate(spans)
    ]
    silences = of(*made)
    for at, namespace in asked:
        on = [
            (ends, f"s{n}")
            for n, (begins, ends, wanted) in enumerate(spans)
            if begins <= at < ends and wanted in {"", namespace}
        ]
        mute = silences.mute(make_event(namespace=namespace), NOW + at)
        if not on:
            assert mute is None
        else:
            assert mute is not None
            assert (mute.until - NOW, mute.name) in on
            assert mute.until - NOW == max(on)[0]


def test_what_was_not_looked_up_is_not_covered() -> None:
    silences = of(silence("a", 0, 10, owner="Deployment/web"), silence("b", 0, 10, **{"namespace.labels": {"t": "x"}}))
    mine = About(enriched="ok", owner=Owner(kind="Deployment", name="web"))
    assert by(silences, 5, make_event(about=mine)) == "a"
    assert by(silences, 5, make_event(about=msgspec.structs.replace(mine, unknown=["owner"]))) == ""
    assert by(silences, 5, make_event(about=About(enriched="ok", owner=Owner(kind="Job", name="web")))) == ""
    assert by(silences, 5, make_event(about=About(namespace=NamespaceFacts(labels={"t": "x"})))) == ""
    assert by(silences, 5, make_event()) == ""
    longer = of(silence("a", 0, 10, owner="Deployment/web"), silence("c", 0, 20), silence("d", 0, 5))
    assert by(longer, 4, make_event(about=mine)) == "c"
    assert by(longer, 4, make_event(namespace="x")) == "c"


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(NOW + at, UTC).isoformat()


def test_an_annotation_silences_until_the_time_that_it_names() -> None:
    silences = of(silence("a", 0, 10, namespace="shop"))
    event = annotated(f"Deployment/web {_stamp(20)} the registry moves", f"Namespace/shop {_stamp(15)}")
    assert [by(silences, at, event) for at in (5, 15, 20)] == [ANNOTATION, ANNOTATION, ""]
    assert by(silences, 5, annotated(f"Pod/web {_stamp(7)}")) == "a"
    assert by(Silences(), 5, event) == ANNOTATION


@pytest.mark.parametrize("text", ["true", "2h", "", "  ", "2026-12-01T06:00:00", "2026-13-01T06:00:00Z", "for ever"])
def test_an_annotation_that_is_no_time_silences_nothing_and_is_told_once(text: str) -> None:
    silences = Silences()
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            assert silences.mute(annotated(f"Pod/web {text}"), NOW) is None
        assert silences.mute(annotated(f"Namespace/shop {text}"), NOW) is None
    assert [(line["object"], line["cluster"]) for line in logs] == [
        ("shop/Pod/web", "prod"),
        ("Namespace/shop", "prod"),
    ]
    assert "write" in logs[0]["reason"]


def test_a_good_annotation_counts_beside_one_that_is_none() -> None:
    assert by(Silences(), 5, annotated("Pod/web soon", f"Namespace/shop {_stamp(15)}")) == ANNOTATION


@in_virtual_time
async def test_whoever_waits_hears_of_each_change_and_of_nothing_else() -> None:
    silences = of(silence("a", 0, 10))
    seen = silences.version
    waiting = [asyncio.create_task(silences.changed(seen)) for _ in range(3)]
    await asyncio.sleep(1)
    silences.replace([silence("a", 0, 10)])
    await asyncio.sleep(1)
    assert silences.version == seen and not any(task.done() for task in waiting)
    waiting.pop().cancel()
    silences.replace([silence("a", 0, 20)])
    async with asyncio.timeout(60):
        await asyncio.gather(*waiting)
        await silences.changed(seen)  # a change that was missed
    assert by(silences, 15) == "a"
    silences.replace([])
    assert by(silences, 15) == ""
    assert silences.names == {ANNOTATION}
