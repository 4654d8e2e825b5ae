"""A storm told in one message: whatever is folded, no count is lost."""

from __future__ import annotations

import msgspec

from eventer.alerting.digest import fold
from eventer.alerting.notification import FOLDED, Quieted, Why
from tests.helpers.alerting import START, Played, pod
from tests.helpers.notes import item, note


def test_one_notification_needs_no_folding() -> None:
    played = Played()
    played.log += [pod("BackOff", 0)]
    played.settle(0)
    played.run(10)
    assert fold(played.told[:1]) is played.told[0]


def test_a_storm_over_forty_namespaces_is_one_message_with_every_event_in_its_count() -> None:
    played = Played()
    played.log += [pod("BackOff", 0, name=f"p{n}", namespace=f"ns{n % 40}") for n in range(500)]
    played.settle(0)
    told = played.settle(10)
    assert len(told) == 40
    digest = fold(told)
    assert (digest.why, digest.events, digest.firing, digest.folded) == (Why.DIGEST, 500, 500, 40)
    assert digest.group == {"cluster": "prod", "family": "crash"}
    assert digest.reasons == {"BackOff": 500}
    assert digest.unnamed + len(digest.items) == 500
    assert len(digest.items) == FOLDED


def test_the_last_word_of_a_group_counts_and_what_was_over_stays_over() -> None:
    played = Played()
    played.log += [pod("BackOff", 0, name="a"), pod("BackOff", 0, name="b")]
    played.settle(0)
    played.settle(10)
    played.log += [pod("Started", 20, name="a"), pod("BackOff", 900, name="c")]
    played.settle(20)
    played.settle(900)
    played.run(1000, since=900)
    played.log += [pod("BackOff", 1400, name="c"), pod("BackOff", 1400, name="d")]
    played.settle(1400)
    digest = fold(played.told)
    assert (digest.firing, digest.resolved, digest.events) == (3, 1, 6)
    assert {item.name for item in digest.items if item.ended is None} == {"b", "c", "d"}
    assert {item.name for item in digest.items if item.ended is not None} == {"a"}


def test_a_digest_of_digests_and_of_a_summary_loses_no_count() -> None:
    played = Played()
    played.log += [pod("BackOff", -2000, name="old"), *(pod("BackOff", 0, namespace=f"ns{n}") for n in range(4))]
    played.settle(0)
    told = played.settle(10)
    assert [note.why for note in told].count(Why.SUMMARY) == 1
    twice = fold([fold(told[:2]), *told[2:]])
    assert (twice.events, twice.folded, twice.untracked) == (5, 5, 1)


def test_what_was_kept_quiet_is_summed_over_groups_and_over_what_was_over_before() -> None:
    few, many = Quieted(problems=3, objects=2, pods=1), Quieted(problems=10, objects=10, pods=10, more=True)
    n1, n2, n3 = (item(kind="Node", namespace="", name=name, quieted=few) for name in ("n1", "n2", "n3"))
    group = {"cluster": "prod", "family": "node-down"}
    told = [
        note(n1, group=group, quieted=few),
        note(msgspec.structs.replace(n1, ended=START), n2, group=group, quieted=few + few),
        note(n2, n3, group=group, quieted=few + few),
        note(item(), quieted=many),
        note(item(name="other"), group={"cluster": "test"}),
    ]
    assert fold(told).quieted == Quieted(problems=19, objects=16, pods=13, more=True)
    over = note(msgspec.structs.replace(n1, ended=START), why=Why.RESOLVED, group=group, quieted=few)
    assert fold([told[0], over]).quieted == few
    assert fold(told[-1:] * 2).quieted is None
