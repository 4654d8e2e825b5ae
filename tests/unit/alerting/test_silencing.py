"""Silences that people make: refused in words, kept over restarts and kill -9, trimmed, counted, and reloaded."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventer.alerting.requests import SilenceReport, Wanted
from eventer.alerting.silences import ANNOTATION
from eventer.alerting.silencing import KEPT, MOST, Silencing
from eventer.config.load import load
from eventer.config.types import Config
from eventer.errors import DiskRefused, EventerError
from eventer.journal import AlertingRecord, Journal, SilenceRecord
from tests.helpers.journals import failing, killed, opened
from tests.helpers.sinks import make_event
from tests.helpers.virtual import LoopClock, in_virtual_time


def wanted(**changes: Any) -> Wanted:
    values: dict[str, Any] = {"match": {"namespace": "shop"}, "owner": "ann", "reason": "the registry moves"}
    if not {"ends", "lasts"} & changes.keys():
        values["lasts"] = 3600.0
    return Wanted(**values | changes)


def config(tmp_path: Path, *silences: str, notifier: str = "") -> Config:
    file = tmp_path / "eventer.yaml"
    listed = "".join(f"- {{{each}, owner: bob, reason: works}}\n" for each in silences)
    sink = f"  chat: {{kind: webhook, url: 'http://127.0.0.1:9', format: single, group: {{}}{notifier}}}\n"
    file.write_text(
        f"sources: [{{cluster: prod}}]\nsinks:\n{sink}" + (f"silences:\n{listed}" if silences else ""), encoding="utf-8"
    )
    return load(file, {}).config


def now_of(journal: Journal) -> float:
    return journal._clock.now().timestamp()


def muted(silencing: Silencing, journal: Journal, **event: Any) -> str:
    mute = silencing.silences.mute(make_event(**event), now_of(journal))
    return "" if mute is None else mute.name


async def states(silencing: Silencing) -> dict[str, str]:
    return {report.id: report.state for report in await silencing.reports()}


@in_virtual_time
async def test_a_silence_is_in_force_and_outlives_kill_9(tmp_path: Path) -> None:
    async with opened(tmp_path / "a") as journal:
        silencing = Silencing(journal, journal._clock)
        seen = silencing.silences.version
        made = await silencing.add(wanted(match={"namespace": "shop", "reason": ["BackOff", "!/^Fail/"]}))
        await silencing.silences.changed(seen)
        copy = killed(tmp_path / "a", tmp_path / "b")
        assert made == SilenceReport(
            id=made.id,
            state="active",
            match=["{namespace: shop, reason: [BackOff, '!/^Fail/']}"],
            owner="ann",
            reason="the registry moves",
            begins=None,
            ends=datetime.fromtimestamp(now_of(journal) + 3600, UTC),
            origin="command",
            suppressed=0,
        )
        assert muted(silencing, journal) == made.id
        assert muted(silencing, journal, namespace="pay") == ""
    async with opened(copy, journal._clock) as journal:
        silencing = Silencing(journal, journal._clock)
        assert await silencing.reports() == [made]
        assert muted(silencing, journal) == made.id
        await asyncio.sleep(3600)
        assert muted(silencing, journal) == ""
        assert await states(silencing) == {made.id: "expired"}


@in_virtual_time
async def test_g5_a_silence_that_begins_later_waits_for_its_moment(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        silencing = Silencing(journal, journal._clock)
        made = await silencing.add(wanted(begins=now_of(journal) + 600))
        assert made.state == "pending" and made.ends is not None and made.begins is not None
        assert made.ends - made.begins == timedelta(seconds=3600)
        assert muted(silencing, journal) == ""
        await asyncio.sleep(601)
        assert muted(silencing, journal) == made.id
        assert await states(silencing) == {made.id: "active"}


@in_virtual_time
async def test_ending_by_hand(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        silencing = Silencing(journal, journal._clock)
        silencing.use(config(tmp_path, "name: fixed, match: [{reason: X}], until: 2099-01-01T00:00:00Z"))
        now = await silencing.add(wanted())
        later = await silencing.add(wanted(begins=now_of(journal) + 600))
        await asyncio.sleep(60)
        seen = silencing.silences.version
        ended = await silencing.expire([now.id, later.id, "fixed", "nix", now.id])
        await silencing.silences.changed(seen)
        assert (ended.ended, ended.over) == ([now.id, later.id], [])
        assert (ended.configured, ended.unknown) == (["fixed"], ["nix"])
        assert muted(silencing, journal) == ""
        assert await states(silencing) == {"fixed": "active", now.id: "expired", later.id: "expired"}
        await asyncio.sleep(900)
        assert muted(silencing, journal) == ""
        assert (await silencing.expire([later.id])).over == [later.id]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"match": {}}, "This would silence everything. Name a field"),
        ({"match": {"namspace": "x"}}, "'namspace' is no field to match on; known fields: cluster"),
        ({"match": {"reason": "/[/"}}, "/[/ is no regular expression"),
        ({"match": {"reason": [1]}}, "1 is no text"),
        ({"match": {"name": ["web-" * 10] * 200}}, "The rule is too long. Write a regular expression"),
        ({"match": {"owner": "Deployment/web"}}, "No notifier looks owner up, so this would silence nothing"),
        ({"reason": " \n"}, "A silence needs a reason: --reason TEXT."),
        ({"owner": ""}, "A silence needs an owner: --owner TEXT."),
        ({"reason": "x" * 501}, "The reason is longer than 500 characters."),
        ({"owner": "x" * 101}, "The owner is longer than 100 characters."),
        ({"ends": None}, "A silence must have an end. Write --for 2h"),
        ({"ends": 9e9, "lasts": 5.0}, "A silence must have an end."),
        ({"lasts": 0.0}, "The silence would end before it is made. Write a later end: it is 2"),
        ({"lasts": -5.0}, "The silence would end before it is made."),
        ({"begins": 9e9, "ends": 8e9}, "The silence would end before it begins."),
        ({"begins": 1.0, "lasts": 60.0}, "The silence would end before it is made."),
        ({"ends": 1e12}, "The silence would not end in this era."),
    ],
)
@in_virtual_time
async def test_what_is_refused_says_what_to_do_and_changes_nothing(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    async with opened(tmp_path) as journal:
        silencing = Silencing(journal, journal._clock)
        silencing.use(config(tmp_path, notifier=", enrich: [namespace]"))
        with pytest.raises(EventerError) as refused:
            await silencing.add(wanted(**changes))
        assert str(refused.value).startswith(told)
        assert not journal.silences.records and silencing.silences.version == 0


@in_virtual_time
async def test_what_a_notifier_looks_up_can_be_silenced_by(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        silencing = Silencing(journal, journal._clock)
        silencing.use(config(tmp_path, notifier=", enrich: [owner]"))
        await silencing.add(wanted(match={"owner": "Deployment/web"}))


@in_virtual_time
async def test_a_disk_that_refuses_leaves_everything_as_it_was(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        silencing = Silencing(journal, journal._clock)
        made = await silencing.add(wanted())
        with failing(), pytest.raises(DiskRefused):
            await silencing.add(wanted(match={"namespace": "pay"}))
        with failing(), pytest.raises(DiskRefused):
            await silencing.expire([made.id])
        assert muted(silencing, journal) == made.id
        assert muted(silencing, journal, namespace="pay") == ""
        await silencing.add(wanted(match={"namespace": "pay"}))


@in_virtual_time
async def test_who_goes_away_before_the_answer_leaves_disk_and_memory_alike(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        silencing = Silencing(journal, journal._clock)
        asking = asyncio.create_task(silencing.add(wanted()))
        await asyncio.sleep(0)
        asking.cancel()
        async with asyncio.timeout(60):
            await silencing.silences.changed(0)
        assert set(journal.silences.records) == set(silencing.silences.by_name)
        assert muted(silencing, journal)


def _many(count: int, ends: float) -> dict[str, SilenceRecord]:
    record = SilenceRecord(match=[{"name": "x"}], owner="ann", reason="works", begins=0.0, ends=ends)
    return {f"{ends:.0f}-{n}": msgspec.structs.replace(record, ends=ends + n / 1000) for n in range(count)}


@in_virtual_time
async def test_too_many_are_refused_until_one_ends(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        now = now_of(journal)
        await journal.silences.change(_many(MOST, now + 7200))
        silencing = Silencing(journal, journal._clock)
        with pytest.raises(EventerError, match=rf"There are {MOST} silences already.*eventer silence expire"):
            await silencing.add(wanted())
        assert (await silencing.expire([f"{now + 7200:.0f}-0"])).ended
        await silencing.add(wanted())


@in_virtual_time
async def test_what_is_long_over_goes(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        now = now_of(journal)
        old, new = _many(1, now - KEPT - 1), _many(MOST - 1, now - 60)
        await journal.silences.change(old | new)
        silencing = Silencing(journal, journal._clock)
        assert set(await states(silencing)) == set(new)
        made = [await silencing.add(wanted())]
        assert set(journal.silences.records) == {*new, made[0].id}
        made.append(await silencing.add(wanted()))
        await silencing.expire([each.id for each in made])
        await silencing.add(wanted())
        assert len(journal.silences.records) == MOST + 1
        assert f"{now - 60:.0f}-0" not in journal.silences.records  # the one that was over first


@in_virtual_time
async def test_a_rule_of_a_newer_version_is_kept_and_silences_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        record = SilenceRecord(match=[{"weather": "rain"}], owner="ann", reason="x", begins=0, ends=now_of(journal) + 9)
        await journal.silences.change({"4f9c2a": record})
        silencing = Silencing(journal, journal._clock)
        silencing.use(config(tmp_path))
        assert muted(silencing, journal) == ""
        (report,) = await silencing.reports()
        assert (report.id, report.match) == ("4f9c2a", [])
        await silencing.expire(["4f9c2a"])
        assert journal.silences.records["4f9c2a"].match == [{"weather": "rain"}]


@in_virtual_time
async def test_silences_of_the_configuration_follow_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        silencing = Silencing(journal, journal._clock)
        own = await silencing.add(wanted(match={"reason": "Unhealthy"}))
        until = "2099-01-01T00:00:00+01:00"
        before = config(tmp_path, f"name: moves, match: [{{namespace: shop}}, {{reason: Failed}}], until: {until}")
        silencing.use(before)
        assert muted(silencing, journal, reason="Failed", namespace="x") == "moves"
        report = next(each for each in await silencing.reports() if each.id == "moves")
        assert (report.origin, report.begins, report.match) == (
            "configuration",
            None,
            ["{namespace: shop}", "{reason: Failed}"],
        )
        seen = silencing.silences.version
        silencing.use(before)
        assert silencing.silences.version == seen
        silencing.use(config(tmp_path))
        assert silencing.silences.version != seen
        assert muted(silencing, journal) == ""
        assert muted(silencing, journal, reason="Unhealthy") == own.id


@in_virtual_time
async def test_rules_go_by_the_catalog_of_the_configuration(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        silencing = Silencing(journal, journal._clock)
        made = await silencing.add(wanted(match={"severity": "critical"}))
        assert muted(silencing, journal, reason="Strange") == ""
        file = tmp_path / "eventer.yaml"
        file.write_text(
            "sources: [{cluster: prod}]\nsinks: {out: {kind: stdout}}\n"
            "catalog: {reasons: {Strange: {severity: critical, family: other}}}\n"
            "silences: [{name: a, match: [{severity: critical}], until: 2099-01-01T00:00:00Z, owner: o, reason: r}]\n",
            encoding="utf-8",
        )
        silencing.use(load(file, {}).config)
        assert muted(silencing, journal, reason="Strange") == "a"
        silencing.use(msgspec.structs.replace(load(file, {}).config, silences=[]))
        assert muted(silencing, journal, reason="Strange") == made.id


@in_virtual_time
async def test_what_they_suppressed_is_summed_over_notifiers(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        silencing = Silencing(journal, journal._clock)
        made = await silencing.add(wanted())
        for name, counts in (
            ("chat", {f"silence {made.id}": 3, "threshold": 4, "window nights": 5}),
            ("mail", {f"silence {made.id}": 10, f"silence {ANNOTATION}": 7}),
        ):
            await journal.alerting.begin(name, 0)
            state = msgspec.json.encode({"taken": 9, "muted": counts})
            await journal.alerting.settle(name, AlertingRecord(origin=0, cursor=0), [], state)
        await journal.alerting.begin("new", 0)
        assert {report.id: report.suppressed for report in await silencing.reports()} == {made.id: 13, ANNOTATION: 7}


@in_virtual_time
async def test_g5_a_clock_that_was_set_back_lets_a_silence_last_until_its_moment(tmp_path: Path) -> None:
    clock = LoopClock()
    async with opened(tmp_path, clock) as journal:
        silencing = Silencing(journal, clock)
        made = await silencing.add(wanted())
        ends = now_of(journal) + 3600
        for at, on in ((ends - 1, True), (ends, False), (ends - 86_400 * 400, True), (ends + 60, False)):
            mute = silencing.silences.mute(make_event(), at)
            assert (mute is not None) is on
            assert mute is None or (mute.name, mute.until) == (made.id, ends)
