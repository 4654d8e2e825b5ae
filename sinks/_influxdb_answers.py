"""What an answer of InfluxDB to a write means, for the batch and for single points.

    204                                              delivered
    400, 422 with lines that are named (v3)          those are Rejected, the others delivered
    400, 422 beyond the retention                    those are Rejected, by their times, the others delivered
    400, 422 otherwise                               Rejected: the runner halves the batch; what was written
                                                     already is written again over itself
    a limit on series or on values of a tag          Blocked
    401, 403, 404, no such retention policy (500)    Blocked
    413                                              Rejected: the runner halves the batch
    429, 5xx                                         Retry

Facts are from https://docs.influxdata.com/influxdb/v2/api/ (write), .../influxdb/v1/tools/api/#write-http-endpoint,
.../influxdb3/core/write-data/troubleshoot/, and from what InfluxDB 1.13 answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.sink import Sent
from sinks._answers import Answer, refusal

__all__ = ["judged"]

_SIGNS: Final = ("x-influxdb-version", "x-influxdb-build", "x-platform-error-code", "cluster-uuid")
"""Headers by which an InfluxDB of any version is known."""
_BOUND: Final = re.compile(r"Retention Policy Lower Bound at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?)Z")
_OLD: Final = re.compile(
    r"partial write: (?:points beyond retention policy|dropped \d+ points outside retention policy)"
)
_DROPPED: Final = re.compile(r"dropped=(\d+)")
_LIMIT: Final = re.compile(r"partial write: max-(?:series-per-database|values-per-tag) limit exceeded")


def judged(answer: Answer, times: Sequence[int], place: str, now: datetime) -> Sent:
    """Return what became of the points of a write.

    Args:
        answer: to that write.
        times: of the points that were sent, in their order; nanoseconds since 1970.
        place: the address, as far as it may be shown.
        now: what dates in Retry-After count from.

    Raises:
        Retry, Rejected, Blocked: of the whole batch; see the table at the top of this module.
    """
    if answer.status == 204 or (200 <= answer.status < 300 and any(sign in answer.headers for sign in _SIGNS)):
        return Sent()
    if 200 <= answer.status < 300:
        raise Retry(
            f"{place} answered {answer.status}, which InfluxDB does not. Is there a proxy or a portal in between, or "
            "is the address wrong?",
            reason="answer",
            answer=answer.shown(),
        )
    if answer.status in {400, 422}:
        return _partly(answer, times)
    if answer.status == 404:
        raise Blocked(
            "There is no such bucket, database or organization, or the address is not that of an InfluxDB 1.8 or "
            "newer. Create it, or correct bucket, org and url.",
            reason="bucket",
            answer=answer.shown(),
        )
    if answer.status == 500 and "retention policy not found" in _said(answer)[0]:
        raise Blocked(
            "The database has no such retention policy. Create it, or correct what stands behind the slash in bucket.",
            reason="bucket",
            answer=answer.shown(),
        )
    raise refusal(answer, answer.headers.get("retry-after", ""), now, place)


def _partly(answer: Answer, times: Sequence[int]) -> Sent:
    said, named = _said(answer)
    shown = answer.shown()
    if named and all(0 <= place < len(times) for place in named):
        return Sent(failed={place: _point(answer.hide(words), answer.hide(words)) for place, words in named.items()})
    if _LIMIT.match(said):
        raise Blocked(
            "InfluxDB has as many series or values of a tag as it may have. Choose fewer tags or a lower tag_values, "
            "delete old data, or raise max-series-per-database and max-values-per-tag.",
            reason="series",
            answer=shown,
        )
    if _OLD.search(said):
        old = _too_old(said, times)
        error = Rejected(
            "The event is older than what the bucket keeps (its retention).", reason="retention", answer=shown
        )
        if old:
            return Sent(failed=dict.fromkeys(old, error))
        if len(times) == 1:
            raise error
    raise _point(answer.hide(said), shown)


def _point(said: str, shown: str) -> SinkError:
    reason = "conflict" if "conflict" in said or "invalid column type" in said else "refused_data"
    return Rejected(f"InfluxDB refused the point: {said[:300]}", reason=reason, answer=shown)


def _too_old(said: str, times: Sequence[int]) -> list[int]:
    """Return which points lie before what is kept: by the bound, where it is told, else the oldest ones.

    The server drops by time alone, so those are the same; none where they are not as many as it says.
    """
    found = _DROPPED.search(said)
    dropped = int(found[1]) if found and len(found[1]) < 10 else 0
    if bound := _BOUND.search(said):
        # Nanoseconds of the bound do not matter: within its second the number decides.
        edge = int(datetime.fromisoformat(bound[1][:19]).replace(tzinfo=UTC).timestamp() + 1) * 1_000_000_000
        if dropped and sum(time < edge for time in times) < dropped:
            return []  # others were dropped, too
    return sorted(sorted(range(len(times)), key=times.__getitem__)[:dropped])


def _said(answer: Answer) -> tuple[str, dict[int, str]]:
    """Return the message of an error, and what it says of single lines, by their place.

    v1 has it as `error`, v2 as `message`, v3 as `error` with the lines as `data`.
    """
    try:
        body: Any = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return answer.shown(), {}
    if not isinstance(body, dict):
        return answer.shown(), {}
    said = body.get("message") or body.get("error") or ""
    said = said if isinstance(said, str) else ""
    # v2 wraps what its storage says.
    said = said[found.start() :] if (found := re.search("partial write: ", said)) else said
    lines = body.get("data")
    named: dict[int, str] = {}
    for line in lines if isinstance(lines, list) else ():
        number = line.get("line_number") if isinstance(line, dict) else None
        if not isinstance(number, int):
            return said, {}
        named[number - 1] = str(line.get("error_message", ""))
    return said, named
