"""The far side of the demo's webhook: takes events, dies, comes back where it was."""

from __future__ import annotations

import aiohttp
import pytest

from eventer.demo.receiver import Receiver


async def post(receiver: Receiver, *ids: str) -> int:
    body = [{"id": id_, "origin": "event", "message": "words"} for id_ in ids]
    async with aiohttp.ClientSession() as session, session.post(receiver.url, json=body) as answer:
        return answer.status


async def test_it_refuses_while_it_is_dead_and_comes_back_on_its_port() -> None:
    came: list[str] = []
    receiver = Receiver(came.append)
    try:
        with pytest.raises(aiohttp.ClientConnectorError):
            await post(receiver, "early")
        await receiver.start()
        url = receiver.url
        assert await post(receiver, "a", "b") == 200
        await receiver.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await post(receiver, "lost")
        await receiver.start()
        assert receiver.url == url
        assert await post(receiver, "c") == 200
    finally:
        await receiver.close()
    assert came == ["a", "b", "c"]
