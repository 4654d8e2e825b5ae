"""The saved dashboard, taken apart: what its panels ask a server for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["Panel", "panels", "saved_objects"]

FILE = Path(__file__).parents[2] / "docs/dashboards/elasticsearch.ndjson"


@dataclass
class Panel:
    """One visualization."""

    title: str
    query: str
    aggs: list[dict[str, Any]]

    def search(self) -> dict[str, Any]:
        """Return the search that it comes to: each grouping within the one before, the sum in the innermost."""
        metric, *groups = self.aggs
        inner: dict[str, Any] = {"1": {"sum": {"field": metric["params"]["field"]}}}
        for group in reversed(groups):
            field, size = group["params"]["field"], group["params"].get("size")
            kind = {"terms": {"field": field, "size": size}}
            if group["type"] == "date_histogram":
                kind = {"date_histogram": {"field": field, "fixed_interval": "30m"}}
            inner = {group["id"]: kind | {"aggs": inner}}
        query = {"query_string": {"query": self.query}} if self.query else {"match_all": {}}
        return {"size": 0, "query": query, "aggs": inner}


def saved_objects() -> list[dict[str, Any]]:
    """Return what the file holds."""
    return [msgspec.json.decode(line) for line in FILE.read_bytes().splitlines()]


def panels() -> list[Panel]:
    """Return the visualizations."""
    found = []
    for item in saved_objects():
        if item["type"] == "visualization":
            attributes = item["attributes"]
            source = msgspec.json.decode(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])
            aggs = msgspec.json.decode(attributes["visState"])["aggs"]
            found.append(Panel(attributes["title"], source["query"]["query"], aggs))
    return found
