"""Reading what went wrong out of an answer of the API server, or of whoever answers in its place.

Everything here ends as one of the source's exceptions, in words that hold no URL and no credential.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
import msgspec

from eventer.errors import Broken, Gone, Refused, SourceError
from eventer.source.shapes import Status
from eventer.text import escape, redact, shorten

__all__ = ["Unreadable", "date_of", "error_of", "failure_of", "words"]

RETRY_AFTER_CAP: Final = 3600.0
"""Seconds. A server that asks for more is answered by asking once an hour."""
_ANSWER_CAP: Final = 500
"""Bytes of a server's own words that go into a message."""
_EXCERPT: Final = 120
"""Bytes of what cannot be read that are logged."""


class Unreadable(Broken):
    """An answer, or a line, that is none of Kubernetes'.

    Its text may be that of an event, so it is not in the message, which health shows: only the log has it.
    """

    def __init__(self, message: str, body: bytes) -> None:
        self.body = body
        """How it begins."""
        super().__init__(message)

    @property
    def excerpt(self) -> str:
        """The first of it, for the log."""
        return escape(redact(self.body[:_EXCERPT].decode("utf-8", "replace")))


def error_of(status: Status, code: int | None = None, after: float | None = None) -> SourceError:
    """Turn a Status into the exception that says the same.

    Args:
        status: the server's words.
        code: HTTP status, where there is one; an ERROR line carries its code in the Status.
        after: seconds from a Retry-After header; the Status may carry them as well.
    """
    code = code if code is not None else status.code or 0
    details = status.details
    if after is None and details is not None and details.retry_after is not None:
        after = min(max(details.retry_after, 0.0), RETRY_AFTER_CAP)
    causes = (details.causes if details is not None else None) or []
    cause = next((item.reason for item in causes if item.reason), None) or status.reason or ""
    words = shorten(escape(redact(status.message or "")), _ANSWER_CAP) or "no explanation"
    message = f"The API server answered {code}: {words}"
    if code == 410:
        return Gone(message)
    return Refused(code, message, after, cause)


def failure_of(code: int, headers: Mapping[str, str], body: bytes) -> SourceError:
    """Turn an unsuccessful answer into an exception. Its body is a Status, or whatever a proxy says."""
    try:
        status = msgspec.json.decode(body, type=Status)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        status = Status(message="a page that is no Kubernetes answer; a proxy may stand between")
    return error_of(status, code, _retry_after(headers))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After, seconds or a date (RFC 9110, 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), RETRY_AFTER_CAP)
    until = _parse(text)
    if until is None:
        return None
    # Against the server's own clock, where it tells it: ours may be off by hours.
    return min(max((until - (date_of(headers) or datetime.now(UTC))).total_seconds(), 0.0), RETRY_AFTER_CAP)


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """Return the server's clock (Date header), None where it tells none."""
    return _parse(headers.get("Date", ""))


def _parse(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):  # what it raises on nonsense differs between versions
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def words(error: BaseException) -> str:
    """Say what failed without the URL: aiohttp puts host and query into its texts."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        error = error.certificate_error
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, ssl.SSLCertVerificationError):
        why = getattr(error, "verify_message", "") or "no reason given"
        return f"the server's certificate is not trusted ({why})"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(getattr(error, 'reason', '') or 'error').replace('_', ' ').lower()}"
    if isinstance(error, OSError) and error.strerror:
        # asyncio puts the address into the text; getaddrinfo's errors have numbers of their own.
        number = error.errno or 0
        return (os.strerror(number) if number > 0 else error.strerror).lower()
    if isinstance(error, aiohttp.ClientError):
        return type(error).__name__
    return shorten(escape(redact(str(error))), 300) or type(error).__name__
