"""The decisions, row by row."""

from __future__ import annotations

import pytest

from eventer.errors import Broken, Gone, JournalError, Refused, SourceError
from eventer.source.kube import Oversized, Stalled
from eventer.source.lines import Oversize
from eventer.source.outcomes import Cause, Empty, Garbled, Torn, judge


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (Gone("x"), Cause.GONE),
        (Stalled("x"), Cause.STALL),
        (Broken("x"), Cause.NETWORK),
        (Empty("x"), Cause.EMPTY),
        (Torn("x"), Cause.TORN),
        (Garbled("x", b"y"), Cause.GARBAGE),
        (Oversize("x"), Cause.OVERSIZE),
        (Oversized("x"), Cause.OVERSIZE),
        (SourceError("x"), Cause.NETWORK),
        (Refused(302, "x"), Cause.SERVER),
        (Refused(500, "x"), Cause.SERVER),
        (Refused(502, "x"), Cause.SERVER),
        (Refused(503, "x"), Cause.SERVER),
        (Refused(504, "x", cause="ResourceVersionTooLarge"), Cause.SERVER),
        (Refused(429, "x"), Cause.THROTTLED),
    ],
)
def test_what_may_pass_by_itself_does_not_block(error: SourceError, cause: Cause) -> None:
    verdict = judge(error)
    assert verdict.cause is cause
    assert not verdict.blocked and not verdict.patient
    assert verdict.relist is (cause is Cause.GONE)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (Refused(401, "x"), Cause.UNAUTHORIZED),
        (Refused(403, "x"), Cause.FORBIDDEN),
        (Refused(400, "x"), Cause.REJECTED),
        (Refused(404, "x"), Cause.REJECTED),
        (Refused(406, "x"), Cause.REJECTED),
        (Refused(422, "x"), Cause.REJECTED),
        (Refused(500, 'resourceVersion: Invalid value: "abc"'), Cause.REJECTED),
        (JournalError("x"), Cause.JOURNAL),
    ],
)
def test_what_needs_a_person_says_so(error: SourceError | JournalError, cause: Cause) -> None:
    verdict = judge(error)
    assert verdict.cause is cause
    assert verdict.blocked and not verdict.relist


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_the_server_s_wish_to_wait_is_kept(status: int) -> None:
    assert judge(Refused(status, "x", after=17.0)).after == 17.0


def test_a_wrong_request_waits_a_minute_at_least() -> None:
    assert judge(Refused(400, "x", after=1.0)).after == 60.0
    assert judge(Refused(400, "x", after=90.0)).after == 90.0
