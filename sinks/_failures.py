"""What a failed connection means, whichever library made it: what Python's own exceptions tell beneath its."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Sequence
from typing import Final

from eventer.errors import Blocked, Retry

__all__ = ["CONNECT_TIMEOUT", "Network", "causes", "inside", "missing", "network", "untrusted"]

CONNECT_TIMEOUT: Final = 5.0
"""Seconds after which a connection has failed: three lost SYN packets on Linux."""
Network = Sequence[tuple[type[BaseException] | tuple[type[BaseException], ...], str, str]]
"""Exceptions, a reason, and a sentence about `{place}`; the first that fits counts."""

_OURS: Final = re.compile(
    "ALERT_(?:CERTIFICATE_|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|NO_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR)"
)
"""What OpenSSL calls the alerts by which a far side refuses our certificate, or misses it (RFC 8446, 6.2)."""


def causes(error: BaseException, outer: BaseException | None) -> Iterator[BaseException]:
    """Walk an exception, what it came from, and the members of groups (one per address tried).

    httpcore hides the cause of what it raises (`from None`), so the way leads over `__context__`,
    up to what our caller was handling when it called (`outer`); aiohttp keeps it in `os_error`.
    """
    seen = {id(outer)}
    waiting: list[BaseException | None] = [error]
    while waiting:
        item = waiting.pop()
        if item is None or id(item) in seen:
            continue
        seen.add(id(item))
        if not isinstance(item, ssl.SSLWantReadError):  # how every read over TLS begins; no failure
            yield item
        waiting += [item.__cause__, item.__context__, getattr(item, "os_error", None)]
        if isinstance(item, BaseExceptionGroup):
            waiting += item.exceptions


def inside(host: str) -> Blocked:
    """Return what is said where a name or an address leads to what `sinks._peer` forbids."""
    return Blocked(
        f"The address leads to {host}: to link-local addresses and metadata services of clouds nothing is sent.",
        reason="address",
    )


def untrusted(cause: BaseException, place: str) -> Blocked | None:
    """Return what is said where a certificate is not trusted, theirs or ours; None for any other failure.

    Args:
        cause: of those that the standard library raises.
        place: the address, as far as it may be shown.
    """
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Blocked(
            f"The certificate of {place} is not trusted: {cause.verify_message}. Name its issuer in tls.ca_file.",
            reason="tls",
        )
    if isinstance(cause, ssl.SSLError) and _OURS.search(cause.reason or ""):
        return Blocked(
            f"{place} wants a certificate of ours that it trusts. Check tls.cert_file and tls.key_file.",
            reason="tls",
        )
    return None


def network(found: Sequence[BaseException], table: Network, place: str) -> Retry | None:
    """Return what is said where there is no connection any more; None if it is nothing in the table.

    Args:
        found: what `causes` found.
        table: of the library that was used.
        place: the address, as far as it may be shown.
    """
    for kinds, reason, words in table:
        if any(isinstance(cause, kinds) for cause in found):
            return Retry(words.format(place=place), reason=reason)
    return None


def missing(kind: str, error: ImportError) -> Blocked:
    """Return what is said where the extra of a kind of sink is not installed."""
    return Blocked(
        f"kind: {kind} needs a library that is not installed ({error.name}); run `pip install 'eventer[{kind}]'`.",
        reason="library",
    )
