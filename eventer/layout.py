"""Documents of another shape than ours: fields that are picked, renamed, typed, or always the same.

Stores whose users have data already want its names to go on. A sink without a layout sends the journal's
lines as they are, which costs nothing; a layout costs a decode and an encode per event.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias, get_args

import msgspec

from eventer.about import NOTHING
from eventer.event import EPOCH_SHIFT, Event

__all__ = ["Column", "Layout", "core_event"]

Form: TypeAlias = Literal["text", "integer", "seconds", "milliseconds"]
"""What a value can be made into; times are RFC 3339 otherwise."""
_FORMS: Final[tuple[str, ...]] = get_args(Form)
_FIELDS: Final = tuple(name for name in Event.__struct_fields__ if name != "labels")
_LOOKED_UP: Final = re.compile(
    r"about\.(enriched|log|owner\.(kind|name|api_version)|node\.(name|zone|pool)|pod\.(node|phase)"
    r"|(pod|namespace|node)\.labels\..+|pod\.annotations\..+)"
)
"""What look-ups bring (`eventer.about`), as a layout names it."""
_TIMES: Final = ("time", "first")
_NUMBERS: Final = ("count", "delta", "version")


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """Where one field of a document comes from. Written as `message`, `labels.team`, `time | seconds` or `=prod`."""

    EXPECTED: ClassVar[str] = "a field such as message, labels.team or `time | seconds`, or a constant such as =prod"

    field: str = ""
    """A field of `Event`, or `labels.NAME`; empty for a constant."""
    constant: str = ""
    form: Form | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one.

        Raises:
            ValueError: it names no field, or one that cannot be made into that.
        """
        if text.startswith("="):
            return cls(constant=text[1:])
        field, bar, form = (part.strip() for part in text.partition("|"))
        known = field in _FIELDS or (field.startswith("labels.") and len(field) > len("labels."))
        if not known and not _LOOKED_UP.fullmatch(field):
            raise ValueError(
                f"{field[:60]!r} is no field of an event; write one of {', '.join(_FIELDS)}, labels.NAME, what is "
                "looked up, such as about.owner.name or about.node.labels.NAME, or =TEXT for a constant"
            )
        if bar and form not in _FORMS:
            raise ValueError(f"{form[:60]!r} is nothing that a value can be made into; write {', '.join(_FORMS)}")
        if form in {"seconds", "milliseconds"} and field not in _TIMES:
            raise ValueError(f"{field} is no time; write {' or '.join(f'`{time} | {form}`' for time in _TIMES)}")
        if form == "integer" and field not in _NUMBERS and not field.startswith("labels."):
            raise ValueError(f"{field} is no number; write {' or '.join(_NUMBERS)}")
        return cls(field=field, form=form or None)  # type: ignore[arg-type]

    def __str__(self) -> str:
        if not self.field:
            return f"={self.constant}"
        return f"{self.field} | {self.form}" if self.form else self.field

    @property
    def get(self) -> Callable[[Event], Any]:
        """What takes the value out of an event; None where the event has none."""
        if not self.field:
            constant = self.constant
            return lambda _: constant
        if self.field.startswith("labels."):
            name = self.field.removeprefix("labels.")
            return self._formed(lambda event: event.labels.get(name))
        if ".labels." in self.field or ".annotations." in self.field:
            _, of, what, name = self.field.split(".", 3)
            return self._formed(lambda event: getattr(getattr(event.about, of), what).get(name))
        return self._formed(attrgetter(self.field))

    def _formed(self, get: Callable[[Event], Any]) -> Callable[[Event], Any]:
        form = self.form
        if form is None:
            return lambda event: _full(get(event))
        make = _MAKERS[form]

        def formed(event: Event) -> Any:
            value = _full(get(event))
            return None if value is None else make(value)

        return formed


def _full(value: Any) -> Any:
    return None if value == "" or value is NOTHING else value


def _text(value: Any) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def _integer(value: Any) -> int | None:
    try:
        return int(value)
    except ValueError:
        return None


_MAKERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "text": _text,
    "integer": _integer,
    "seconds": lambda time: int(time.timestamp()),
    "milliseconds": lambda time: int(time.timestamp() * 1000),
}


class Layout:
    """Columns, ready for use. A field without a value is left out of the document."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = [(name, column.get) for name, column in columns.items()]
        self._encode = msgspec.json.Encoder().encode

    def document(self, event: Event) -> dict[str, Any]:
        """Return the document of one event; times in it are `datetime`."""
        found = ((name, get(event)) for name, get in self._columns)
        return {name: value for name, value in found if value is not None}

    def texts(self, event: Event) -> dict[str, str]:
        """Return the document of one event with every value as a text, for stores that know nothing else."""
        return {name: _text(value) for name, value in self.document(event).items()}

    def lines(self, events: Sequence[Event]) -> list[bytes]:
        """Return the documents of events as JSON, each on one line without a line break."""
        encode, document = self._encode, self.document
        return [encode(document(event)) for event in events]


def core_event(event: Event) -> dict[str, Any]:
    """Return an event as an object of the core API (v1), as far as the record holds it.

    It is what exporters that this one takes over from store whole
    (https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/).
    """
    namespace, _, name = event.event.rpartition("/")
    first = event.first or event.time
    return {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": event.entity,
            "resourceVersion": str(event.version & (1 << EPOCH_SHIFT) - 1),
            "creationTimestamp": first,
        },
        "involvedObject": _without_empty(
            kind=event.kind,
            namespace=event.namespace,
            name=event.name,
            uid=event.uid,
            apiVersion=event.api_version,
            fieldPath=event.field_path,
        ),
        "reason": event.reason,
        "message": event.message,
        "source": _without_empty(component=event.component, host=event.node),
        "firstTimestamp": first,
        "lastTimestamp": event.time,
        "count": event.count,
        "type": event.type,
        "eventTime": None,
        "action": event.action,
        "reportingComponent": event.component,
        "reportingInstance": event.instance,
    }


def _without_empty(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
