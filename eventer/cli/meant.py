"""What the catalog says of an event, for whoever asks `explain`: how bad it is, what it means, where to look."""

# Chinese has colons and brackets of its own.
# ruff: noqa: RUF001

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from eventer.catalog import OTHER, Catalog, Language, advice
from eventer.cli.colour import GREEN, RED, YELLOW, Paint
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
    },
    "zh": {
        "over": "（已恢复）",
        "causes": "可能原因：",
        "remedy": "处理建议：",
        "command": "排查命令：",
        "runbook": "参考文档：",
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
    return [
        f"  {paint(_COLOURS[severity], severity)}, {escape(family)}{title}{over}",
        *([f"  {escape(said.means)}"] if said.means else []),
        *(f"  {labels[name]}{escape(text)}" for name, text in written.items() if text),
    ]


def as_json(event: Event, catalog: Catalog, language: Language) -> dict[str, Any]:
    """Return the same for programs, without severity and family; what is not known is empty."""
    return {"language": language, **msgspec.structs.asdict(advice(catalog.of(event), event, language))}
