"""Servers that play Alertmanager and PagerDuty: their documented answers, checks and merging.

AM1  https://prometheus.io/docs/alerting/latest/alerts_api/
AM2  https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
AM3  https://github.com/prometheus/alertmanager/blob/main/api/v2/api.go (postAlertsHandler)
PD1  https://developer.pagerduty.com/docs/events-api-v2-overview
PD2  https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
PD3  https://support.pagerduty.com/main/docs/event-management (what becomes of an alert with the same key)
"""

from __future__ import annotations

import abc
import json
import re
from collections import deque
from datetime import datetime
from typing import Any

from aiohttp import web

from tests.helpers.appserver import AppServer

__all__ = ["FakeAlertmanager", "FakePagerDuty", "Server"]


class Server(AppServer):
    """What `script` holds is answered first, and then keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.script: deque[web.Response] = deque()
        self.bodies: list[Any] = []
        """Of all requests that carried one, decoded."""
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return self.base

    def route(self, router: web.UrlDispatcher) -> None:
        router.add_route("*", "/{path:.*}", self._serve)

    async def _serve(self, request: web.Request) -> web.Response:
        text = await request.text()
        self.came.set()
        self.headers.append(dict(request.headers))
        await self.answering.wait()
        body = json.loads(text) if text else None
        if body is not None:
            self.bodies.append(body)
        if self.script:
            return self.script.popleft()
        return self.answer(request, body, len(text.encode()))

    @abc.abstractmethod
    def answer(self, request: web.Request, body: Any, size: int) -> web.Response:
        """Answer by the rules."""


class FakeAlertmanager(Server):
    """One replica. It keeps alerts by their labels, and forgets them when asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
        self.refused = ""
        """A value of a label that it does not take, as if it were not UTF-8."""

    def answer(self, request: web.Request, body: Any, size: int) -> web.Response:
        if (request.method, request.path) == ("GET", "/api/v2/status"):
            return web.json_response({"cluster": {"status": "ready"}, "versionInfo": {"version": "0.27.0"}})
        if (request.method, request.path) != ("POST", "/api/v2/alerts"):
            return web.json_response({"code": 404, "message": f"path {request.path} was not found"}, status=404)
        if request.content_type != "application/json":
            return web.json_response({"code": 415, "message": "unsupported media type"}, status=415)  # AM2
        if not isinstance(body, list):
            return web.json_response({"code": 400, "message": "parsing alerts body failed"}, status=400)
        wrong = []
        for alert in body:  # AM3: the valid ones are taken, whatever the others are
            labels = {name: value for name, value in alert["labels"].items() if value}
            fault = self._fault(labels, alert)
            if fault:
                wrong.append(fault)
                continue
            key = tuple(sorted(labels.items()))
            old = self.alerts.get(key)
            if old is not None and old["startsAt"] < alert["startsAt"] < old["endsAt"]:
                alert |= {"startsAt": old["startsAt"]}
            self.alerts[key] = alert | {"labels": labels}
        return web.json_response("; ".join(wrong), status=400) if wrong else web.Response()

    def _fault(self, labels: dict[str, str], alert: dict[str, Any]) -> str:
        names = [*labels, *alert["annotations"]]
        if not labels:
            return "at least one label pair required"
        if bad := [name for name in names if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name)]:
            return f"invalid label set: invalid name {bad[0]!r}"
        if self.refused and self.refused in labels.values():
            return f"invalid label set: invalid value {self.refused!r}"
        begins, ends = (datetime.fromisoformat(alert[name]) for name in ("startsAt", "endsAt"))  # AM1: RFC 3339
        return "start time must be before end time" if ends < begins else ""

    def going(self, now: float) -> list[dict[str, str]]:
        """Return the labels of the alerts that fire at a time."""
        return [
            alert["labels"]
            for alert in self.alerts.values()
            if datetime.fromisoformat(alert["endsAt"]).timestamp() > now
        ]


class FakePagerDuty(Server):
    """One service with one integration key."""

    def __init__(self, key: str = "R" * 32) -> None:
        super().__init__()
        self.key = key
        self.incidents: dict[str, dict[str, Any]] = {}
        """What is open, by `dedup_key`: the last event of each."""
        self.calls: list[str] = []
        """Keys for which somebody was called."""
        self.resolved: list[str] = []

    def answer(self, request: web.Request, body: Any, size: int) -> web.Response:
        if (request.method, request.path) != ("POST", "/v2/enqueue"):
            return web.Response(status=404)
        if size > 512_000:  # PD2
            return web.Response(status=413)
        errors = [] if isinstance(body, dict) else ["not an object"]
        errors = errors or self._errors(body)
        if errors:  # PD1
            said = {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
            return web.json_response(said, status=400)
        key = body["dedup_key"]
        if body["event_action"] == "resolve":
            if self.incidents.pop(key, None) is not None:
                self.resolved.append(key)
        else:
            if key not in self.incidents:  # PD3: to what is open, nobody is called again
                self.calls.append(key)
            self.incidents[key] = body
        said = {"status": "success", "message": "Event processed", "dedup_key": key}
        return web.json_response(said, status=202)

    def _errors(self, body: dict[str, Any]) -> list[str]:
        if len(body.get("routing_key", "")) != 32:
            return ["Length of 'routing_key' is incorrect (should be 32 characters)"]
        if body["routing_key"] != self.key:
            return ["Invalid routing key"]
        errors = []
        if body.get("event_action") not in {"trigger", "acknowledge", "resolve"}:
            errors.append("'event_action' is missing or invalid")
        if not 0 < len(body.get("dedup_key", "")) <= 255:
            errors.append("'dedup_key' is missing or too long")
        if body.get("event_action") == "trigger":
            payload = body.get("payload", {})
            if not 0 < len(payload.get("summary", "")) <= 1024:
                errors.append("'payload.summary' is missing or too long")
            if not payload.get("source"):
                errors.append("'payload.source' is missing or blank")
            if payload.get("severity") not in {"critical", "error", "warning", "info"}:
                errors.append("'payload.severity' is invalid")
            if not isinstance(payload.get("custom_details", {}), dict):
                errors.append("'payload.custom_details' is invalid")
            errors += [f"'links' is invalid: {link}" for link in body.get("links", []) if "href" not in link]
        return errors
