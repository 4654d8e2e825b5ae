"""Which Eventer this is."""

from __future__ import annotations

__all__ = ["version"]


def version() -> str:
    """Return the version that is installed."""
    from importlib import metadata  # 10 ms that only those pay who ask

    try:
        return metadata.version("eventer")
    except metadata.PackageNotFoundError:
        return "(not installed)"
