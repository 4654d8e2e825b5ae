"""Every way in which a watch can end, and what the stream does then: one row of the table, one test."""

from __future__ import annotations

from typing import Any

import pytest

from eventer.demo.apiserver import status_body
from eventer.demo.faults import Fault
from eventer.source.outcomes import Cause
from tests.helpers.recorded import special
from tests.helpers.until import until

HTML = b"<html><body>502 Bad Gateway</body></html>"


def error_line(code: int, reason: str, **more: Any) -> bytes:
    return b'{"type":"ERROR","object":%s}\n' % status_body(code, reason, "no", **more).strip()


async def test_added_modified_deleted(world) -> None:
    world.run()
    await world.watching()
    world.server.create("a")
    world.server.patch("a", count=2)
    world.server.delete("a")
    world.server.create("b")
    await world.arrived("a", "b")
    assert [(e.event, e.count) for e in world.target.events] == [("default/a", 1), ("default/a", 2), ("default/b", 1)]
    assert len(world.target.ledger) == 1
    assert world.target.position == world.server.store.version


async def test_a_bookmark_moves_the_position_and_is_no_event(world) -> None:
    world.server.bookmarks = True
    world.server.time_scale = 0.001
    world.run()
    await world.watching()
    world.server.store.advance(500)
    await until(lambda: world.status.bookmarks)
    assert world.target.position == world.server.store.version
    assert not world.target.events


async def test_the_expected_time_out_is_followed_by_the_next_watch_at_once(world) -> None:
    world.clock.speed = 1000.0
    world.server.time_scale = 0.001
    world.run(watch_timeout=(20, 20), silent_watches=10**6)
    await until(lambda: world.status.ended[Cause.TIMEOUT] >= 3)
    assert world.status.ended[Cause.TIMEOUT] >= world.status.watches - 1
    assert world.clock.slept == []
    assert "probe" not in world.kinds()
    assert world.status.connected


async def test_after_three_silent_watches_the_version_is_probed_once(world) -> None:
    world.clock.speed = 1000.0
    world.server.time_scale = 0.001
    world.run(watch_timeout=(20, 20))
    await until(lambda: world.kinds().count("probe") == 2)
    assert world.kinds()[1:9] == ["watch", "watch", "watch", "probe"] * 2
    assert not world.status.rollbacks


async def test_a_watch_that_ends_before_its_time_is_opened_again_with_jitter(world) -> None:
    world.clock.speed = 100.0
    world.server.time_scale = 0.0005  # on the stream's clock the server ends each watch after 6 to 12 s
    world.run()
    await until(lambda: world.status.ended[Cause.EOF] >= 3)
    world.server.create("a")
    await world.arrived("a")
    assert world.kinds()[1:5] == ["watch", "probe", "watch", "probe"]
    assert all(0.0 < wait <= 1.0 for wait in world.clock.slept)
    assert world.status.connected


async def test_a_watch_that_ends_at_once_is_a_failure_and_the_loop_is_not_hot(world) -> None:
    world.server.faults.add("watch", Fault(end=True), times=8)
    world.run()
    await until(lambda: world.server.watching)
    assert world.status.ended[Cause.EMPTY] == 8
    assert len(world.clock.slept) == 8
    assert sum(world.clock.slept) > 8  # of at most 0.8, 1.6, 3.2 ... 30 s
    assert max(world.clock.slept) <= 30.0


async def test_w5_gone_within_the_stream_lists_and_is_no_error(world) -> None:
    world.target.resume(world.server.store.version)
    world.server.create("a")
    world.server.compact()
    world.run()
    await world.arrived("a")
    await world.watching()
    assert world.status.gones == 1
    assert world.status.relists == 1
    assert not world.status.last_error and not world.status.blocked
    assert [wait for wait in world.clock.slept if wait > 1.0] == []


