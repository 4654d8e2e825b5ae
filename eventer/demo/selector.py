"""Field selectors of the fake API server: which Events a request is about, and when one leaves or enters.

With a selector the real server turns a change by which an object no longer matches into DELETED, and one
by which it begins to match into ADDED (https://github.com/kubernetes/kubernetes, storage/etcd3/watcher.go).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from eventer.demo.store import Change, Group

__all__ = ["Selector", "Unsupported"]

_CORE: Final = {
    **{f"involvedObject.{name}": ("involvedObject", name) for name in ("kind", "namespace", "name", "uid")},
    "metadata.name": ("metadata", "name"),
    "metadata.namespace": ("metadata", "namespace"),
    "reason": ("reason",),
    "type": ("type",),
}
_PATHS: Final[Mapping[Group, Mapping[str, tuple[str, ...]]]] = {
    "core": _CORE,
    "events": {name.replace("involvedObject", "regarding"): path for name, path in _CORE.items()},
    "nodes": {"metadata.name": ("metadata", "name")},
}


class Unsupported(Exception):
    """The API has no such field; the name of it is the message."""


class Selector:
    """A parsed field selector.

    Args:
        text: as it stands in the query, `type=Warning,metadata.namespace!=noisy`; empty for everything.
        group: whose names of fields it uses.

    Raises:
        Unsupported: it names a field that cannot be selected by.
    """

    def __init__(self, text: str, group: Group) -> None:
        self._terms: list[tuple[tuple[str, ...], bool, str]] = []
        for term in filter(None, text.split(",")):
            name, _, value = term.partition("=")
            field = name.removesuffix("!")
            if field not in _PATHS[group]:
                raise Unsupported(field)
            self._terms.append((_PATHS[group][field], name == field, value.removeprefix("=")))

    def matches(self, obj: Mapping[str, Any]) -> bool:
        """Whether an object, in the shape of core/v1, is selected."""
        return all((_at(obj, path) == value) is equal for path, equal, value in self._terms)

    def line(self, change: Change, group: Group) -> bytes | None:
        """Return the watch line that a change is for those who select by this; None for nothing."""
        if not self._terms:
            return change.line(group)
        before = change.before is not None and self.matches(change.before)
        after = change.type != "DELETED" and self.matches(change.object)
        if before and not after and change.type == "MODIFIED":
            assert change.before is not None
            metadata = {**change.before["metadata"], "resourceVersion": str(change.version)}
            gone = {**change.before, "metadata": metadata}
            return Change(change.version, "DELETED", change.namespace, gone).line(group)
        if after and not before and change.type == "MODIFIED":
            return Change(change.version, "ADDED", change.namespace, change.object).line(group)
        return change.line(group) if before or after else None


def _at(obj: Mapping[str, Any], path: tuple[str, ...]) -> str:
    value: Any = obj
    for name in path:
        value = (value or {}).get(name)
    return value or ""
