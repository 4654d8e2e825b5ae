"""How a type of the configuration refuses its own values: faults with a path, a message and a remedy."""

from __future__ import annotations

import msgspec

from eventer.errors import ConfigError, Fault

__all__ = ["positive", "refusal"]


def refusal(path: str, message: str, remedy: str) -> ConfigError:
    """Make the error for one option; the path counts from the struct that raises it."""
    return ConfigError([Fault(path=path, message=message, remedy=remedy)])


def positive(struct: msgspec.Struct, *names: str) -> None:
    """Refuse durations of zero, all of them at once.

    Raises:
        ConfigError: with a fault for each.
    """
    faults = [
        Fault(path=name, message=f"{name} must be longer than nothing", remedy="write for example 1h")
        for name in names
        if getattr(struct, name) <= 0
    ]
    if faults:
        raise ConfigError(faults)