@pytest.mark.parametrize("answer", ["410-in-stream-core-events", "410-list-exact-old-version"])
async def test_w6_gone_as_the_real_server_says_it(world, answer: str) -> None:
    world.server.create("a")
    world.server.faults.add("watch", Fault(raw=special(answer)))
    world.run()
    await world.watching()
    assert world.status.gones == 1
    assert world.status.relists == 2
    assert not world.status.last_error
    assert [wait for wait in world.clock.slept if wait > 1.0] == []
    assert world.target.names() == ["a"]


async def test_gone_again_and_again_backs_off(world) -> None:
    world.server.faults.add("watch", Fault(inject=error_line(410, "Expired"), end=True), times=10)
    world.run()
    await until(lambda: world.server.watching)
    assert world.status.gones == 10
    assert sum(world.clock.slept) > 10


@pytest.mark.parametrize("kind", ["list", "watch"])
async def test_w28_throttled_waits_as_long_as_asked(world, kind: str) -> None:
    body = status_body(429, "TooManyRequests", "slow down")
    world.server.faults.add(kind, Fault(status=429, headers={"Retry-After": "7"}, body=body))
    world.run()
    await world.watching()
    assert len(world.clock.slept) == 1
    assert 7.0 <= world.clock.slept[0] <= 8.0
    assert world.status.ended[Cause.THROTTLED] == 1


