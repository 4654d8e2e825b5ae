"""The index template: how documents are mapped, in each layout, for each product.

Without one the first document that comes decides, and a label such as `app` beside `app.kubernetes.io/name`
makes later documents fail. Here labels are one field of a flat type, nothing unknown is added to the mapping
(`dynamic: false`), and no value is longer in the index than a term may be (32,766 bytes).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from eventer.event import Event
from eventer.layout import Column
from sinks._elasticsearch_documents import ECS_LACKS, LayoutName, wildcard

__all__ = ["Server", "outdated", "template", "template_name"]

PRIORITY: Final = 200
"""Above that of Elastic's own templates for logs-*-* (100)."""

Json = dict[str, Any]

_KEYWORD: Final[Json] = {"type": "keyword", "ignore_above": 1024}
"""1,024 characters are at most 4,096 bytes."""
_TEXT: Final[Json] = {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}
_DATE: Final[Json] = {"type": "date"}
_LONG: Final[Json] = {"type": "long"}
_DOUBLE: Final[Json] = {"type": "double"}


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers."""

    product: str = ""
    """`elasticsearch`, `opensearch`, or empty where it does not say."""
    version: tuple[int, ...] = ()
    flavor: str = ""
    """`serverless`, `default`, `oss`; Elasticsearch only."""

    @property
    def flat(self) -> Json:
        """Mapping of an object with names that nobody knows beforehand.

        https://www.elastic.co/docs/reference/elasticsearch/mapping-reference/flattened,
        https://docs.opensearch.org/latest/field-types/supported-field-types/flat-object/ (since 2.7).
        """
        if self.product == "elasticsearch" and self.flavor != "oss":
            return {"type": "flattened", "ignore_above": 1024}
        if self.product == "opensearch" and self.version >= (2, 7):
            return {"type": "flat_object"}
        return {"type": "object", "enabled": False}  # kept, but not to be searched


def template_name(index: str) -> str:
    """Return the name of the template for an index pattern; the same for every Eventer that writes there."""
    return "eventer-" + wildcard(index).replace("*", "x")


def template(server: Server, index: str, layout: LayoutName, fields: Mapping[str, Column], *, stream: bool) -> Json:
    """Return the body of the template.

    Args:
        server: who is to take it.
        index: name or pattern.
        layout: layout of the documents.
        fields: columns of the user's own, in place of the layout; empty without.
        stream: whether it is for a data stream.
    """
    match layout:
        case _ if fields:
            properties = {name: _of_column(column, server.flat) for name, column in fields.items()}
        case "ecs":
            properties = _ecs(server.flat)
        case "kube-eventer":
            properties = _kube_eventer(server.flat)
        case _:
            properties = _eventer(server.flat)
    pattern = wildcard(index)
    body: Json = {
        "index_patterns": [pattern],
        # Of two templates that match one name, the more exact one must have the higher priority.
        "priority": PRIORITY + ("*" not in pattern),
        "template": {"mappings": {"dynamic": False, "properties": {"@timestamp": _DATE} | properties}},
    }
    if stream:
        body["data_stream"] = {}
    digest = hashlib.sha256(msgspec.json.encode(body, order="deterministic")).hexdigest()[:16]
    body["_meta"] = {"managed_by": "eventer", "digest": digest}
    return body


def outdated(found: Json, wanted: Json) -> bool:
    """Whether a template that is there is ours, and made for other options or by another version.

    One that a person changed keeps its digest, and so stays; one without `_meta` is not ours.
    """
    meta = found.get("_meta") or {}
    ours: bool = meta.get("managed_by") == "eventer" and meta.get("digest") != wanted["_meta"]["digest"]
    return ours


def _eventer(flat: Json) -> Json:
    return {field.name: _of_field(field.name, field.type, flat) for field in msgspec.structs.fields(Event)}


def _of_field(name: str, kind: Any, flat: Json) -> Json:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _object(
            **{field.name: _of_field(field.name, field.type, flat) for field in msgspec.structs.fields(kind)}
        )
    words = str(kind)
    if name in {"message", "log"}:
        return _TEXT
    if words.startswith("dict["):
        return flat
    if datetime.__name__ in words:
        return _DATE
    if "float" in words:
        return _DOUBLE
    return _LONG if "int" in words else _KEYWORD


def _object(**properties: Json) -> Json:
    return {"properties": properties}


def _words(*names: str) -> Json:
    return dict.fromkeys(names, _KEYWORD)


def _ecs(flat: Json) -> Json:
    return {
        "message": _TEXT,
        "labels": flat,
        "ecs": _object(version=_KEYWORD),
        "log": _object(level=_KEYWORD),
        "event": _object(**_words("id", "kind", "module", "dataset", "action", "provider"), start=_DATE),
        "orchestrator": _object(
            **_words("type", "namespace"),
            cluster=_object(name=_KEYWORD),
            resource=_object(**_words("type", "name", "id")),
        ),
        "kubernetes": _object(
            namespace=_KEYWORD,
            node=_object(name=_KEYWORD),
            event=_object(
                **_words("type", "reason"),
                message=_TEXT,
                count=_LONG,
                timestamp=_object(first_occurrence=_DATE, last_occurrence=_DATE),
                metadata=_object(**_words("name", "namespace", "uid", "resource_version")),
                involved_object=_object(**_words("kind", "name", "namespace", "uid", "api_version", "field_path")),
                source=_object(**_words("component", "host")),
            ),
        ),
        "eventer": _object(**{field: _eventer(flat)[field] for field in (*ECS_LACKS, "version", "delta")}),
    }


def _kube_eventer(flat: Json) -> Json:
    return {
        "Count": _LONG,
        "Metadata": _object(**_words("name", "namespace", "uid", "resourceVersion"), creationTimestamp=_DATE),
        "InvolvedObject": _object(**_words("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")),
        "Source": _object(**_words("component", "host")),
        "FirstOccurrenceTimestamp": _DATE,
        "LastOccurrenceTimestamp": _DATE,
        "Message": _TEXT,
        "Reason": _KEYWORD,
        "Type": _KEYWORD,
        "EventTags": flat,
    }


def _of_column(column: Column, flat: Json) -> Json:
    if column.form in {"seconds", "milliseconds"}:
        return _DATE | {"format": "epoch_second" if column.form == "seconds" else "epoch_millis"}
    if column.form == "integer":
        return _LONG
    if column.form or not column.field:
        return _KEYWORD
    # What no field of the event itself has the name of is a part of `about`, a label or an annotation.
    own: Json | None = _eventer(flat).get(column.field)
    return own or (_TEXT if column.field == "about.log" else _KEYWORD)
