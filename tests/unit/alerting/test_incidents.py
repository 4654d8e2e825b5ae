"""Incidents, played in the time that they take: how many messages a person gets, and that nothing is left out of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from eventer.alerting import grouping
from eventer.sink import NotifierConfig
from tests.helpers import incidents
from tests.helpers.bounds import ROWS, TEAM, Row, by_team
from tests.helpers.components import CLUSTER, Cluster
from tests.helpers.documents import ROOT
from tests.helpers.playing import Told, play, receiver
from tests.helpers.virtual import BEGIN, in_virtual_time

EACH = pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
KILLS = {"crash": (31.4, 14_423.5, 20_000.4), "history": (0.5, 5.4), "pending": (3.4, 3_601.4, 9_000.4)}
"""Seconds after the beginning; of the others, those below."""
USUAL = (12.3, 57.5, 62.3, 353.7, 366.4, 1_003.6, 2_405.4)


async def played(
    directory: Path,
    write: Callable[[Cluster], Any],
    configs: Mapping[str, NotifierConfig] | None = None,
    **how: Any,
) -> tuple[dict[str, Told], Cluster]:
    cluster = Cluster(BEGIN)
    write(cluster)
    return await play(directory, cluster, configs or {"chat": receiver()}, **how), cluster


WHOLE: dict[str, tuple[dict[str, Told], Cluster]] = {}
"""What was played once for several tests, by the name of its row."""


async def whole(directory: Path, row: Row) -> tuple[dict[str, Told], Cluster]:
    """Play a row with look-ups and without a kill. Nobody changes what comes back."""
    if row.name not in WHOLE:
        WHOLE[row.name] = await played(directory, row.play, row.configs(True), step=row.step)
        for each in WHOLE[row.name][0].values():
            each.per = row.per
    return WHOLE[row.name]


def warnings(cluster: Cluster) -> int:
    """What kube-eventer would send: one message for each."""
    return sum(event.type == "Warning" for _, event in cluster.events)


@EACH
@in_virtual_time
async def test_a_person_gets_few_messages_as_the_page_for_users_tells(tmp_path: Path, row: Row) -> None:
    told, cluster = await whole(tmp_path, row)
    _few_and_all(row, told, cluster, row.most)
    page = (ROOT / "docs/alerting.md").read_text(encoding="utf-8")
    (cells,) = re.findall(rf"^\| {re.escape(row.name)} \| ([\d,]+) \| (\d+)[^|]* \| (\d+) \|$", page, re.MULTILINE)
    measured = (max(each.messages for each in told.values()), max(each.over for each in told.values()))
    assert tuple(int(cell.replace(",", "")) for cell in cells) == (warnings(cluster), *measured)


@EACH
@in_virtual_time
async def test_a_person_gets_few_messages_without_look_ups(tmp_path: Path, row: Row) -> None:
    told, cluster = await played(tmp_path, row.play, row.configs(False), step=row.step)
    for each in told.values():
        each.per = row.per
    _few_and_all(row, told, cluster, row.off)


def _few_and_all(row: Row, told: Mapping[str, Told], cluster: Cluster, most: int) -> None:
    """Check the bounds for each person, and that all is in the messages."""
    for each in told.values():
        shown = "\n".join(each.lines())
        assert each.messages <= most, shown
        assert each.over <= row.over, shown
        assert each.unrepresented == 0
        assert each.record.waiting == each.record.dropped == each.record.expired == 0
        assert sum(note.events for note in each.notes) == each.record.represented
    assert sum(each.trouble for each in told.values()) > 0
    assert warnings(cluster) > sum(len(each.notes) for each in told.values())


@EACH
@in_virtual_time
async def test_kill_9_in_the_middle_changes_no_count(tmp_path: Path, row: Row) -> None:
    name = next(name for name, each in ROWS.items() if each is row)
    unbroken, _ = await whole(tmp_path / "whole", row)
    kills = KILLS.get(name, USUAL)
    broken, _ = await played(tmp_path / "broken", row.play, row.configs(True), kills=kills, step=row.step)
    for chat, each in unbroken.items():
        other = broken[chat]
        assert [(note.number, note.why, note.group, note.firing, note.resolved) for note in other.notes] == [
            (note.number, note.why, note.group, note.firing, note.resolved) for note in each.notes
        ], "\n".join(["whole", *each.lines(), "broken", *other.lines()])
        assert sum(note.events for note in other.notes) == sum(note.events for note in each.notes)
        assert (other.record.represented, other.record.suppressed, other.record.unmatched) == (
            each.record.represented,
            each.record.suppressed,
            each.record.unmatched,
        )


@pytest.mark.parametrize("name", ["image", "crash", "pending", "registry"])
@in_virtual_time
async def test_each_object_in_trouble_is_in_a_message(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With messages that name all of their problems, not the first 20."""
    monkeypatch.setattr(grouping, "ITEMS", 10_000)
    row = ROWS[name]
    told, _ = await played(tmp_path, row.play, row.configs(True), step=row.step)
    for each in told.values():
        named = {f"{CLUSTER}/{item.kind}/{item.namespace}/{item.name}" for note in each.notes for item in note.items}
        assert each.objects <= named
        assert all(note.unnamed == 0 for note in each.notes)


