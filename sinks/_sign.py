"""Signatures by which a receiver knows that a request is ours, fresh and unchanged.

The form is that of Standard Webhooks: HMAC-SHA256 over id, time of the attempt and body
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import datetime

import msgspec

from eventer.errors import Blocked
from eventer.values import Secret
from sinks._auth import reveal

__all__ = ["SignConfig", "signed"]


class SignConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Secrets for signatures in the form of Standard Webhooks. Read again for every request."""

    secret: Secret
    """Secret shared with the receiver: `whsec_` and 24 to 64 random bytes in Base64."""
    previous: Secret | None = None
    """Second secret, while receivers change from one to the other: requests then carry both signatures."""

    def __post_init__(self) -> None:
        """Check the secrets.

        Raises:
            ValueError: one is not in the form of Standard Webhooks.
        """
        for option in ("secret", "previous"):
            secret = getattr(self, option)
            try:
                value = secret.reveal() if secret else ""
            except (OSError, ValueError):
                continue  # `open` says what is wrong with a file
            if value:
                try:
                    _key(value)
                except ValueError as error:
                    raise ValueError(f"{option}: {error}") from None


def signed(config: SignConfig, message: str, now: datetime, body: bytes) -> dict[str, str]:
    """Return the headers that sign one attempt to send.

    Args:
        config: the secrets.
        message: names what is sent, the same for every attempt; without a full stop.
        now: time of the attempt; a receiver refuses one that is minutes old.
        body: exactly as it is sent.

    Raises:
        Blocked: a secret cannot be read or is none.
    """
    timestamp = str(int(now.timestamp()))
    signatures: list[str] = []
    for secret in filter(None, (config.secret, config.previous)):
        try:
            key = _key(reveal(secret, "The secret for signatures"))
        except ValueError as error:
            raise Blocked(f"The secret for signatures from {secret.source}: {error}.", reason="secret") from None
        digest = hmac.new(key, f"{message}.{timestamp}.".encode(), hashlib.sha256)
        digest.update(body)
        signatures.append(f"v1,{base64.b64encode(digest.digest()).decode()}")
    return {"webhook-id": message, "webhook-timestamp": timestamp, "webhook-signature": " ".join(signatures)}


def _key(secret: str) -> bytes:
    remedy = "write whsec_ and what `openssl rand -base64 32` gives"
    prefix, found, encoded = secret.partition("whsec_")
    if prefix or not found:
        raise ValueError(f"this is no secret of Standard Webhooks; {remedy}")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"what follows whsec_ is not Base64; {remedy}") from None
    if not 24 <= len(key) <= 64:
        raise ValueError(f"what follows whsec_ has {len(key)} bytes, not 24 to 64; {remedy}")
    return key
