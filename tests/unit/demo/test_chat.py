"""The demo's chat: notifications in, what a lock screen shows out."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from eventer.alerting.notification import encode
from eventer.demo.chat import Chat
from tests.helpers.notes import SAMPLES


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    made = Chat()
    yield made
    await made.close()


async def test_a_notification_is_shown_by_its_title(chat: Chat) -> None:
    url = await chat.start()
    async with aiohttp.ClientSession() as session:
        for name in ("storm", "resolved"):
            async with session.post(url, data=encode(SAMPLES[name])) as answer:
                assert answer.status == 200
    storm, resolved = chat.messages
    assert "200 problems" in storm
    assert resolved != storm
    assert "\n" not in storm + resolved


async def test_one_that_never_began_can_be_closed() -> None:
    await Chat().close()
