"""Reading through a field selector: less is asked for, and what is asked for is still all there."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventer.journal import StreamKey, read_books
from eventer.source.outcomes import Cause
from tests.helpers.inprocess import Life, Site
from tests.helpers.until import until

WARNINGS = "type=Warning"


def site_of(tmp_path: Path, server, selector: str | None = WARNINGS) -> Site:
    site = Site(tmp_path, server)
    if selector is not None:
        site.document["sources"][0]["kubernetes"]["field_selector"] = selector
    return site


async def stored(life: Life, server) -> None:
    """Wait until all that the server has to say is committed."""
    (key,) = (each for each in life.view.streams if each.scope != "nodes")
    await until(lambda: life.journal.stream(key).position == server.store.version)


async def test_every_request_but_the_probe_carries_it(world) -> None:
    world.server.create("a")
    world.server.create("quiet", type="Normal")
    world.run(selector=WARNINGS, audit=True)
    await until(lambda: world.status.audits == 1)
    world.server.cut()
    await until(lambda: "probe" in world.kinds())
    await world.watching()
    world.server.create("also-quiet", type="Normal")
    world.server.create("b")
    await world.arrived("a", "b")
    assert world.target.names() == ["a", "b"]
    assert world.status.audit_missed == 0
    selectors = {(r.kind, r.query.get("fieldSelector")) for r in world.server.requests}
    assert selectors == {("list", WARNINGS), ("watch", WARNINGS), ("audit", WARNINGS), ("probe", None)}


async def test_w24_what_leaves_the_selector_is_forgotten_and_not_exported(tmp_path: Path, server) -> None:
    site = site_of(tmp_path, server)
    made = server.create("leaves")
    server.create("stays")
    async with site.running() as life:
        await site.has("stays", "leaves")
        (key,) = (each for each in life.view.streams if each.scope != "nodes")
        assert key == StreamKey("prod", "events?type=Warning")
        server.patch("leaves", type="Normal", count=2)
        server.patch("leaves", count=3)
        server.create("next")
        await site.has("next")
        await stored(life, server)
        assert await life.journal.ledger.look_up(key, [made["metadata"]["uid"]]) == {}
    assert site.names() == ["leaves", "stays", "next"]
    assert site.balanced() == 3


async def test_w24_what_comes_back_into_it_is_exported_without_a_sum(tmp_path: Path, server) -> None:
    """It may have been counted before it left: its whole count must not be summed again."""
    site = site_of(tmp_path, server)
    async with site.running():
        server.create("comes-back", count=4)
        server.create("new")
        await site.has("comes-back", "new")
        server.patch("comes-back", type="Normal")
        server.patch("comes-back", type="Warning", count=7)
        server.create("last")
        await site.has("last")
    deltas = [(record["event"], record["count"], record.get("delta")) for record in site.records()]
    assert deltas == [
        ("default/comes-back", 4, None),
        ("default/new", 1, 1),
        ("default/comes-back", 7, None),
        ("default/last", 1, 1),
    ]
    assert site.balanced() == 4


async def test_w24_a_list_does_not_bring_what_left_and_sums_what_it_first_shows(tmp_path: Path, server) -> None:
    site = site_of(tmp_path, server)
    server.create("leaves", count=5)
    async with site.running():
        await site.has("leaves")
    server.patch("leaves", type="Normal")
    server.create("while-down")
    server.compact()
    async with site.running():
        await site.has("while-down")
    assert site.names() == ["leaves", "while-down"]
    assert [record["delta"] for record in site.records()] == [5, 1]
    assert site.balanced() == 2


async def test_another_selector_lists_anew_and_repeats_nothing(tmp_path: Path, server) -> None:
    site = site_of(tmp_path, server)
    server.create("warning")
    server.create("normal", type="Normal")
    async with site.running():
        await site.has("warning")
    del site.document["sources"][0]["kubernetes"]["field_selector"]
    async with site.running():
        await site.has("normal")
    assert site.names() == ["warning", "normal"]
    assert {key.scope for key in read_books(site.state).streams} >= {"events", "events?type=Warning"}
    assert site.balanced() == 2


@pytest.mark.parametrize(("api", "field"), [("core", "involvedObject.name"), ("events", "regarding.name")])
async def test_several_terms_with_the_names_of_each_api(world, api: str, field: str) -> None:
    world.server.create("wanted", about="web-1")
    world.server.create("other", about="web-2")
    world.server.create("elsewhere", namespace="noisy", about="web-1")
    world.run(api=api, selector=f"{field}=web-1,metadata.namespace!=noisy")
    await world.arrived("wanted")
    await world.watching()
    world.server.create("noise", namespace="noisy", about="web-1")
    world.server.create("wanted-too", about="web-1")
    await world.arrived("wanted-too")
    assert world.target.names() == ["wanted", "wanted-too"]


async def test_a_field_that_the_server_does_not_know_is_said_and_tried_on(world) -> None:
    world.run(selector="action=Binding")
    await until(lambda: world.status.blocked)
    assert "field label not supported: action" in world.status.blocked
    assert not world.server.watching


# -- bookmarks


async def test_w25_nothing_depends_on_bookmarks(world) -> None:
    """The real server sends none on events: a position stays where it is, and what comes later comes."""
    world.server.time_scale, world.clock.speed = 0.001, 1000.0
    world.server.create("a")
    world.run()
    await world.arrived("a")
    before = world.target.position
    world.server.store.advance(500)  # writes of other kinds
    await until(lambda: world.status.watches > 12)
    assert world.target.position == before
    assert (world.status.bookmarks, world.status.relists, world.status.rollbacks) == (0, 1, 0)
    assert {cause for cause, n in world.status.ended.items() if n} == {Cause.TIMEOUT}
    assert world.status.connected
    world.server.compact()
    await until(lambda: world.status.relists == 2)
    world.server.create("b")
    await world.arrived("b")
    assert world.target.names() == ["a", "b"]
