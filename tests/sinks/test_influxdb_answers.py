"""What answers of InfluxDB 1, 2 and 3 mean; each is what that version says, word for word where it is known."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.sink import Sent
from sinks._answers import Answer as Got
from sinks._influxdb_answers import judged
from tests.helpers.influx import Influx
from tests.helpers.sinks import batch_of, make_event
from tests.sinks.test_influxdb import opened

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = 10**9
EDGE = int(datetime(2026, 3, 1, 11, tzinfo=UTC).timestamp())
AT = "2026-03-01T11:00:00.626Z"
OLD = (
    "partial write: dropped {n} points outside retention policy of duration 1h0m0s - oldest point events at "
    "1970-01-01T00:00:01Z dropped because it violates a Retention Policy Lower Bound at "
    + AT
    + ", newest point events "
    "at 1970-01-01T00:00:02Z dropped because it violates a Retention Policy Lower Bound at " + AT + " dropped={n} for "
    "database: s for retention policy: autogen"
)
CONFLICT = (
    'partial write: field type conflict: input field "count" on measurement "events" is type integer, already exists '
    "as type float dropped=1"
)


def got(status: int, body: Any = b"", **headers: str) -> Got:
    return Got(status, body if isinstance(body, bytes) else json.dumps(body).encode(), [], headers)


def outcome(answer: Got, times: list[int] | None = None) -> Sent | SinkError:
    try:
        return judged(answer, [0, SECOND] if times is None else times, "http://influxdb/…", NOW)
    except SinkError as error:
        return error


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (got(400, {"error": "unable to parse 'events': missing fields"}), Rejected, "refused_data"),
        (got(400, {"error": CONFLICT}), Rejected, "conflict"),
        (
            got(422, {"code": "unprocessable entity", "message": f"failure writing points to database: {CONFLICT}"}),
            Rejected,
            "conflict",
        ),
        (got(400, b"<html>Bad Request</html>"), Rejected, "refused_data"),
        (got(400, b"[" * 100_000), Rejected, "refused_data"),
        (got(400, {"error": 7}), Rejected, "refused_data"),
        (got(401, {"code": "unauthorized", "message": "unauthorized access"}), Blocked, "denied"),
        (got(403, {"error": '"eventer" user is not authorized to write to database "x"'}), Blocked, "denied"),
        (got(404, {"error": 'database not found: "nodb"'}), Blocked, "bucket"),
        (got(404, {"code": "not found", "message": 'organization name "-" not found'}), Blocked, "bucket"),
        (got(413, {"error": "Request Entity Too Large"}), Rejected, "too_large"),
        (got(500, {"error": "retention policy not found: norp"}), Blocked, "bucket"),
        (got(500, {"error": "engine: cache-max-memory-size exceeded"}), Retry, "server"),
        (got(503, {"error": "timeout"}), Retry, "server"),
        (
            got(400, {"error": "partial write: max-series-per-database limit exceeded: (1000000) dropped=3"}),
            Blocked,
            "series",
        ),
        (
            got(
                400,
                {
                    "error": 'partial write: max-values-per-tag limit exceeded (100000/100000): measurement="events" '
                    'tag="reason" value="x" dropped=1'
                },
            ),
            Blocked,
            "series",
        ),
        (got(200, b"<html>Welcome to our network</html>"), Retry, "answer"),
        (got(302, b"", location="http://elsewhere/"), Blocked, "redirect"),
    ],
)
def test_what_refuses_the_whole_batch(answer: Got, kind: type[SinkError], reason: str) -> None:
    error = outcome(answer)
    assert isinstance(error, kind)
    assert error.reason == reason


@pytest.mark.parametrize("answer", [got(204), got(200, b"", **{"x-influxdb-version": "v2.7"})])
def test_a_success_is_one_that_influxdb_says(answer: Got) -> None:
    assert outcome(answer) == Sent()


def test_a_wait_that_the_server_names_is_told() -> None:
    error = outcome(got(429, {"code": "too many requests"}, **{"retry-after": "7"}))
    assert isinstance(error, Retry)
    assert error.after == 7.0


@pytest.mark.parametrize("wrap", [lambda text: {"error": text}, lambda text: {"message": f"failure writing: {text}"}])
@pytest.mark.parametrize("words", [OLD, "partial write: points beyond retention policy dropped={n}"])
def test_what_is_beyond_the_retention_is_found_by_its_time(wrap: Any, words: str) -> None:
    times = [(EDGE + late) * SECOND for late in (5, -7, 90, -1, 3)]
    sent = outcome(got(400, wrap(words.replace("{n}", "2"))), times)
    assert isinstance(sent, Sent)
    assert {place: error.reason for place, error in sent.failed.items()} == {1: "retention", 3: "retention"}
    one = outcome(got(400, wrap(words.replace("{n}", "1"))), times[1:2])
    assert isinstance(one, Sent)
    assert list(one.failed) == [0]


@pytest.mark.parametrize("dropped", ["4", "99999999999", ""])
def test_where_the_numbers_do_not_fit_nothing_is_guessed(dropped: str) -> None:
    """More were dropped than are too old, or it does not say how many: the runner finds out by halves."""
    times = [(EDGE + late) * SECOND for late in (50, -7, 90, -10, 30)]
    error = outcome(got(400, {"error": OLD.replace("dropped={n}", f"dropped={dropped}").replace("{n}", "4")}), times)
    assert isinstance(error, Rejected)


def test_lines_that_v3_names_fail_alone() -> None:
    data = [{"original_line": "x", "line_number": 2, "error_message": "invalid column type for column 'count'"}]
    sent = outcome(got(400, {"error": "partial write of line protocol occurred", "data": data}))
    assert isinstance(sent, Sent)
    assert {place: error.reason for place, error in sent.failed.items()} == {1: "conflict"}


@pytest.mark.parametrize("data", [[{"line_number": 3}], [{"line_number": 0}], [{"line_number": "1"}], [7], "x"])
def test_lines_that_are_none_of_ours_are_not_believed(data: Any) -> None:
    assert isinstance(outcome(got(400, {"error": "partial write of line protocol occurred", "data": data})), Rejected)


@pytest.mark.parametrize("version", [1, 2])
async def test_s13_the_good_ones_are_there_whatever_else_is_refused(version: int) -> None:
    """S13. Halved as the runner halves, the one bad point stands alone, and no good one is there twice."""
    async with Influx(version=version) as far:
        far.refuse = lambda point: CONFLICT[15:-10] if point.fields["name"] == "web-5" else None
        events = [make_event(number) for number in range(8)]
        refused: list[str] = []

        async def send(sink: Any, part: list[Any]) -> None:
            try:
                await sink.send(batch_of(part))
            except Rejected as error:
                if len(part) == 1:
                    refused.append(f"{part[0].name} {error.reason}")
                else:
                    await send(sink, part[: len(part) // 2])
                    await send(sink, part[len(part) // 2 :])

        async with opened(far) as sink:
            await send(sink, events)
        assert refused == ["web-5 conflict"]
        assert sorted(point.fields["name"] for point in far.points.values()) == sorted(
            event.name for event in events if event.name != "web-5"
        )
