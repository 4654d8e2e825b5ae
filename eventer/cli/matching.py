"""Rules on the command line, in the language of `filter` and `match`."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, Final

from eventer.catalog import Catalog
from eventer.config.words import similar
from eventer.match import FIELDS, Rule, RuleFault
from eventer.text import escape

__all__ = ["add_match_option", "fields_of", "rules_of"]

_NEXT: Final = re.compile(r",(?=[A-Za-z_]+(?:\.[^=,]*)?=)")
"""The comma between two fields; one within a text is not followed by a name and `=`."""


def add_match_option(parser: argparse.ArgumentParser) -> None:
    """Add `--match RULE`, which may be given several times."""
    parser.add_argument(
        "--match",
        action="append",
        default=[],
        metavar="RULE",
        help="only events that a rule matches: FIELD=VALUE,... or as in the configuration, "
        "'{type: Warning, reason: [BackOff, Failed]}'; several: any of them",
    )


def rules_of(args: argparse.Namespace) -> list[Rule]:
    """Return the rules of `--match`.

    Raises:
        ValueError: one cannot be used; the message says what to write.
    """
    rules = [_rule(text) for text in args.match]
    if not any(rule.meant for rule in rules):
        return rules
    catalog = _catalog(args)
    return [rule.by(catalog) for rule in rules]


def _catalog(args: argparse.Namespace) -> Catalog:
    """Return the catalog of the configuration; the one that comes with Eventer where there is none."""
    from eventer.config.load import examine  # costs as much as the command itself

    if not args.config.exists():
        return Catalog()
    config = examine(args.config, os.environ).config
    if config is None:
        print(
            f"{escape(str(args.config))} has faults: severity and family are told without its catalog", file=sys.stderr
        )
    return Catalog(None if config is None else config.catalog)


def _rule(text: str) -> Rule:
    try:
        return Rule.parse(_mapping(text) if text.lstrip().startswith("{") else fields_of(text))
    except RuleFault as error:
        _, message, remedy = error.faults[0]
        raise ValueError(f"--match: {message}; {remedy}") from None
    except ValueError as error:
        raise ValueError(f"--match: {error}") from None


def _mapping(text: str) -> Mapping[str, Any]:
    import yaml

    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        value = None
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError("this is no rule; write for example {type: Warning, reason: [BackOff, Failed]}")
    return value


def fields_of(text: str) -> dict[str, Any]:
    """Read `FIELD=TEXT,FIELD=TEXT`; `labels.NAME=TEXT` for a label.

    Raises:
        ValueError: it names no field, or an unknown one.
    """
    values: dict[str, Any] = {}
    for item in _NEXT.split(text):
        field, equals, value = item.partition("=")
        if field.startswith("labels.") and equals:
            values.setdefault("labels", {})[field.removeprefix("labels.")] = value
        elif field in FIELDS and field != "labels" and equals:
            values[field] = value
        else:
            close = similar(field, FIELDS)
            remedy = f"did you mean {close}?" if close else f"write FIELD=TEXT with {', '.join(FIELDS[:-1])}"
            raise ValueError(f"{field[:60]!r} is no field; {remedy}")
    return values
