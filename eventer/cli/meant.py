"""What the catalog says of an event, for whoever asks `explain`: how bad it is, what it means, where to look."""

# Chinese has colons and brackets of its own.
# ruff: noqa: RUF001

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from eventer.catalog import OTHER, Catalog, Language, advice
from eventer.cli.colour import GREEN, RED, YELLOW, Paint
from eventer.config.words import one_of
from eventer.event import Event
from eventer.text import escape

__all__ = ["as_json", "lines"]

_COLOURS: Final = {"critical": RED, "warning": YELLOW, "info": GREEN}
_LABELS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "over": " (over)",
        "causes": "likely:  ",
        "remedy": "first:   ",
        "command": "command: ",
        "runbook": "more:    ",
        "doubt": "This reason has several uses, of which this is the first; {fields} would tell.",
    },
    "zh": {
        "over": "（已恢复）",
        "causes": "可能原因：",
        "remedy": "处理建议：",
        "command": "排查命令：",
        "runbook": "参考文档：",
        "doubt": "该原因有多种含义，此处为第一种；补充 {fields} 可以区分。",
    },
}


def lines(event: Event, catalog: Catalog, language: Language, paint: Paint) -> list[str]:
    """Write for people what the catalog says of an event."""
    labels = _LABELS[language]
    severity, family = catalog.meaning(event)
    titles = None if family == OTHER else catalog.family(family)
    title = "" if titles is None else f": {titles.zh if language == 'zh' else titles.en}"
    over = labels["over"] if event.state == "resolved" else ""
    said = advice(catalog.of(event), event, language)
    written = {
        "causes": ("; " if language == "en" else "；").join(said.causes),
        "remedy": said.remedy,
        "command": said.command,
        "runbook": said.runbook,
    }
    missing = catalog.open_to(event)
    fields = one_of(missing) if language == "en" else "、".join(missing)
    doubt = labels["doubt"].format(fields=fields) if missing else ""
    return [
        f"  {paint(_COLOURS[severity], severity)}, {escape(family)}{title}{over}",
        *([f"  {escape(said.means)}"] if said.means else []),
        *(f"  {labels[name]}{escape(text)}" for name, text in written.items() if text),
        *([f"  {doubt}"] if doubt else []),
    ]


def as_json(event: Event, catalog: Catalog, language: Language) -> dict[str, Any]:
    """Return the same for programs, without severity and family; what is not known is empty.

    `open_to` are the fields that would tell which of several uses of the reason is meant.
    """
    known = msgspec.structs.asdict(advice(catalog.of(event), event, language))
    return {"language": language, **known, "open_to": catalog.open_to(event)}
