"""Silences as commands ask for them, and get them. Light to import."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

__all__ = ["Ended", "SilenceReport", "Wanted"]


class Wanted(msgspec.Struct, kw_only=True):
    """A silence that somebody asks for. Times are seconds since 1970."""

    match: dict[str, Any]
    """A rule, as `eventer.match.Rule.parse` takes it."""
    owner: str
    reason: str
    begins: float | None = None
    """None for now."""
    ends: float | None = None
    lasts: float | None = None
    """Seconds from its begin, in place of `ends`."""


class SilenceReport(msgspec.Struct, kw_only=True):
    """One silence, as commands get it."""

    id: str
    state: Literal["active", "pending", "expired"]
    match: list[str]
    """Rules, of which any silences; empty where this version cannot use what is stored."""
    owner: str
    reason: str
    begins: datetime | None
    """None where it was on at once."""
    ends: datetime | None
    """None for annotations, each of which has its own."""
    origin: Literal["command", "configuration", "annotation"]
    suppressed: int
    """Events of which nobody was told because of it, over all notifiers."""


class Ended(msgspec.Struct, kw_only=True):
    """What became of silences that were to be ended, by id."""

    ended: list[str] = []
    over: list[str] = []
    """They were over."""
    configured: list[str] = []
    """They stand in the configuration."""
    unknown: list[str] = []
