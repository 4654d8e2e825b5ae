"""The last lines that a container wrote, for events that tell of its end.

They are asked for by the pod's name, so the pod is looked at again after them: if it still has the uid of the
event, they are its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec
import structlog

from eventer.about import Enriched
from eventer.clock import Clock
from eventer.enrich.cache import Cache, Entry
from eventer.enrich.requests import Requests, Unwanted, state_of
from eventer.enrich.shapes import METADATA, Object
from eventer.errors import Refused, SourceError
from eventer.patterns import TEXT_CAP
from eventer.text import valid

__all__ = ["RESOURCE", "LogRef", "Logs"]

KEPT: Final = 30.0
"""Seconds for which what a container wrote last is kept: it is looked up once for a burst of events."""
AGAIN: Final = 10.0
READ: Final = 64 << 10
"""Bytes that are kept of the lines while they are read: their end."""
CACHED: Final = 500
ACCEPT: Final = "application/json, */*"
"""The answer is plain text, or a Status in JSON; who asks for plain text alone is refused with 406."""
RESOURCE: Final = "pods/log"
"""As roles name it."""

log = structlog.get_logger()


class LogRef(NamedTuple):
    """One container."""

    namespace: str
    pod: str
    uid: str
    container: str
    """Empty for the only one."""


class Logs:
    """Logs of one cluster.

    Args:
        clean: takes out of a text what must not leave the cluster.
        limits: tells how many lines, and how many bytes of them, are kept.
        cluster: for the log.
    """

    def __init__(
        self,
        requests: Requests,
        clock: Clock,
        clean: Callable[[str], str],
        limits: Callable[[], tuple[int, int]],
        cluster: str,
    ) -> None:
        self._requests = requests
        self._clean = clean
        self._limits = limits
        self._cluster = cluster
        self.forbidden = False
        """Whether logs may not be read, as the last look-up has shown."""
        self.cache: Cache[LogRef, str] = Cache(self._load, CACHED, clock)

    async def _load(self, ref: LogRef, wanted: Callable[[], bool]) -> Entry[str]:
        lines, size = self._limits()
        path = f"/api/v1/namespaces/{quote(ref.namespace)}/pods/{quote(ref.pod)}"
        # Without limitBytes: of the last lines that would give the first bytes, and the panic is in the last ones
        # (https://github.com/kubernetes/kubernetes, pkg/kubelet/kuberuntime/logs).
        params = {"tailLines": str(lines)}
        if ref.container:
            params["container"] = ref.container
        try:
            body, cut = await self._read(f"{path}/log", wanted, params)
            pod = msgspec.json.decode(await self._requests.get("", path, METADATA, wanted), type=Object)
        except Unwanted:
            return Entry(None, Enriched.LATE, 0.0)
        except Refused as error:
            # 400: the container has not run yet, or its log is gone.
            return Entry(None, Enriched.GONE if error.status == 400 else state_of(error), AGAIN)
        except SourceError as error:
            return Entry(None, state_of(error), AGAIN)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return Entry(None, Enriched.FAILED, AGAIN)
        if pod.metadata.uid != ref.uid:
            return Entry(None, Enriched.GONE, AGAIN)
        if cut:
            body = body[body.find(b"\n", 0, -1) + 1 :]  # half a line is none; `_cut` sees to a single one
        # Redacted before it is cut: half a token would not be known for one.
        return Entry(self._cut(body.decode("utf-8", "replace"), size), Enriched.OK, KEPT)

    async def _read(self, path: str, wanted: Callable[[], bool], params: dict[str, str]) -> tuple[bytes, bool]:
        try:
            read = await self._requests.end_of(path, ACCEPT, wanted, params, READ)
        except Refused as error:
            forbidden = state_of(error) is Enriched.FORBIDDEN
            if forbidden and not self.forbidden:
                log.warning("look-up forbidden", cluster=self._cluster, resource=RESOURCE, error=str(error))
            self.forbidden = forbidden
            raise
        self.forbidden = False
        return read

    def _cut(self, text: str, size: int) -> str:
        """Clean the text in pieces that a regular expression may be given, and keep the end of it."""
        kept: list[str] = []
        left = size
        for line in reversed(text.splitlines()):
            # What a cut has left of the first word may be half of what should be taken out.
            cleaned = valid(self._clean(line if len(line) <= TEXT_CAP else line[-TEXT_CAP:].partition(" ")[2]))
            left -= len(cleaned.encode()) + 1
            if left < 0 and kept:
                break
            kept.append(cleaned if left >= 0 else cleaned.encode()[-size:].decode("utf-8", "ignore"))
        return "\n".join(reversed(kept))
