"""One server that plays the robots of DingTalk, Feishu, WeCom, Slack and Teams: answers, limits and penalties.

Those that show who they are by a token, a bot of Slack and an application of WeCom, are in `tests.helpers.apps`.
None of them can be had for a test. Each rule names the vendor's document that it plays, or says who saw it:

    DT1  https://open.dingtalk.com/document/robots/custom-robot-access
    DT2  https://open.dingtalk.com/document/robots/customize-robot-security-settings
    DT3  https://open.dingtalk.com/document/orgapp/server-api-error-codes-1
    DT4  https://open.dingtalk.com/document/orgapp/custom-robots-send-group-messages
    FS   https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot
    WC1  https://developer.work.weixin.qq.com/document/path/91770
    WC2  https://developer.work.weixin.qq.com/document/path/90313
    SL1  https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
    SL2  https://docs.slack.dev/apis/web-api/rate-limits
    SL3  https://docs.slack.dev/reference/block-kit/blocks/section-block
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from eventer.values import Secret
from sinks._wecom_app import AppConfig, ReceiversConfig
from tests.helpers import flows
from tests.helpers.apps import answer_of_slack, answer_of_wecom, mentioned_in_slack, token_of_wecom, wrong_in_slack
from tests.helpers.appserver import AppServer

__all__ = ["Robot", "Robots"]


@dataclass
class Robot:
    """One robot of one vendor, with the security settings that a person gave it."""

    vendor: str
    token: str
    url: str
    secret: str = ""
    keyword: str = ""
    stopped: bool = False
    script: deque[web.Response] = field(default_factory=deque)
    """Answers that come before those by the rules; what is answered so is not kept."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    """What the people in the chat can read."""
    mentioned: list[list[str]] = field(default_factory=list)
    """For each message, who was told that somebody means them."""
    requests: list[float] = field(default_factory=list)
    """When a request came, whatever the answer."""
    taken: list[float] = field(default_factory=list)
    """When a message was taken."""
    silent_until: float = 0.0
    updates: list[dict[str, Any]] = field(default_factory=list)
    """Of a bot of Slack: messages that were changed; `deleted` and `frozen` are `ts` of its messages."""
    deleted: set[str] = field(default_factory=set)
    frozen: set[str] = field(default_factory=set)
    bought: list[float] = field(default_factory=list)
    """Of an application of WeCom: when a token was bought, and the one that is valid."""
    granted: str = ""
    said: list[Any] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The kind of sink that writes to it."""
        return {"slackbot": "slack", "wecomapp": "wecom"}.get(self.vendor, self.vendor)

    @property
    def options(self) -> dict[str, Any]:
        """How a sink finds it."""
        if self.vendor == "slackbot":
            return {"token": Secret.literal(self.token), "channel": "ops", "api": self.url}
        if self.vendor == "wecomapp":
            to = ReceiversConfig(users=["zhangsan"])
            secret = Secret.literal(self.token)
            return {"app": AppConfig(corp_id="ww1", agent_id=1000002, secret=secret, to=to, api=self.url)}
        secret = {"secret": Secret.literal(self.secret)} if self.secret else {}
        return {"url": Secret.literal(self.url), **secret}

    def take(self, now: float, message: dict[str, Any], mentioned: list[str]) -> None:
        """Show a message to the people in the chat."""
        self.messages.append(message)
        self.mentioned.append(mentioned)
        self.taken.append(now)

    def within(self, now: float, seconds: float) -> int:
        return sum(now - at < seconds for at in self.taken)


