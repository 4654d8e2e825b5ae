"""Options of `kind: kafka` that need no library to be read: login and names of topics."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from eventer.template import Template
from eventer.values import Secret

__all__ = ["SaslConfig", "TopicName"]

_LEGAL: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
"""What a topic can be named (org.apache.kafka.common.internals.Topic)."""
_ILLEGAL: Final = re.compile(r"[^A-Za-z0-9._-]")


class SaslConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who we are, for Kafka. The password is read again before each send, the token at each connect."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
    """How to log in, as the listener's `sasl.enabled.mechanisms` says."""
    username: str | None = None
    """Name of the user; with OAUTHBEARER it is in the token."""
    password: Secret | None = None
    """Its password."""
    token: Secret | None = None
    """Token for OAUTHBEARER; by `token_file` a file that someone keeps fresh."""

    def __post_init__(self) -> None:
        """Check what goes together.

        Raises:
            ValueError: with the remedy.
        """
        if self.mechanism == "OAUTHBEARER":
            if self.token is None or self.username is not None or self.password is not None:
                raise ValueError("sasl: OAUTHBEARER takes a token and nothing else; write `token_file: /path`")
        elif self.username is None or self.password is None or self.token is not None:
            raise ValueError(f"sasl: {self.mechanism} takes username and password; write both, and no token")


class TopicName:
    """Name of the topic of an event: always the same, or made by a template behind a fixed beginning.

    Raises:
        ValueError: it can be no name of a topic; with the remedy.
    """

    def __init__(self, text: str) -> None:
        self.fixed = "" if "{{" in text or "{%" in text else text
        """The name, where it is the same for all events."""
        self._prefix = re.split(r"\{[{%]", text, maxsplit=1)[0]
        if not _LEGAL.fullmatch(self._prefix) or self._prefix in {".", ".."}:
            if self.fixed or not text:
                raise ValueError(
                    f"topic: {text[:60]!r} can be no name of a topic; take letters, digits, dot, underline and "
                    "dash, at most 249"
                )
            raise ValueError(
                "topic: a template needs a fixed beginning of letters, digits, dot, underline or dash, so that no "
                "event can choose a topic of somebody else; write for example events-{{ event.namespace }}"
            )
        try:
            self._template = None if self.fixed else Template(text, check=self._name)
        except ValueError as error:
            raise ValueError(f"topic: {error}") from None

    def of(self, event: object) -> str:
        """Return the topic of one event. What cannot stand in a name becomes a dash.

        Raises:
            ValueError: the template fails on this event.
        """
        return self._template.render(event) if self._template else self.fixed  # type: ignore[arg-type]

    def _name(self, text: str) -> str:
        if not text.startswith(self._prefix):
            raise ValueError(f"the result does not begin with {self._prefix}")
        return _ILLEGAL.sub("-", text)[:249]
