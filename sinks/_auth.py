"""Who we are, for a far side over HTTP: a token, a name with a password, or a key in a header.

Secrets are read again for every request, so that they can be replaced without a restart.
"""

from __future__ import annotations

import base64
import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from eventer.errors import Blocked
from eventer.values import Secret

__all__ = ["RESERVED", "AuthConfig", "BasicConfig", "Credential", "check_header_name", "credential", "reveal"]

RESERVED: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "proxy-authorization"})
"""Headers that make up the request itself: it would contradict itself, or be split, with two of them."""
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What the name of a header is made of (RFC 9110, 5.6.2)."""
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def check_header_name(name: str) -> None:
    """Check that a header can have this name.

    Raises:
        ValueError: with the remedy.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header; write for example X-Team")
    if name.lower() in RESERVED:
        raise ValueError(f"{name} is set by the sink; leave it out")


class BasicConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """User name and password."""

    username: str
    """Name of the user; it cannot hold a colon."""
    password: Secret
    """Its password."""

    def __post_init__(self) -> None:
        """Check the name.

        Raises:
            ValueError: it holds a colon.
        """
        if ":" in self.username:
            raise ValueError("a user name for basic authentication cannot hold a colon (RFC 7617); leave it out")


class AuthConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who we are, for the far side. Read again for every request, so that secrets can rotate."""

    bearer: Secret | None = None
    """Token, sent as `Authorization: Bearer ...`."""
    basic: BasicConfig | None = None
    """User name and password, sent as `Authorization: Basic ...`."""
    header: Annotated[str | None, Meta(examples=["X-Api-Key"])] = None
    """Name of the header that carries a key, such as X-Api-Key; `value` is the key."""
    value: Secret | None = None
    """What is sent in the header named by `header`."""

    def __post_init__(self) -> None:
        """Check that one of the three is there.

        Raises:
            ValueError: with the remedy.
        """
        if (self.header is None) != (self.value is None):
            raise ValueError("auth takes header and value together; write `auth: {header: X-Api-Key, value: ${KEY}}`")
        if [self.bearer, self.basic, self.header].count(None) != 2:
            raise ValueError(
                "auth takes one of bearer and basic and header; write for example `auth: {bearer: ${TOKEN}}`"
            )
        if self.header is not None:
            check_header_name(self.header)

    @property
    def name(self) -> str:
        """Name of the header that this becomes."""
        return self.header or "Authorization"


class Credential(msgspec.Struct, frozen=True):
    """A header that says who we are."""

    name: str
    value: str
    secrets: tuple[str, ...]
    """What of it nobody may see."""

    def __repr__(self) -> str:
        return f"Credential({self.name})"


def credential(auth: AuthConfig) -> Credential:
    """Return the header to send now.

    Raises:
        Blocked: a secret cannot be read or cannot stand in a header.
    """
    if auth.basic:
        password = reveal(auth.basic.password, "The password")
        value = base64.b64encode(f"{auth.basic.username}:{password}".encode()).decode()
        return Credential(auth.name, f"Basic {value}", (value, password))
    secret, what = (auth.bearer, "token") if auth.bearer else (auth.value, "key")
    assert secret is not None
    value = reveal(secret, f"The {what}")
    # A token is one word (RFC 6750, 2.1); a key may be preceded by its scheme.
    if not _VALUE.fullmatch(value) or (auth.bearer and " " in value):
        raise Blocked(
            f"The {what} from {secret.source} holds a blank, a line break or a character that is not ASCII; write "
            f"nothing but the {what} there.",
            reason="secret",
        )
    if auth.bearer:
        return Credential(auth.name, f"Bearer {value}", (value,))
    word = value.rpartition(" ")[2]
    return Credential(auth.name, value, (value, word, *_unwrapped(word)))


def _unwrapped(word: str) -> tuple[str, ...]:
    """Return what is in the base64 of `name:secret`, as Basic and ApiKey have it, for a far side may say it so."""
    try:
        text = base64.b64decode(word, validate=True).decode()
    except ValueError:
        return ()
    _, colon, secret = text.partition(":")
    return (text, secret) if colon else ()


def reveal(secret: Secret, what: str) -> str:
    """Return a secret's present value.

    Raises:
        Blocked: its file cannot be read, or it is empty; the message names where it comes from.
    """
    try:
        value = secret.reveal()
    except (OSError, ValueError) as error:
        problem = (error.strerror or "error") if isinstance(error, OSError) else "it is not UTF-8"
        raise Blocked(f"{what} cannot be read from {secret.source}: {problem}.", reason="secret") from None
    if not value:
        raise Blocked(f"{what} is empty in {secret.source}.", reason="secret")
    return value
