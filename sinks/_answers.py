"""What an HTTP answer means: the one table from status codes to outcomes.

2xx                          an `Answer`
408 425 429 5xx              Retry, after what Retry-After says; 502 and 504 come from somebody on the way, who does
                             not know what became of the request (RFC 9110, 15.6.3 and 15.6.5): unknown
3xx 401 403 404 405 407 410  Blocked: address or credentials are wrong, whatever is sent
413 and all other 4xx        Rejected
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.text import redact

__all__ = ["KEPT", "Answer", "decoded", "refusal", "to_hide"]

KEPT: Final = 1000
"""Characters of an answer that go into the exception, and with it to a dead letter."""
SHORTEST: Final = 8
"""Characters of a text that is hidden in answers; less is no secret, and would garble them."""
LONGEST_WAIT: Final = 3600.0
"""Seconds that Retry-After is believed at most; more is a mistake or an attack."""

_BUSY: Final = {408: "timeout", 425: "busy", 429: "throttled"}
_UNKNOWN: Final = frozenset({502, 504})
_BLOCKED: Final = {401: "denied", 403: "denied", 404: "address", 405: "address", 407: "denied", 410: "address"}


class Answer(msgspec.Struct, frozen=True):
    """What the far side answered."""

    status: int
    body: bytes
    """Its first part, up to the limit of the `Http` that read it."""
    secrets: list[str]
    """What the far side may have echoed and nobody may see, longest first."""
    headers: Mapping[str, str] = {}
    """By name in lower case; as little to be trusted as the body."""

    def __repr__(self) -> str:
        return f"Answer({self.status}, {len(self.body)} bytes)"

    def shown(self) -> str:
        """Return the start of the body without secrets: what may go into an exception."""
        return self.hide(self.body[: 16 * KEPT].decode("utf-8", "replace"))

    def hide(self, text: str) -> str:
        """Return the start of a text out of the body, without secrets."""
        # Cut only after hiding, and hide in a longer piece, so that no half of a secret is left.
        text = text[: 16 * KEPT]
        for secret in self.secrets:
            text = text.replace(secret, "<secret>")
        return redact(text)[:KEPT]


def to_hide(texts: Iterable[str]) -> list[str]:
    """Return the secrets of an `Answer`: those of these texts that are long enough, each once, the longest first."""
    return sorted({text for text in texts if len(text) >= SHORTEST}, key=len, reverse=True)


def decoded(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a body is; None if it is none."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def refusal(answer: Answer, retry_after: str, now: datetime, place: str) -> SinkError:
    """Return what an answer that is no success means.

    Args:
        answer: its status is not 2xx.
        retry_after: value of that header; empty without it.
        now: what a date in it counts from.
        place: the address, as far as it may be shown.
    """
    status, shown = answer.status, answer.shown()
    message = f"{place} answered {status}"
    if status in _BUSY or status >= 500:
        after = _wait(retry_after, now)
        reason = _BUSY.get(status, "server")
        return Retry(f"{message}.", reason=reason, after=after, answer=shown, unknown=status in _UNKNOWN)
    if 300 <= status < 400:
        return Blocked(
            f"{message}, a redirect, which is not followed. Give the address that it leads to.",
            reason="redirect",
            answer=shown,
        )
    if status in _BLOCKED:
        reason = _BLOCKED[status]
        what = "credentials" if reason == "denied" else "address"
        return Blocked(f"{message}. Check the {what}.", reason=reason, answer=shown)
    return Rejected(f"{message}.", reason="too_large" if status == 413 else "refused_data", answer=shown)


def _wait(value: str, now: datetime) -> float | None:
    """Read Retry-After: seconds or a date (RFC 9110, 10.2.3). Anything else says nothing."""
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,20}(?:\.[0-9]{1,9})?", value, re.ASCII):
        return min(float(value), LONGEST_WAIT)
    try:
        wait = parsedate_to_datetime(value).timestamp() - now.timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return min(wait, LONGEST_WAIT) if wait > 0 else None
