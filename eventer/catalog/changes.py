"""What a user changes of the catalog, and adds to it: the section `catalog` of a configuration."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from eventer.catalog.types import Severity
from eventer.values import Duration

__all__ = ["CatalogChanges", "ConditionChange", "ReasonChange"]

_NAME = r"^[a-z][a-z0-9_]{0,62}$"


class ReasonChange(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What is meant by a reason. What is left out stays as it comes with Eventer."""

    severity: Annotated[Severity | None, Meta(examples=["critical"])] = None
    """`critical`, `warning` or `info`. A reason that Eventer does not know has `warning` where the event
    is a Warning, and else `info`."""
    family: Annotated[Annotated[str, Meta(pattern=_NAME)] | None, Meta(examples=["crash_loop"])] = None
    """The kind of fault. Reasons of one family are told about together; one of Eventer's (docs/catalog.md), or
    a name of your own in small letters, digits and _. A reason that Eventer does not know has `other`."""
    en: Annotated[str | None, Meta(examples=["The payment gateway refused a request."])] = None
    """What it means, in English."""
    zh: Annotated[str | None, Meta(examples=["支付网关拒绝了请求。"])] = None
    """What it means, in Chinese."""
    command: Annotated[str | None, Meta(examples=["kubectl -n {namespace} logs {name}"])] = None
    """A command to begin with; it may name {namespace}, {name}, {node} and {kind}."""
    runbook: Annotated[str | None, Meta(examples=["https://wiki.example.com/payments"])] = None
    """Address of a page that helps."""
    opposite: Annotated[list[str] | None, Meta(examples=["[PaymentRestored]"])] = None
    """Reasons which say of the same object that it is over."""
    patience: Annotated[Duration | None, Meta(examples=["5m"])] = None
    """For how long it belongs to normal operation, so that people are told only when it lasts longer; `0s` to have
    it told at once."""


class ConditionChange(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What is meant by a condition of a Node. What is left out stays as it comes with Eventer."""

    bad: Annotated[Literal["True", "False"] | None, Meta(examples=['"True"'])] = None
    """The status that means trouble, in quotes. Without it, and for a condition that Eventer does not know, it is
    guessed: `"False"` where the name ends with Ready, Healthy or IsVoter or begins with Sufficient."""
    severity: Annotated[Severity | None, Meta(examples=["critical"])] = None
    """`critical`, `warning` or `info`; of a condition that Eventer does not know, `warning`."""
    family: Annotated[Annotated[str, Meta(pattern=_NAME)] | None, Meta(examples=["disk_fault"])] = None
    """The kind of fault, as for a reason."""
    en: Annotated[str | None, Meta(examples=["The RAID of this node has lost a disk."])] = None
    """What it means, in English."""
    zh: Annotated[str | None, Meta(examples=["该节点的 RAID 掉了一块盘。"])] = None
    """What it means, in Chinese."""
    command: Annotated[str | None, Meta(examples=["kubectl describe node {node}"])] = None
    """A command to begin with; it may name {node}."""
    runbook: Annotated[str | None, Meta(examples=["https://wiki.example.com/raid"])] = None
    """Address of a page that helps."""


class CatalogChanges(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What reasons of events and conditions of nodes mean, where that is to differ from what comes with Eventer."""

    reasons: Annotated[dict[str, ReasonChange], Meta(examples=["{PaymentRefused: {severity: critical}}"])] = {}
    """Reasons of events, by their name."""
    conditions: Annotated[dict[str, ConditionChange], Meta(examples=["{RaidDegraded: {severity: critical}}"])] = {}
    """Conditions of nodes, by their type."""
