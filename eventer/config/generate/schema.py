"""The JSON schema (draft 7, which editors know best) of a configuration file."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import inspect

from eventer.config.generate.options import Option, options, sample_kinds, yaml_value
from eventer.config.leaves import choices, is_secret
from eventer.config.types import Config
from eventer.config.words import alternatives, describe, unwrap
from eventer.match import FIELDS, LOOKED, Rule
from eventer.sink import SinkConfig, load
from eventer.values import Duration, Secret, Size

__all__ = ["schema"]

Schema = dict[str, Any]

_VARIABLE: Final[Schema] = {"$ref": "#/definitions/variable"}
_TEST: Final[Schema] = {"$ref": "#/definitions/test"}
_DURATION: Final = r"^(\d+(\.\d+)?(ms|s|m|h|d))+$|\$\{"
_SIZE: Final = r"^\d+(\.\d+)?\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)?$|\$\{"
_SINK_NAME: Final = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"


def schema() -> Schema:
    """Return the schema of a whole file, with the sinks that Eventer brings."""
    kinds = sample_kinds()
    definitions: Schema = {
        "variable": {"type": "string", "pattern": r"\$\{", "description": "A variable: ${NAME}."},
        "test": {
            "description": "A word, a list of words, a /regular expression/; each may begin with ! for not.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
        },
        "rule": {
            "type": "object",
            "description": "Fields of an event and what they must be; all of them must hold.",
            "additionalProperties": False,
            "properties": {
                field: {"type": "object", "additionalProperties": _TEST} if field.endswith("labels") else _TEST
                for field in (*FIELDS, *LOOKED)
            },
        },
        "sink": {
            "type": "object",
            "required": ["kind"],
            "properties": {"kind": {"enum": kinds, "description": "Which sink."}},
            "allOf": [
                {
                    "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                    "then": {"$ref": f"#/definitions/sink-{kind}"},
                }
                for kind in kinds
            ],
        },
    }
    for kind in kinds:
        definition = _struct(load(kind).Config)
        definition["properties"]["kind"] = {
            "const": kind,
            "description": definition["properties"]["kind"]["description"],
        }
        definitions[f"sink-{kind}"] = definition
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Configuration of Eventer",
        **_struct(Config),
        "definitions": definitions,
    }


def _struct(cls: type[msgspec.Struct]) -> Schema:
    properties: Schema = {}
    required: list[str] = []
    pairs: list[Schema] = []
    listed = options(cls)
    names = {option.name for option in listed}
    for option in listed:
        properties[option.name] = _option(option)
        file = f"{option.name}_file"
        if option.secret and file not in names:
            description = f"File that holds `{option.name}`; read again at each use."
            properties[file] = {"type": "string", "description": description}
            both = [{"required": [option.name]}, {"required": [file]}]
            pairs.append({"oneOf": both} if option.required else {"not": {"required": [option.name, file]}})
        elif option.required:
            required.append(option.name)
    result: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    if required:
        result["required"] = required
    if pairs:
        result["allOf"] = pairs
    return result


def _option(option: Option) -> Schema:
    result = _type(option.kind)
    container = isinstance(option.kind, inspect.StructType | inspect.DictType | inspect.CollectionType)
    if container and not option.required and result.get("type") in ("object", "array"):
        result["type"] = [result["type"], "null"]  # a section without content counts as left out
    if "$ref" in result:
        result = {"allOf": [result]}  # draft 7 ignores everything beside $ref
    result["description"] = option.doc
    if not option.required and option.default is not None:
        result["default"] = msgspec.yaml.decode(yaml_value(option.default))
    return result


def _type(kind: inspect.Type) -> Schema:
    kind = unwrap(kind)
    match kind:
        case inspect.StructType(cls) if cls is Rule:
            return {"$ref": "#/definitions/rule"}
        case inspect.StructType(cls) if cls is SinkConfig:
            return {"$ref": "#/definitions/sink"}
        case inspect.CustomType(cls) if cls is Duration:
            return {"type": "string", "pattern": _DURATION}
        case inspect.CustomType(cls) if cls is Size:
            return {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": _SIZE}]}
        case inspect.CustomType(cls) if cls is Secret:
            return {"type": "string", "minLength": 1, "writeOnly": True}
        case inspect.CustomType(cls) | inspect.StructType(cls) if hasattr(cls, "parse"):
            return {"type": "string", "title": describe(kind)}
        case inspect.StructType(cls):
            return _struct(cls)
        case inspect.DictType():
            result: Schema = {"type": "object", "additionalProperties": _type(kind.value_type)}
            if isinstance(unwrap(kind.value_type), inspect.StructType):
                result["propertyNames"] = {"pattern": _SINK_NAME}
            return result | _bounds("Properties", kind.min_length, kind.max_length)
        case inspect.CollectionType():
            bounds = _bounds("Items", kind.min_length, kind.max_length)
            return {"type": "array", "items": _type(kind.item_type)} | bounds
        case inspect.UnionType():
            return _union(kind)
        case inspect.LiteralType() | inspect.EnumType():
            return {"anyOf": [{"enum": choices(kind)}, _VARIABLE]}
        case inspect.BoolType():
            return {"anyOf": [{"type": "boolean"}, _VARIABLE]}
        case inspect.IntType() | inspect.FloatType():
            return {"anyOf": [_number(kind), _VARIABLE]}
        case inspect.StrType(low, high, pattern):
            result = {"type": "string"} | _bounds("Length", low, high)
            return result | ({"pattern": pattern} if pattern else {})
        case inspect.AnyType():
            return {}
        case _:
            raise TypeError(f"an option cannot be of the type {kind}")


def _union(kind: inspect.UnionType) -> Schema:
    members = [_type(member) for member in alternatives(kind)]
    if len(members) == 1 and is_secret(kind):
        return members[0]  # null would be a secret that was forgotten
    if len(members) < len(kind.types):
        members.append({"type": "null"})
    return members[0] if len(members) == 1 else {"anyOf": members}


def _number(kind: inspect.IntType | inspect.FloatType) -> Schema:
    names = {
        "minimum": kind.ge,
        "exclusiveMinimum": kind.gt,
        "maximum": kind.le,
        "exclusiveMaximum": kind.lt,
        "multipleOf": kind.multiple_of,
    }
    bounds = {name: value for name, value in names.items() if value is not None}
    return {"type": "integer" if isinstance(kind, inspect.IntType) else "number"} | bounds


def _bounds(noun: str, low: int | None, high: int | None) -> Schema:
    bounds = {f"min{noun}": low, f"max{noun}": high}
    return {name: value for name, value in bounds.items() if value is not None}
