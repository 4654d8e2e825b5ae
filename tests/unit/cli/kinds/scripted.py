"""A sink that does what its options say, as a third party's may."""

import asyncio

from eventer.errors import Blocked, Rejected, Retry
from eventer.sink import Sent, SinkConfig

ERRORS = {
    "retry": Retry("The connection was refused.", reason="connect"),
    "blocked": Blocked("The token is not accepted.", reason="denied", answer="token=s3cr3tword bad\x1b"),
    "rejected": Rejected("The body is no JSON.", reason="body"),
    "timeout": TimeoutError(),
    "broken": KeyError("a secret"),
}
SENT = []
CALLS = []


class Config(SinkConfig, kw_only=True):
    opening: str = ""
    sending: str = ""
    item: str = ""


class Sink:
    def __init__(self, config, context):
        self.config = config

    async def open(self, state):
        CALLS.append(("open", state))
        await self._do(self.config.opening)

    async def send(self, batch):
        CALLS.append(("send", len(batch)))
        await self._do(self.config.sending)
        SENT.extend(batch.events)
        return Sent(failed={0: ERRORS[self.config.item]} if self.config.item else {})

    async def close(self):
        CALLS.append(("close", None))

    async def _do(self, what):
        if what == "hang":
            await asyncio.Event().wait()
        if what:
            raise ERRORS[what]
