"""The recording: what a round holds, and that it never ends."""

from __future__ import annotations

from collections import Counter

from eventer.demo.apiserver import ApiServer
from eventer.demo.recording import Replay

CHANGES = 606
EVENTS = 401


def test_a_round_is_what_was_recorded() -> None:
    server = ApiServer()
    replay = Replay(server)
    for _ in range(CHANGES):
        replay.write()
    assert replay.round == 1
    assert Counter(change.type for change in server.store.history) == {"ADDED": EVENTS, "MODIFIED": CHANGES - EVENTS}
    assert len(server.store.objects) == EVENTS


def test_it_begins_again_with_objects_of_its_own_while_the_old_ones_expire() -> None:
    server = ApiServer()
    replay = Replay(server)
    uids: list[set[str]] = []
    for _ in range(3):
        uids.append({replay.write()["metadata"]["uid"] for _ in range(CHANGES)})
    assert replay.round == 3
    assert [len(round_) for round_ in uids] == [EVENTS] * 3
    assert not uids[0] & uids[1]
    assert not uids[1] & uids[2]
    assert {obj["metadata"]["uid"] for obj in server.store.objects.values()} == uids[2]


def test_versions_rise_with_every_change() -> None:
    server = ApiServer()
    replay = Replay(server)
    versions = [int(replay.write()["metadata"]["resourceVersion"]) for _ in range(CHANGES)]
    assert versions == sorted(set(versions))


def test_an_update_counts_on_and_keeps_when_it_first_happened() -> None:
    server = ApiServer()
    replay = Replay(server)
    states = [replay.write() for _ in range(CHANGES)]
    crash = [
        x for x in states if x["reason"] == "BackOff" and "invoicer-85775f5ffc-wjjjf" in x["involvedObject"]["name"]
    ]
    assert len(crash) > 5
    assert [x["count"] for x in crash] == list(range(1, len(crash) + 1))
    assert len({x["firstTimestamp"] for x in crash}) == 1
    assert all(x["lastTimestamp"] >= x["firstTimestamp"] for x in crash)
