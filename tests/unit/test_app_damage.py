"""A journal that is damaged: set aside, said in a gap record, and on it goes."""

from __future__ import annotations

from collections import Counter

import pytest

from eventer.demo.apiserver import ApiServer
from eventer.errors import Corrupt
from eventer.journal import Journal, StreamKey, read_books
from eventer.journal.files import FILE
from tests.helpers.fastclock import FastClock
from tests.helpers.inprocess import Site
from tests.helpers.until import until


def gaps(site: Site) -> list[str]:
    return [record["reason"] for record in site.records("eventer")]


def kept(site: Site) -> list[str]:
    """Databases that were set aside."""
    return [file.name for file in site.state.glob(f"{FILE}.damaged-*") if not file.name.endswith(("-wal", "-shm"))]


async def test_damage_found_at_the_start_is_set_aside_and_said(site: Site, server: ApiServer) -> None:
    server.create("before")
    async with site.running():
        await site.has("before")
    (site.state / FILE).write_bytes(b"no database " * 1000)
    server.create("meanwhile")
    async with site.running() as life:
        await site.has("before", "meanwhile")
        await until(lambda: gaps(site), "the gap record")
        (record,) = site.records("eventer")
        assert (record["reason"], record["type"]) == ("GapJournalDamaged", "Warning")
        (name,) = kept(site)
        assert name in record["message"]
        assert "eventer_journal_quarantines_total 1.0" in (await life.get("/metrics"))[1]
        server.create("after")
        await site.has("after")
    # What the cluster still holds is exported again, because nobody knows any more what was.
    assert Counter(site.names()) == {"before": 2, "meanwhile": 1, "after": 1}
    assert site.balanced() == 4
    async with site.running():
        server.create("later")
        await site.has("later")
    assert gaps(site) == ["GapJournalDamaged"]  # told once
    assert site.balanced() == 5


async def test_damage_found_while_running_begins_anew_in_the_same_process(site: Site, server: ApiServer) -> None:
    site.add_dead_sink("dead")
    server.create("before")
    async with site.running() as life:
        await site.has("before")
        await life.settled("out")
        life.journal._failed(Corrupt("database disk image is malformed"))
        await until(lambda: len(life.views) == 2, "the second journal")
        await life.watching()
        server.create("after")
        await site.has("after")
        await until(lambda: gaps(site), "the gap record")
        assert life.view.quarantines == 1
        assert (await life.get("/readyz"))[0] == 200
        await life.settled("out")
        life.journal._failed(Corrupt("and once more"))
        await until(lambda: len(life.views) == 3, "the third journal")
        await life.watching()
        server.create("last")
        await site.has("last")
        await until(lambda: len(gaps(site)) == 2, "the second gap record")
        assert "eventer_journal_quarantines_total 2.0" in (await life.get("/metrics"))[1]
    assert gaps(site) == ["GapJournalDamaged"] * 2
    assert len(kept(site)) == 1  # only the last one, or a failing disk would fill itself
    assert Counter(site.names()) == {"before": 3, "after": 2, "last": 1}
    site.balanced()
    books = read_books(site.state)
    own = books.streams[StreamKey("", "own")]
    assert (own.appended, books.readers["dead"].cursor) == (1, 0)  # the gap waits for the dead sink, too


async def test_damage_found_while_stopping_ends_it_and_is_not_kept_quiet(site: Site, server: ApiServer) -> None:
    server.create("before")
    async with site.running() as life:
        await site.has("before")
        life.daemon.stop()
        life.journal._failed(Corrupt("database disk image is malformed"))
        with pytest.raises(ExceptionGroup) as caught:
            await life.task
        assert caught.group_contains(Corrupt)


async def test_a_kill_between_setting_aside_and_saying_so_loses_no_gap_record(site: Site, server: ApiServer) -> None:
    server.create("before")
    async with site.running():
        await site.has("before")
    # A life that set the journal aside and was killed before it could say so.
    with Journal.open(site.state, max_size=1 << 30, clock=FastClock(), damaged=True) as journal:
        assert journal.quarantined is not None
        await journal.close()
    async with site.running():
        await until(lambda: gaps(site), "the gap record")
    async with site.running():
        server.create("later")
        await site.has("later")
    assert gaps(site) == ["GapJournalDamaged"]
    site.balanced()
