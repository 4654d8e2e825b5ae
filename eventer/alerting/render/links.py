"""Links in messages, made by templates of the user: to a console, to logs, to a dashboard.

What stands in an event can only ever fill a place within a link. The host is written out in the template, what is
filled in is percent-encoded first, and so is the result: no event decides where a link leads, or ends it early.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

import msgspec

from eventer.event import Event
from eventer.template import Template

__all__ = ["LINK", "LinkTemplate"]

LINK: Final = "%:/?#@!$&+,;=~-._"
"""What may stand in a link as it is, beside letters and digits: nothing that ends one in any dialect."""
_HOST: Final = re.compile(r"https?://[^\s{}/?#@\\]+(?:[/?#]|$)")
_LONGEST: Final = 2048
"""Bytes of one link; what browsers and robots are sure to take."""
_FIELDS: Final = (
    *("cluster", "type", "reason", "message", "kind", "namespace", "name", "component", "instance", "node", "uid"),
    *("api_version", "field_path", "event", "condition", "status", "cause", "object", "problem", "entity", "id"),
)
"""Fields of an event that hold text."""


class LinkTemplate:
    """One link. The template sees the variable `event`; its fields are percent-encoded already.

    Raises:
        ValueError: it cannot be compiled, or its beginning is no address; the message says what to do.
    """

    def __init__(self, text: str) -> None:
        if not _HOST.match(text):
            raise ValueError(
                "a link begins with a host that is written out, so that no event can choose it; write for example "
                "https://grafana.example/d/pods?var-pod={{ event.name }}"
            )
        self._template = Template(text, check=_as_link, limit=_LONGEST)

    def of(self, event: Event) -> str:
        """Return the link for one event; it holds no blank, quote, bracket or anything else that could end it.

        Raises:
            ValueError: the template fails on this event, or the link is too long.
        """
        encoded = {name: quote(getattr(event, name), safe="") for name in _FIELDS}
        labels = {name: quote(value, safe="") for name, value in event.labels.items()}
        return self._template.render(msgspec.structs.replace(event, labels=labels, **encoded))


def _as_link(text: str) -> str:
    return quote(text.strip(), safe=LINK)
