"""Where state is kept: a directory, memory, and a ConfigMap that knows what was settled."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Annotated, ClassVar, Final, Self

import msgspec
from msgspec import Meta

from eventer.config.sources import Namespace

__all__ = ["MEMORY", "ConfigMapName", "Mirror", "StatePath"]

MEMORY: Final = "memory"
SHARED: Final = "/dev/shm"  # noqa: S108 - a directory of our own in it, whose owner is looked at
"""A file system in memory. Each pod has its own, which outlives its containers."""
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""RFC 1123 subdomain (https://kubernetes.io/docs/concepts/overview/working-with-objects/names/)."""


class StatePath(str):
    """The state directory. `memory` is one that a restarted process finds again, as long as its pod lives."""

    EXPECTED: ClassVar[str] = "a directory, or memory"
    __slots__ = ("memory",)
    memory: bool

    def __new__(cls, path: str, *, memory: bool = False) -> Self:
        """Make one of a path."""
        self = super().__new__(cls, path)
        self.memory = memory
        return self

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a path, or the word `memory`.

        Raises:
            ValueError: there is no text.
        """
        if not text:
            raise ValueError(f"a path has at least 1 character; write {cls.EXPECTED}")
        if text != MEMORY:
            return cls(text)
        base = Path(SHARED) if os.access(SHARED, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
        return cls(str(base / f"eventer-{os.getuid()}"), memory=True)


class ConfigMapName(str):
    """The name of a ConfigMap."""

    EXPECTED: ClassVar[str] = "the name of a ConfigMap"
    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name.

        Raises:
            ValueError: no ConfigMap can have this name.
        """
        if not _NAME.fullmatch(text) or len(text) > 253:
            raise ValueError(
                f"{text!r} is no name of a ConfigMap; write at most 253 small letters, digits, hyphens and dots"
            )
        return cls(text)


class Mirror(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where it is noted what each sink has settled."""

    configmap: Annotated[ConfigMapName, Meta(examples=["eventer-positions"])]
    """Name of a ConfigMap that is there already: `kubectl create configmap NAME`. Eventer reads and changes
    one key of it, for which it needs the verbs get and patch. Each Eventer needs one of its own."""
    namespace: Annotated[Namespace | None, Meta(examples=["monitoring"])] = None
    """Its namespace; left out, that of the pod. The ConfigMap is looked for in the cluster in which the pod
    runs; outside of a cluster in the one that KUBECONFIG names."""
