"""Plays a workflow of Microsoft Teams that posts what comes to its webhook; none can be had for a test.

TM1  https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using,
     and, for its limits, .../how-to/add-incoming-webhook
TM2  https://learn.microsoft.com/adaptive-cards/schema-explorer/text-run (and its neighbours)
TM3  https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format
TM4  answers of real workflows, as users report them; no page of the vendor lists them
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from aiohttp import web

__all__ = ["REFUSALS", "answer"]

REFUSALS = {
    "WorkflowTriggerIsNotEnabled": (400, "Could not execute workflow trigger 'manual' with state 'Disabled'."),
    "WorkflowNotFound": (404, "The workflow could not be found."),
    "DirectApiAuthorizationRequired": (401, "The request must be authenticated only by Shared Access scheme."),
    "TriggerInputSchemaMismatch": (400, "The input body for trigger 'manual' did not match its schema definition."),
}
"""TM4: by `error.code`."""
_KNOWN = {"TextBlock", "RichTextBlock", "TextRun", "Container", "ActionSet", "Action.OpenUrl", "AdaptiveCard"}
"""TM2: what version 1.4 has, as far as it is used."""


def answer(body: bytes, *, stopped: bool, rate: int) -> tuple[web.Response, dict[str, Any] | None, list[str]]:
    """Return the answer to a request, and what people see: the message, and who is told of it.

    Args:
        body: of the request.
        stopped: whether somebody has switched the workflow off.
        rate: requests in the last second.
    """
    if stopped:
        return refusal("WorkflowTriggerIsNotEnabled"), None, []
    if len(body) > 28_000:
        return web.Response(status=413, text="Message size too large"), None, []  # TM1
    if rate >= 4:
        return web.Response(status=429, headers={"Retry-After": "7"}), None, []  # TM1: four requests a second
    message = json.loads(body)
    attachments = message.get("attachments")
    if message.get("type") != "message" or not isinstance(attachments, list):
        return refusal("TriggerInputSchemaMismatch"), None, []  # TM1
    for attachment in attachments:
        card = attachment["content"]
        assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"  # TM1
        assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
        kinds = {node["type"] for node in nodes(card) if "type" in node} - {"mention"}
        assert kinds <= _KNOWN, f"nobody shows {kinds - _KNOWN}"
        assert all(node["text"] for node in nodes(card) if node.get("type") == "TextRun")
    return web.Response(status=202), message, [name for each in attachments for name in mentioned(each["content"])]


def refusal(code: str) -> web.Response:
    """Return what a workflow answers that does not begin: TM4."""
    status, said = REFUSALS[code]
    return web.json_response({"error": {"code": code, "message": said}}, status=status)


def mentioned(card: dict[str, Any]) -> list[str]:
    """Return who is told: TM3, whoever has an entity whose text stands in a TextBlock."""
    texts = [node["text"] for node in nodes(card) if node.get("type") == "TextBlock"]
    tags = {tag for text in texts for tag in re.findall(r"<at>[^<>]*</at>", text)}
    return [each["mentioned"]["id"] for each in card.get("msteams", {}).get("entities", ()) if each["text"] in tags]


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(value)
