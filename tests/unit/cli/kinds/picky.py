"""A sink that refuses events whose message begins with `bad`, until it is mended; or is down."""

from eventer.errors import Rejected, Retry
from eventer.sink import Sent, SinkConfig

ARRIVED: list[str] = []
TRIES: list[int] = []
WORLD = {"mended": False, "down": False}


class Config(SinkConfig, kw_only=True):
    pass


class Sink:
    def __init__(self, config, context):
        pass

    async def open(self, state):
        return None

    async def send(self, batch):
        TRIES.append(len(batch))
        if WORLD["down"]:
            raise Retry("The connection was refused.", reason="connect")
        error = Rejected("It is refused.", reason="mapping", answer="no \x1b[31m mapping")
        failed = {
            i: error for i, event in enumerate(batch.events) if event.message.startswith("bad") and not WORLD["mended"]
        }
        ARRIVED.extend(event.event.partition("/")[2] for i, event in enumerate(batch.events) if i not in failed)
        return Sent(failed=failed)

    async def close(self):
        pass