@in_virtual_time
async def test_a_node_that_dies_says_how_many_pods_it_took_whatever_is_killed(tmp_path: Path) -> None:
    unbroken, _ = await played(tmp_path / "whole", incidents.node_dies)
    broken, _ = await played(tmp_path / "broken", incidents.node_dies, kills=USUAL)
    first, *_, last = [note.quieted for note in unbroken["chat"].notes]
    assert first is not None
    assert last is not None
    assert first.problems < last.problems
    assert (last.pods, last.more) == (1000, False)
    assert [note.quieted for note in broken["chat"].notes][-1] == last


@in_virtual_time
async def test_a_bad_image_is_told_twice_at_most_in_ten_minutes(tmp_path: Path) -> None:
    told, cluster = await played(tmp_path, incidents.bad_image)
    early = [note for note, at in zip(told["chat"].notes, told["chat"].at, strict=True) if at < 600]
    assert 1 <= len(early) <= 2
    assert early[-1].firing == 200, "all of the Deployment's pods"
    assert warnings(cluster) > 2_000


@in_virtual_time
async def test_a_registry_outage_is_told_once_to_a_team_in_an_interval(tmp_path: Path) -> None:
    told, _ = await played(tmp_path, incidents.registry_outage, by_team(True), step=10)
    chat = told["chat"]
    times: dict[str, list[float]] = {}
    for note, at in zip(chat.notes, chat.at, strict=True):
        times.setdefault(note.group[TEAM], []).append(at)
    assert len(times) == 8
    for team, when in times.items():
        assert all(b - a >= 299 for a, b in itertools.pairwise(when)), team
    assert chat.within(60) <= 18
    assert len(chat.objects) == 200


@in_virtual_time
async def test_one_robot_for_all_teams_is_never_sent_more_than_it_bears(tmp_path: Path) -> None:
    told, _ = await played(tmp_path, incidents.registry_outage, {"chat": receiver(limit="18/m")}, step=10)
    chat = told["chat"]
    assert chat.within(60) <= 18
    assert chat.unrepresented == 0


@pytest.mark.parametrize("size", [500, 10_000])
@in_virtual_time
async def test_a_burst_of_warnings_is_in_messages_counts_to_the_last_one(tmp_path: Path, size: int) -> None:
    def burst(cluster: Cluster) -> None:
        for n in range(size):
            pod = cluster.pod(f"app-{n:05}", f"ns-{n % 200:03}", node=f"n{n % 50}")
            cluster.kubelet(1 + n / 5_000, pod, "BackOff", "Back-off restarting failed container app", bad=True)

    told, _ = await played(tmp_path, burst, {"chat": receiver(limit="18/m")})
    chat = told["chat"]
    assert chat.within(60) <= 18
    assert (chat.trouble, chat.record.represented, chat.unrepresented) == (size, size, 0)
    assert chat.at[0] <= 1 + 10 + 2, "the group's wait, and the second in which events are stored"
    firing = [note for note in chat.notes if note.firing]
    assert sum(note.events for note in firing) == size


@in_virtual_time
async def test_the_first_message_of_a_problem_comes_a_second_after_the_wait_at_most(tmp_path: Path) -> None:
    """Events are stored a second late at most here, so two seconds are the bound."""

    def trouble(cluster: Cluster) -> None:
        for n in range(100):
            pod = cluster.pod("app", f"ns-{n:03}", node=f"n{n % 50}")
            cluster.kubelet(100.0 * n, pod, "BackOff", "Back-off restarting failed container app", bad=True)

    told, _ = await played(tmp_path, trouble)
    first = {note.group["namespace"]: at for note, at in zip(told["chat"].notes, told["chat"].at, strict=True)
             if note.why == "first"}  # fmt: skip
    assert len(first) == 100
    assert max(at - 100.0 * int(namespace[3:]) for namespace, at in first.items()) <= 12
