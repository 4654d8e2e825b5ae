"""The two robots that show who they are by a token: Slack's API for bots, and WeCom's for applications.

SL4  https://docs.slack.dev/reference/methods/chat.postMessage
SL5  https://docs.slack.dev/reference/methods/chat.update
WC2  https://developer.work.weixin.qq.com/document/path/90313
WC3  https://developer.work.weixin.qq.com/document/path/91039
WC4  https://developer.work.weixin.qq.com/document/path/90236
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from tests.helpers.robots import Robot

__all__ = ["answer_of_slack", "answer_of_wecom", "mentioned_in_slack", "token_of_wecom", "wrong_in_slack"]


def wrong_in_slack(message: dict[str, Any]) -> str:
    """What Slack's limits say to a message, by an incoming webhook or a bot."""
    if not message.get("text") and not message.get("attachments"):
        return "no_text"
    blocks = [block for attachment in message.get("attachments", []) for block in attachment.get("blocks", [])]
    long = any(len(block.get("text", {}).get("text", "")) > 3000 for block in blocks)
    return "invalid_blocks" if long or len(blocks) > 50 else ""


def mentioned_in_slack(message: dict[str, Any]) -> list[str]:
    told = re.findall(r"<@([^>]+)>|<!subteam\^([^>]+)>|<!(channel|here|everyone)>", message.get("text", ""))
    return ["".join(groups) for groups in told]


def answer_of_slack(method: str, body: bytes, robot: Robot | None, now: float) -> web.Response:
    def error(word: str) -> web.Response:
        return web.json_response({"ok": False, "error": word})  # SL4: errors come with 200

    if robot is None:
        return error("invalid_auth")
    if robot.stopped:
        return error("is_archived")
    message = json.loads(body)
    wrong = wrong_in_slack(message)
    if wrong:
        return error(wrong)
    if message.get("channel") not in {"ops", "C1"}:
        return error("channel_not_found")
    known = {f"{index}.{index:06}" for index in range(1, len(robot.messages) + 1)} - robot.deleted
    if method == "chat.update":
        if message["channel"] != "C1" or message["ts"] not in known:  # SL5: an id, no name
            return error("message_not_found")
        if message["ts"] in robot.frozen:
            return error("edit_window_closed")
        robot.updates.append(message)
        return web.json_response({"ok": True, "channel": "C1", "ts": message["ts"], "text": message["text"]})
    if message.get("thread_ts", next(iter(known), "")) not in known and "thread_ts" in message:
        return error("thread_not_found")
    robot.take(now, message, mentioned_in_slack(message))
    number = len(robot.messages)
    return web.json_response({"ok": True, "channel": "C1", "ts": f"{number}.{number:06}", "message": {}})


def token_of_wecom(robot: Robot | None, now: float) -> web.Response:
    if robot is None:
        return web.json_response({"errcode": 40001, "errmsg": "invalid credential"})  # WC2
    robot.bought.append(now)
    granted = robot.token + "+" * (len(robot.bought) - 1)  # a far side that echoes it echoes a secret
    robot.granted = granted
    return web.json_response({"errcode": 0, "errmsg": "ok", "access_token": granted, "expires_in": 7200})  # WC3


def answer_of_wecom(body: bytes, robot: Robot | None, now: float) -> web.Response:
    def error(code: int, said: str, **more: Any) -> web.Response:
        return web.json_response({"errcode": code, "errmsg": said} | more)

    if robot is None:
        return error(40014, "invalid access_token")  # WC2
    if now - robot.bought[-1] >= 7200:
        return error(42001, "access_token expired")  # WC3
    if b"\\u" in body:
        return error(40033, "invalid request characters")  # WC2
    message = json.loads(body)
    if message.get("agentid") != 1000002:
        return error(301002, "not allow operate another agent with this accesstoken")  # WC2
    content = message.get("markdown", {}).get("content", "")
    if message.get("msgtype") != "markdown" or not content:
        return error(44004, "empty content")  # WC2
    if len(content.encode()) > 2048:
        return error(40058, "markdown.content exceed max length 2048")  # WC4
    users = message["touser"].split("|")
    known = [user for user in users if not user.startswith("gone")]
    if not known and not message["toparty"]:
        return error(81013, "user & party & tag all invalid")  # WC2
    if message.get("enable_duplicate_check") == 1 and (users, content) in robot.said:
        return error(0, "ok")  # WC4: it is dropped
    robot.said.append((users, content))
    robot.take(now, message, [])
    return error(0, "ok", invaliduser="|".join(user for user in users if user not in known), msgid="m")  # WC4