class Robots(AppServer):
    """All robots of a test. `now` is their clock, seconds since 1970."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self.now = now
        self.losing = 0
        """So many of the next answers are lost, after what was asked is done."""
        self.refusing: web.Response | None = None
        """The answer to whoever asks for a token of WeCom, in place of that by the rules."""
        self._robots: dict[tuple[str, str], Robot] = {}

    def route(self, router: web.UrlDispatcher) -> None:
        routes: list[tuple[str, str, Callable[[web.Request], str]]] = [
            ("dingtalk", "/robot/send", lambda request: request.query.get("access_token", "")),
            ("feishu", "/open-apis/bot/v2/hook/{token}", self._last),
            ("wecom", "/cgi-bin/webhook/send", lambda request: request.query.get("key", "")),
            ("slack", "/services/T0/B0/{token}", self._last),
            ("slackbot", "/api/{method}", lambda request: request.headers.get("Authorization", "")[len("Bearer ") :]),
            ("wecomapp", "/cgi-bin/message/send", self._granted),
            ("teams", "/workflows/{token}/triggers/manual/paths/invoke", self._last),
        ]
        for vendor, path, token in routes:
            router.add_route("*", path, self._serve(vendor, token))
        router.add_route("GET", "/cgi-bin/gettoken", self._token)

    def add(self, vendor: str, token: str, **settings: Any) -> Robot:
        """Put a robot of this vendor into a chat."""
        path = {
            "dingtalk": f"/robot/send?access_token={token}",
            "feishu": f"/open-apis/bot/v2/hook/{token}",
            "wecom": f"/cgi-bin/webhook/send?key={token}",
            "slack": f"/services/T0/B0/{token}",
            "teams": f"/workflows/{token}/triggers/manual/paths/invoke?api-version=1&sig={token}",
            "slackbot": "/api",
            "wecomapp": "",
        }[vendor]
        robot = Robot(vendor, token, self.base + path, **settings)
        self._robots[vendor, token] = robot
        return robot

    @staticmethod
    def _last(request: web.Request) -> str:
        return request.match_info["token"]

    def _granted(self, request: web.Request) -> str:
        granted = request.query.get("access_token", "")
        return next((robot.token for robot in self._robots.values() if granted and robot.granted == granted), "")

    async def _token(self, request: web.Request) -> web.Response:
        self.came.set()
        await self.answering.wait()
        robot = self._robots.get(("wecomapp", request.query.get("corpsecret", "")))
        return self.refusing or token_of_wecom(robot, self.now())

    def _serve(self, name: str, token: Callable[[web.Request], str]) -> Callable[[web.Request], Any]:
        async def serve(request: web.Request) -> web.Response:
            body = await request.read()
            self.came.set()
            await self.answering.wait()
            robot = self._robots.get((name, token(request)))
            now = self.now()
            if robot is not None:
                robot.requests.append(now)
                if robot.script:
                    return robot.script.popleft()
            answer: web.Response = getattr(self, f"_{name}")(request, body, robot, now)
            if self.losing and request.transport is not None:
                self.losing -= 1
                request.transport.abort()
            return answer

        return serve

    # -- DingTalk --------------------------------------------------------------------------------

    def _dingtalk(self, request: web.Request, body: bytes, robot: Robot | None, now: float) -> web.Response:
        def error(code: int, said: str) -> web.Response:
            return web.json_response({"errcode": code, "errmsg": said})  # errors come with 200: DT3

        if request.method != "POST":
            return error(43002, "需要POST请求")  # DT3
        if "application/json" not in request.headers.get("Content-Type", ""):
            return error(43004, "无效的HTTP HEADER Content-Type")  # DT3
        if robot is None:
            return error(300005, "token is not exist")  # DT3; seen of the real endpoint by others
        if now < robot.silent_until:
            return web.Response(status=302, headers={"Location": "https://error.dingtalk.com/"})  # as users report
        if robot.stopped:
            return error(400102, "机器人已停用")  # DT4
        if len(body) > 20_000:
            return error(460101, "message too long, exceed 20000 bytes")  # DT4
        if robot.secret:
            timestamp = request.query.get("timestamp", "")
            if not timestamp.isdigit() or abs(now * 1000 - int(timestamp)) > 3_600_000:
                return error(310000, "invalid timestamp")  # DT2: an hour
            signed = hmac.new(robot.secret.encode(), f"{timestamp}\n{robot.secret}".encode(), hashlib.sha256)
            if request.query.get("sign") != base64.b64encode(signed.digest()).decode():
                return error(310000, "sign not match")  # DT2
        message = json.loads(body)
        kind = message.get("msgtype")
        if kind not in {"text", "markdown", "actionCard", "link"}:
            return error(400105, "不支持的消息类型")  # DT4
        inner = message.get(kind, {})
        wanted = {
            "text": ("content",),
            "markdown": ("title", "text"),
            "actionCard": ("title", "text", "btns"),
            "link": ("title", "text", "messageUrl"),
        }[kind]
        if not all(inner.get(name) for name in wanted):
            return error(40035, "缺少参数")  # DT3
        text = inner.get("content") or inner["text"]
        if robot.keyword and robot.keyword not in text + inner.get("title", ""):
            return error(310000, "keywords not in content")  # DT2
        if robot.within(now, 60) >= 20:  # DT1: 20 a minute, then limited for ten minutes
            robot.silent_until = now + 600
            return error(130101, "send too fast, exceed 20 times per minute")
        at = message.get("at", {})
        called = [*at.get("atMobiles", []), *at.get("atUserIds", [])]
        # DT4: nobody is told whose name is not in the text too; an actionCard and a link tell nobody.
        told = [name for name in called if f"@{name}" in text] + (["all"] if at.get("isAtAll") else [])
        robot.take(now, message, told if kind in {"text", "markdown"} else [])
        return error(0, "ok")

    # -- Feishu ----------------------------------------------------------------------------------

    def _feishu(self, request: web.Request, body: bytes, robot: Robot | None, now: float) -> web.Response:
        def error(code: int, said: str, status: int = 200) -> web.Response:
            return web.json_response({"code": code, "msg": said, "data": {}}, status=status)

        if robot is None:
            return error(19001, "param invalid: incoming webhook access token invalid")  # FS
        if len(body) > 20_000:
            return error(9499, "Bad Request", 400)  # FS: 20 KB
        message = json.loads(body)
        if robot.secret:
            timestamp = str(message.get("timestamp", ""))
            key = f"{timestamp}\n{robot.secret}".encode()
            sign = base64.b64encode(hmac.new(key, b"", hashlib.sha256).digest()).decode()
            if not timestamp.isdigit() or abs(now - int(timestamp)) > 3600 or message.get("sign") != sign:
                return error(19021, "sign match fail or timestamp is not within one hour from current time")  # FS
        if robot.keyword and robot.keyword not in body.decode():
            return error(19024, "Key Words Not Found")  # FS
        if robot.within(now, 60) >= 100 or robot.within(now, 1) >= 5:
            return error(11232, "frequency limited psm[lark.oapi.app_platform_runtime]")  # FS: 100 a minute, 5 a second
        card = message.get("card")
        if message.get("msg_type") != "interactive" or not isinstance(card, dict) or not card.get("elements"):
            return error(11246, "card content parse failed", 400)
        texts = list(_texts(card, "lark_md"))
        told = [name for text in texts for name in re.findall(r"<at id=([^>]*)></at>", text)]
        robot.take(now, message, told)
        return web.json_response({"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success"})

    # -- WeCom -----------------------------------------------------------------------------------

    def _wecom(self, request: web.Request, body: bytes, robot: Robot | None, now: float) -> web.Response:
        def error(code: int, said: str) -> web.Response:
            return web.json_response({"errcode": code, "errmsg": said})

        if robot is None:
            return error(93000, "invalid webhook url, hint: [1700000000]")  # WC2
        if b"\\u" in body:
            return error(40033, "invalid request characters")  # WC2
        message = json.loads(body)
        content = message.get("markdown", {}).get("content", "")
        if message.get("msgtype") != "markdown":
            return error(40008, "invalid message type")  # WC2
        if not content:
            return error(44004, "empty content")  # WC2
        if len(content.encode()) > 4096:
            return error(40058, "markdown.content exceed max length 4096")  # WC1
        if robot.within(now, 60) >= 20:
            return error(45009, "api freq out of limit")  # WC1: 20 a minute
        robot.take(now, message, re.findall(r"<@([^<>]+)>", content))
        return error(0, "ok")

    # -- Slack -----------------------------------------------------------------------------------

    def _slack(self, request: web.Request, body: bytes, robot: Robot | None, now: float) -> web.Response:
        if robot is None:
            return web.Response(status=404, text="no_service")  # SL1
        if robot.stopped:
            return web.Response(status=410, text="channel_is_archived")  # SL1
        if robot.within(now, 10) >= 10:
            return web.Response(status=429, headers={"Retry-After": "7"}, text="rate_limited")  # SL2: one a second
        try:
            message = json.loads(body)
        except ValueError:
            return web.Response(status=400, text="invalid_payload")  # SL1
        wrong = wrong_in_slack(message)
        if wrong:
            return web.Response(status=400, text=wrong)  # SL1, SL3
        robot.take(now, message, mentioned_in_slack(message))
        return web.Response(text="ok")  # SL1

    # -- Teams -----------------------------------------------------------------------------------

    def _teams(self, request: web.Request, body: bytes, robot: Robot | None, now: float) -> web.Response:
        if robot is None:
            return flows.refusal("WorkflowNotFound")
        answer, message, told = flows.answer(body, stopped=robot.stopped, rate=robot.within(now, 1))
        if message is not None:
            robot.take(now, message, told)
        return answer

    # -- those with a token ----------------------------------------------------------------------

    def _slackbot(self, request: web.Request, body: bytes, robot: Robot | None, now: float) -> web.Response:
        return answer_of_slack(request.match_info["method"], body, robot, now)

    def _wecomapp(self, request: web.Request, body: bytes, robot: Robot | None, now: float) -> web.Response:
        return answer_of_wecom(body, robot, now)


def _texts(node: Any, tag: str) -> Any:
    """All texts of a card with this tag."""
    if isinstance(node, dict):
        if node.get("tag") == tag and isinstance(node.get("content"), str):
            yield node["content"]
        for value in node.values():
            yield from _texts(value, tag)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value, tag)
