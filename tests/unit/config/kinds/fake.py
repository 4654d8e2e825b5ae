"""A sink with an option of every type that an option can have; only its Config is used."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from eventer.errors import ConfigError, Fault
from eventer.match import Rule
from eventer.sink import SinkConfig
from eventer.values import Duration, Secret, Size


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


class Login(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    user: str
    password: Secret

    def __post_init__(self) -> None:
        if self.user == "root":
            raise ConfigError([Fault(path="user", message="root is not welcome", remedy="use another user")])


class Config(SinkConfig, kw_only=True):
    token: Secret
    login: Login | None = None
    keys: dict[str, Secret] = msgspec.field(default_factory=dict)
    count: Annotated[int, Meta(ge=1, le=10)] = 1
    ratio: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    flag: bool = False
    colour: Colour = Colour.RED
    mode: Literal["fast", "safe"] = "safe"
    text: Annotated[str, Meta(max_length=5)] | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    pair: Annotated[list[str], Meta(max_length=2)] = msgspec.field(default_factory=list)
    unique: frozenset[int] = frozenset()
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    equals: str | int | float | bool | None = None
    rules: Rule | list[Rule] | None = None
    layout: Any = None
    wait: Duration | None = None
    room: Size = Size(1 << 20)

    def __post_init__(self) -> None:
        if self.mode == "fast" and self.count > 5:
            raise ValueError("mode: fast allows a count of 5 at most; write `count: 5`")
        if self.ratio == 0.25:
            raise ValueError("a quarter is not possible; write 0.5")
