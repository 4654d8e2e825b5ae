"""docs/dashboards/elasticsearch.ndjson: what it asks for exists, and it holds together.

Dashboards itself cannot be had here: its looks are not tested. That a server understands what the panels
ask for is in tests/real/test_opensearch.py.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sinks._elasticsearch_template import Server, template
from tests.helpers.dashboards import panels, saved_objects


def test_every_reference_is_in_the_file_and_every_object_is_shown() -> None:
    objects = saved_objects()
    names = {(item["type"], item["id"]) for item in objects}
    assert len(names) == len(objects)
    used = {(ref["type"], ref["id"]) for item in objects for ref in item["references"]}
    assert used == names - {("dashboard", "eventer")}
    for item in objects:
        inner = msgspec.json.encode(item["attributes"]).decode()
        for ref in item["references"]:
            assert ref["name"] in inner


def test_the_pattern_is_that_of_the_default_index() -> None:
    (pattern,) = [item["attributes"] for item in saved_objects() if item["type"] == "index-pattern"]
    server = Server(product="opensearch", version=(3, 3))
    patterns = template(server, "events-{yyyy.MM.dd}", "eventer", {}, stream=False)["index_patterns"]
    assert (pattern["title"], pattern["timeFieldName"]) == (patterns[0], "@timestamp")


def test_every_field_that_is_asked_for_is_mapped_so_that_it_can_be_counted() -> None:
    server = Server(product="opensearch", version=(3, 3))
    body = template(server, "events", "eventer", {}, stream=False)
    mapped: dict[str, Any] = body["template"]["mappings"]["properties"]
    asked = [(panel.title, agg["params"]["field"]) for panel in panels() for agg in panel.aggs]
    assert len(asked) > 10
    assert [item for item in asked if mapped[item[1]]["type"] == "text"] == []
    for item in saved_objects():
        columns = item["attributes"].get("columns", [])
        assert set(columns) <= set(mapped)


def test_panels_do_not_overlap() -> None:
    (dashboard,) = [item for item in saved_objects() if item["type"] == "dashboard"]
    places = [panel["gridData"] for panel in msgspec.json.decode(dashboard["attributes"]["panelsJSON"])]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 48