async def test_throttled_within_the_stream_keeps_the_position(world) -> None:
    world.server.create("a")
    world.server.faults.add("watch", Fault(inject=error_line(429, "TooManyRequests", after=5), end=True))
    world.run()
    await until(lambda: len(world.positions()) == 2)
    assert world.positions()[0] == world.positions()[1]
    assert world.clock.slept[0] >= 5.0
    assert world.status.relists == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500, body=status_body(500, "InternalError", "etcd is away")),
        Fault(status=502, body=HTML, headers={"Content-Type": "text/html"}),
        Fault(status=503, body=b""),
        Fault(
            status=504,
            body=status_body(504, "Timeout", "Too large resource version", causes=["ResourceVersionTooLarge"]),
        ),
        Fault(inject=error_line(500, "InternalError"), end=True),
        Fault(raw=special("504-too-large-rv-list-nodes")),
    ],
)
async def test_a_failing_server_keeps_the_position_and_backs_off(world, fault: Fault) -> None:
    world.server.create("a")
    world.server.faults.add("watch", fault, times=4)
    world.run()
    await until(lambda: world.server.watching)
    world.server.create("b")
    await world.arrived("a", "b")
    assert len(set(world.positions())) == 1
    assert world.status.ended[Cause.SERVER] == 4
    assert len(world.clock.slept) >= 4
    assert world.status.relists == 1
    assert not world.status.rollbacks


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=200, body=HTML, headers={"Content-Type": "text/html"}),
        Fault(raw=b"HTTP/1.1 nonsense\r\n\r\n"),
        Fault(raw=b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("kind", ["list", "watch"])
async def test_w32_what_is_no_api_server_is_asked_again_with_back_off(world, fault: Fault, kind: str) -> None:
    world.server.create("a")
    world.server.faults.add(kind, fault, times=3)
    world.run()
    await world.arrived("a")
    await until(lambda: world.server.watching)
    assert len(world.clock.slept) >= 3
    assert all(wait > 0 for wait in world.clock.slept)


async def test_w32_an_empty_200_is_asked_again_with_back_off(world) -> None:
    world.server.create("a")
    world.server.faults.add("list", Fault(status=200))
    world.server.faults.add("watch", Fault(status=200), times=3)
    world.run()
    await world.arrived("a")
    await until(lambda: world.server.watching)
    assert world.status.ended[Cause.EMPTY] == 3
    assert len(world.clock.slept) == 4


async def test_a_server_that_is_away_and_comes_back(world) -> None:
    world.server.create("a")
    world.run()
    await world.watching()
    port = world.server.port
    await world.server.stop()
    await until(lambda: len(world.clock.slept) >= 3)
    assert not world.status.connected
    assert "127.0.0.1" not in world.status.last_error
    await world.server.start(port)
    world.server.create("b")
    await world.arrived("a", "b")
    await world.watching()
    assert world.status.relists == 1


@pytest.mark.parametrize("fault", [Fault(freeze_after=0), Fault(freeze_after=150), Fault(freeze_head=True)])
async def test_w12_a_silent_server_is_noticed_and_the_socket_closed(world, fault: Fault) -> None:
    world.server.create("a")
    world.server.faults.add("watch", fault)
    world.run(watch_timeout=(1, 1), idle_margin=-0.8)
    await until(lambda: world.server.watching or world.server.faults.frozen_now)
    world.server.create("b")
    await until(lambda: world.status.stalls == 1)
    await until(lambda: not world.server.faults.frozen_now, "the frozen connection is closed by us")
    await world.arrived("a", "b")


async def test_a_frozen_list_is_given_up(world) -> None:
    world.server.create("a")
    world.server.faults.add("list", Fault(freeze_head=True))
    world.run(deadline=0.1)
    await world.arrived("a")
    assert world.status.stalls == 1


async def test_w29_a_rotated_token_costs_nothing(world, tmp_path) -> None:
    from eventer.source.kube import Cluster

    token = tmp_path / "token"
    token.write_text("first-token")
    world.server.token = "first-token"
    world.cluster = await Cluster.connect(world.server.write_kubeconfig(tmp_path / "k", token_file=token))
    try:
        world.run()
        await world.watching()
        token.write_text("second-token")
        world.server.token = "second-token"
        world.server.cut()
        world.server.create("a")
        await world.arrived("a")
        assert world.cluster.reloads == 1
        assert world.status.ended[Cause.UNAUTHORIZED] == 0
    finally:
        await world.stop()
        await world.cluster.close()


@pytest.mark.parametrize("kind", ["list", "watch"])
async def test_refused_credentials_block_the_stream_until_they_are_right(world, kind: str) -> None:
    world.server.faults.add(kind, Fault(raw=special(f"401-bad-token-{kind}")), times=None)
    world.run()
    await until(lambda: len(world.clock.slept) >= 4)
    assert "credentials" in world.status.blocked and not world.status.connected
    world.server.faults.clear()
    world.server.create("a")
    await world.arrived("a")
    await world.watching()
    assert not world.status.blocked


@pytest.mark.parametrize("kind", ["list", "watch"])
async def test_w30_missing_rights_are_named_and_may_come_later(world, kind: str) -> None:
    world.server.faults.add(kind, Fault(raw=special(f"403-no-rbac-{kind}")), times=None)
    world.run()
    await until(lambda: len(world.clock.slept) >= 12)
    assert f"cannot {kind} resource" in world.status.blocked
    assert 'API group ""' in world.status.blocked
    assert 30.0 < max(world.clock.slept) <= 60.0
    world.server.faults.clear()
    world.server.create("a")
    await world.arrived("a")
    await world.watching()
    assert not world.status.blocked


@pytest.mark.parametrize(
    "answer",
    [
        "400-bad-field-selector-core",
        "404-unknown-path",
        "406-not-acceptable",
        "422-initial-events-without-match",
        "500-bad-resource-version-watch-events",
    ],
)
async def test_a_request_that_is_wrong_is_tried_once_a_minute(world, answer: str) -> None:
    world.server.faults.add("watch", Fault(raw=special(answer)), times=2)
    world.run()
    await until(lambda: world.status.ended[Cause.REJECTED] == 2)
    assert world.status.blocked
    await world.watching()
    assert all(wait >= 60.0 for wait in world.clock.slept)
    assert not world.status.blocked


@pytest.mark.parametrize("kind", ["list", "watch"])
async def test_w32_a_page_is_recognised_by_its_type_before_it_is_read(world, kind: str) -> None:
    world.server.faults.add(kind, Fault(status=200, body=HTML, headers={"Content-Type": "text/html"}))
    world.run()
    await until(lambda: world.status.last_error)
    assert "no JSON" in world.status.last_error
    assert world.status.ended[Cause.NETWORK] == 1
