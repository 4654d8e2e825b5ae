"""The schema and the table of the chart's values are what values.yaml and the types say."""

from pathlib import Path

import pytest

from eventer.config.generate.chart import values, values_schema, values_table
from eventer.config.generate.options import sample_kinds
from eventer.config.generate.schema import schema
from eventer.errors import EventerError

CHART = Path(__file__).parents[3] / "charts/eventer/values.yaml"


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "values.yaml"
        path.write_text(text)
        return path

    return write


def test_a_value_without_a_description_is_named(file):
    with pytest.raises(EventerError, match=r"volume\.size has no description"):
        values(file("volume:\n  # -- Which.\n  type: pvc\n  # not a description\n  size: 1Gi\n"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EventerError, match=r"values\.yaml is missing"):
        values(tmp_path / "values.yaml")


def test_a_description_may_have_several_lines_and_ends_at_an_empty_one(file):
    (value,) = values(file("# a head\n\n# -- First,\n# second.\n# @schema {enum: [a, b]}\nname: a\n"))
    assert (value.doc, value.more, value.default) == ("First, second.", {"enum": ["a", "b"]}, "a")


CONFIG = "# -- The configuration.\nconfig:\n  # -- Where to.\n  sinks: {}\n"


def test_types_come_from_defaults_and_more_from_the_comment(file):
    text = CONFIG + "# -- How many.\n# @schema {minimum: 1}\ncount: 3\n# -- Free.\nresources: {limits: {cpu: 1}}\n"
    properties = values_schema(file(text))["properties"]
    assert properties["count"] == {"type": "integer", "minimum": 1, "description": "How many.", "default": 3}
    assert properties["resources"] == {
        "type": "object",
        "description": "Free.",
        "default": {"limits": {"cpu": 1}},
    }


def test_groups_take_nothing_else(file):
    found = values_schema(file(CONFIG + "group:\n  # -- One.\n  one: true\n"))
    assert found["additionalProperties"] is False
    assert found["properties"]["group"]["additionalProperties"] is False
    assert found["properties"]["group"]["properties"]["one"]["type"] == "boolean"


def test_the_configuration_is_the_daemons_but_for_sinks_which_the_chart_may_bring():
    config = values_schema(CHART)["properties"]["config"]
    daemon = schema()
    assert set(config["properties"]) == set(daemon["properties"])
    assert config["required"] == ["sources"]
    assert "minProperties" not in config["properties"]["sinks"]
    assert config["properties"]["filter"] == daemon["properties"]["filter"]


def test_kinds_of_sinks_are_only_looked_at_without_custom_sinks():
    found = values_schema(CHART)
    assert "kind" not in found["definitions"]["sink"]["properties"]
    assert found["if"] == {"properties": {"customSinks": {"const": True}}, "required": ["customSinks"]}
    sinks = found["else"]["properties"]["config"]["properties"]["sinks"]
    assert sinks["additionalProperties"]["properties"]["kind"]["enum"] == sample_kinds()


def test_every_secret_must_be_a_variable():
    def secrets(part):
        if isinstance(part, dict):
            yield from [part] if part.get("writeOnly") else []
            part = list(part.values())
        for item in part if isinstance(part, list) else ():
            yield from secrets(item)

    found = list(secrets(values_schema(CHART)))
    assert len(found) == len(list(secrets(schema()))) > 0
    assert all(item["if"] == {"pattern": r"\$\{"} and item["else"] == {"const": "${NAME}"} for item in found)


def test_the_table_has_a_row_for_every_value_and_its_group_if_that_says_something(file):
    table = values_table(file(CONFIG + "group:\n  # -- One | two.\n  one: true\n"))
    assert table.splitlines()[:5] == [
        "| value | default | meaning |",
        "|---|---|---|",
        "| `config` |  | The configuration. |",
        "| `config.sinks` | `{}` | Where to. |",
        "| `group.one` | `true` | One \\| two. |",
    ]
