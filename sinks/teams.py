"""`kind: teams`: notifications into a channel or chat of Microsoft Teams, by a workflow with a webhook.

A workflow answers 202 as soon as it has begun; whether the card is posted is seen in its runs only. The connectors of
Office 365 that it takes the place of are gone. It takes four requests a second, and answers 429 to more
(https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook); what it takes
a day depends on its owner's plan (https://learn.microsoft.com/power-automate/limits-and-config). What is wrong stands
in `error.code` of an answer, in words that no page of the vendor lists; those here were seen by others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from eventer.alerting.notification import Notification
from eventer.alerting.render.teams import KEPT, LEAST, payload, plain
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.sink import Sent, SinkContext
from eventer.values import Rate
from sinks._answers import Answer
from sinks._chat import ChatConfig, Robot, check_users

__all__ = ["Config", "Sink", "outcome"]

_USER: Final = re.compile(r"[\w.+-]{1,64}@[\w.-]{1,64}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)
_ANEW: Final = "The workflow is gone. Make a new one in Teams, and write its address."
_TEMPLATE: Final = "Take one made from the template that posts when a webhook request is received."
_COPY: Final = "The address is not complete, or is another one's. Copy it from the workflow anew."
_BLOCKED: Final = {
    "WorkflowTriggerIsNotEnabled": (
        "stopped",
        "The workflow is switched off or deleted. Switch it on in Power Automate, or make a new one.",
    ),
    "WorkflowNotFound": ("address", _ANEW),
    "WorkflowTriggerNotFound": ("address", _ANEW),
    "TriggerInputSchemaMismatch": ("workflow", f"The workflow wants another body. {_TEMPLATE}"),
    "DirectApiAuthorizationRequired": ("token", _COPY),
    "AuthorizationFailed": ("token", _COPY),
    "DirectApiInvalidAuthorizationScheme": (
        "token",
        "The workflow lets only people of the tenant begin it. Let anyone begin it, or take another one.",
    ),
}


class Config(ChatConfig, kw_only=True):
    """Options of `kind: teams`."""

    def __post_init__(self) -> None:
        """Check whom to mention. Without `limit`, it is what people bear; a workflow takes more.

        Raises:
            ValueError: with the remedy.
        """
        super().__post_init__()
        if any(each.mobiles or each.all for each in self.mention):
            raise ValueError("mention: Teams mentions people only, by their sign-in name; write users: [...]")
        check_users(
            self.mention,
            _USER,
            "is no user; write the sign-in name, such as ann@example.com, or the object id of Entra",
        )
        if self.limit is None:
            self.limit = Rate(count=20, unit="m")


def outcome(status: int, body: bytes, shown: str = "") -> SinkError | None:
    """Return what an answer means: None if the card was taken.

    Args:
        status: 2xx, or one whose body says more.
        body: of the answer.
        shown: the answer as it may be kept, without secrets.
    """
    if status == 202:
        return None
    message = f"The workflow answered {status}."
    if status < 300:  # a gateway, a page to log in, a workflow that does something else
        said = f"{message} It would be 202 if a card was to be posted. {_TEMPLATE}"
        return Retry(said, reason="answer", answer=shown, unknown=True)
    reason, remedy = _BLOCKED.get(_code(body), ("address", f"{_COPY} Look whether it is switched on."))
    return Blocked(f"{message} {remedy}", reason=reason, answer=shown)


def _code(body: bytes) -> str:
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    error = answer.get("error") if isinstance(answer, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else ""


class Sink(Robot):
    """See `eventer.sink.Sink`."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        super().__init__(config, context, plain)
        self._most = KEPT
        """Bytes of a card at most; fewer after one that was too large, until the shorter one has come to its end: where
        the time is over before that, the next try need not begin with the long one."""
        self._size = 0
        """Bytes of the last request."""

    async def _tell(self, note: Notification) -> Sent:
        """Send one card; half as long, where the first was too large.

        Raises:
            Retry, Rejected, Blocked: see `sinks._http` and `outcome`.
        """
        while True:
            try:
                sent = await super()._tell(note)
            except Rejected as error:
                shorter, self._most = self._most == KEPT and error.reason == "too_large", KEPT
                if not shorter:
                    raise
                self._most = max(LEAST, self._size // 2)
            else:
                self._most = KEPT
                return sent

    _expected = (400, 401, 403, 404, 410)

    def _made(self, note: Notification) -> Mapping[str, Any]:
        made = payload(note, self._view, self._most)
        self._size = len(msgspec.json.encode(made))
        return made

    def _outcome(self, answer: Answer) -> SinkError | None:
        return outcome(answer.status, answer.body, answer.shown())
