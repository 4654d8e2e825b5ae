"""A far side that plays Elasticsearch and OpenSearch: documents, templates, data streams, and their answers.

The real OpenSearch is in tests/real; what only Elasticsearch does, in any of its versions, is played
here as it is documented:

- bulk:             https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk
- GET /:            https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-info
- X-Elastic-Product and version.build_flavor `serverless`:
  https://www.elastic.co/docs/reference/elasticsearch/rest-apis/api-conventions
- index templates:  https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-put-index-template
- privileges:       https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-security-has-privileges
- data streams:     https://www.elastic.co/docs/manage-data/data-store/data-streams/use-data-stream
"""

from __future__ import annotations

import gzip
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from tests.helpers.farside import Answer, FarSide, Request

__all__ = ["Refusal", "Search", "root"]

Refusal = tuple[int, str, str]
"""Status, type and reason of an item's error."""


def root(product: str = "elasticsearch", number: str = "9.1.0", flavor: str = "default") -> dict[str, Any]:
    """What GET / answers."""
    version: dict[str, Any] = {"number": number}
    version |= {"distribution": "opensearch"} if product == "opensearch" else {"build_flavor": flavor}
    return {"name": "node-1", "cluster_name": "test", "version": version, "tagline": "You Know, for Search"}


class Search(FarSide):
    """A cluster with one node."""

    def __init__(self, tls: ssl.SSLContext | None = None, **info: str) -> None:
        super().__init__(tls)
        self.root: Any = root(**info)
        """What GET / answers; a number is a status."""
        self.refuse: Callable[[dict[str, Any]], Refusal | None] = lambda _: None
        """Asked for each document: why it is not taken."""
        self.documents: dict[tuple[str, str], dict[str, Any]] = {}
        """By index and `_id`, in order of arrival."""
        self.versions: dict[tuple[str, str], int] = {}
        self.templates: dict[str, dict[str, Any]] = {}
        self.streams: set[str] = set()
        self.privileges: bool | None = True
        """Whether we may create documents; None plays a cluster without security."""
        self.pipelines: set[str] = set()
        self.bulks: list[Request] = []

    def respond(self, request: Request) -> Answer:
        target = urlsplit(request.target)
        path = target.path.rpartition("/")[0].rsplit("/", 1)[-1], target.path.rpartition("/")[2]
        match request.method, *path:
            case "GET", _, "":
                if isinstance(self.root, int):
                    return Answer(self.root, b"{}")
                elastic = "distribution" not in self.root["version"]
                return _json(200, self.root, {"X-Elastic-Product": "Elasticsearch"} if elastic else {})
            case "POST", _, "_bulk":
                self.bulks.append(request)
                return self._bulk(request, parse_qs(target.query))
            case "GET", "_index_template", name:
                if name not in self.templates:
                    return _error(404, "resource_not_found_exception", f"index template matching [{name}] not found")
                found = {"name": name, "index_template": self.templates[name]}
                return _json(200, {"index_templates": [found]})
            case "PUT", "_index_template", name:
                self.templates[name] = msgspec.json.decode(body_of(request))
                return _json(200, {"acknowledged": True})
            case "GET", "_data_stream", name:
                if name in self.streams:
                    return _json(200, {"data_streams": [{"name": name}]})
                return _error(404, "index_not_found_exception", f"no such index [{name}]")
            case "POST", "user", "_has_privileges" if self.privileges is not None:
                (asked,) = msgspec.json.decode(body_of(request))["index"]
                assert asked["privileges"] in (["create_doc"], ["index"])
                return _json(200, {"username": "me", "has_all_requested": self.privileges})
            case "GET", "pipeline", name:
                return Answer(200 if name in self.pipelines else 404, b"{}")
            case "PUT", "_data_stream", name:
                for template in self.templates.values():
                    if name in template["index_patterns"] and "data_stream" in template:
                        self.streams.add(name)
                        return _json(200, {"acknowledged": True})
                words = f"no matching index template found for data stream [{name}]"
                return _error(400, "illegal_argument_exception", words)
        return Answer(400, b'{"error":"no handler found for uri"}')

    def _bulk(self, request: Request, query: dict[str, list[str]]) -> Answer:
        assert query["filter_path"][0].startswith("errors,items.*.status,items.*.error.type")
        body = body_of(request)
        assert body.endswith(b"\n")
        assert request.headers["content-type"] == "application/x-ndjson"
        lines = [msgspec.json.decode(line) for line in body.split(b"\n")[:-1]]
        items = [self._item(action, document) for action, document in zip(lines[::2], lines[1::2], strict=True)]
        errors = any("error" in item for result in items for item in result.values())
        return _json(200, {"errors": errors, "items": items})

    def _item(self, action: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
        ((operation, where),) = action.items()
        key = where["_index"], where["_id"]
        assert len(where["_id"].encode()) <= 512
        assert "@timestamp" in document
        refusal = self.refuse(document)
        if refusal is None and key in self.documents:
            newer = where.get("version", 0) > self.versions.get(key, 0)
            if operation == "create" or not newer:
                refusal = 409, "version_conflict_engine_exception", f"[{key[1]}]: version conflict"
        if refusal is not None:
            status, kind, reason = refusal
            return {operation: {"status": status, "error": {"type": kind, "reason": reason}}}
        self.documents[key] = document
        if "version" in where:
            assert where["version_type"] == "external"
            self.versions[key] = where["version"]
        return {operation: {"status": 201}}


def body_of(request: Request) -> bytes:
    """The body of a request, as it was before it was compressed."""
    return gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body


def _json(status: int, value: Any, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, msgspec.json.encode(value), {"Content-Type": "application/json"} | (headers or {}))


def _error(status: int, kind: str, reason: str) -> Answer:
    error = {"root_cause": [{"type": kind, "reason": reason}], "type": kind, "reason": reason}
    return _json(status, {"error": error, "status": status})
