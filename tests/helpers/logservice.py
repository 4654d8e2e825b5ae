"""A far side that plays Alibaba Cloud's Log Service: what its documents say that PutLogs takes and answers.

No real one can be had. Its answers, limits and names of errors are from

- PutLogs:            https://www.alibabacloud.com/help/en/log-service/latest/putlogs
- request headers:    https://alibabacloud.com/help/en/sls/developer-reference/common-request-headers
- response headers:   https://help.aliyun.com/en/sls/developer-reference/common-response-headers
- error codes:        https://help.aliyun.com/en/sls/developer-reference/error-codes
- the message:        https://help.aliyun.com/en/sls/developer-reference/data-encoding
- signatures:         https://help.aliyun.com/en/sls/developer-reference/request-signature-v4

and the message is read by a decoder of its own, which shares nothing with what the sink writes it by.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

from tests.helpers.farside import Answer, FarSide, Request

__all__ = ["Group", "Log", "LogService", "error", "groups_of"]

MOST_BYTES = 10 << 20
MOST_RAW_BYTES = 3145728
"""Of x-log-bodyrawsize."""


@dataclass
class Log:
    """One log, as the service shows it."""

    time: int
    nano: int
    fields: dict[str, str]


@dataclass
class Group:
    """What one request brought."""

    logs: list[Log] = field(default_factory=list)
    topic: str = ""
    source: str = ""
    tags: dict[str, str] = field(default_factory=dict)


def error(status: int, code: str, message: str = "it failed", **headers: str) -> Answer:
    """An answer that is no success."""
    return Answer(status, json.dumps({"errorCode": code, "errorMessage": message}).encode(), headers)


class LogService(FarSide):
    """A project with one Logstore."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, project: str = "my-project") -> None:
        super().__init__(tls)
        self.project = project
        self.logstore = "k8s-events"
        self.region = "cn-hangzhou"
        self.keys: dict[tuple[str, str], str] = {}
        """Secrets by id and security token; any other key is refused."""
        self.expired: set[str] = set()
        """Security tokens that have expired."""
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.refuse: Callable[[Group], Answer | None] = lambda _: None
        """Asked for each group: why it is not taken."""
        self.groups: list[Group] = []
        """What was taken, in order."""

    @property
    def logs(self) -> list[Log]:
        """All logs that were taken, in order."""
        return [log for group in self.groups for log in group.logs]

    def reply(self, request: Request) -> Answer:
        answer = super().reply(request)
        answer.headers.setdefault("x-log-requestid", f"{len(self.requests):024X}")
        answer.headers.setdefault("Date", format_datetime(self.now(), usegmt=True))
        return answer

    def respond(self, request: Request) -> Answer:
        refusal = self._who(request)
        if refusal is not None:
            return refusal
        host = request.headers["host"]
        if not host.startswith(f"{self.project}."):
            return error(404, "ProjectNotExist", f"The Project does not exist : {host.partition('.')[0]}")
        if (request.method, request.target) == ("GET", f"/logstores/{self.logstore}"):
            return Answer(200, json.dumps({"logstoreName": self.logstore, "shardCount": 2}).encode())
        if not request.target.startswith(f"/logstores/{self.logstore}"):
            return error(404, "LogStoreNotExist", f"logstore {request.target} does not exist")
        assert (request.method, request.target) == ("POST", f"/logstores/{self.logstore}/shards/lb")
        return self._put(request)

    def _who(self, request: Request) -> Answer | None:
        """Check time and signature as the document on signatures says, over what came."""
        headers = request.headers
        assert headers["x-log-apiversion"] == "0.6.0"
        time = datetime.strptime(headers["x-log-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs((time - self.now()).total_seconds()) > 900:
            return error(400, "RequestTimeExpired", f"Request time {time} has been expired while server time is now.")
        credential, _, signature = headers["authorization"].removeprefix("SLS4-HMAC-SHA256 ").partition(",Signature=")
        key, _, scope = credential.removeprefix("Credential=").partition("/")
        assert scope == f"{time:%Y%m%d}/{self.region}/sls/aliyun_v4_request"
        token = headers.get("x-acs-security-token", "")
        if token in self.expired:
            return error(401, "Unauthorized", "The security token you provided has expired.")
        if (key, token) not in self.keys:
            return error(401, "Unauthorized", f"AccessKeyId not found: {key}")
        if headers["x-log-content-sha256"] != hashlib.sha256(request.body).hexdigest():
            return error(401, "SignatureNotMatch", "signature of another body")
        covered = sorted(
            (name, value)
            for name, value in headers.items()
            if name.startswith(("x-log-", "x-acs-")) or name in {"host", "content-type"}
        )
        lines = "".join(f"{name}:{value}\n" for name, value in covered)
        names = ";".join(name for name, _ in covered)
        canonical = f"{request.method}\n{request.target}\n\n{lines}\n{names}\n{headers['x-log-content-sha256']}"
        made = f"aliyun_v4{self.keys[key, token]}".encode()
        for part in scope.split("/"):
            made = hmac.new(made, part.encode(), hashlib.sha256).digest()
        text = "\n".join(
            ["SLS4-HMAC-SHA256", headers["x-log-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
        )
        if hmac.new(made, text.encode(), hashlib.sha256).hexdigest() != signature:
            return error(401, "SignatureNotMatch", f"Signature {signature} not matched")
        return None

    def _put(self, request: Request) -> Answer:
        headers, body = request.headers, request.body
        if headers["content-type"] != "application/x-protobuf":
            return error(415, "InvalidContentType", "unsupported")
        if len(body) > MOST_BYTES:
            return error(413, "PostBodyTooLarge", "body size must be less than 10M")
        match headers.get("x-log-compresstype"):
            case "deflate":
                body = zlib.decompress(body)
            case None:
                pass
            case other:
                return error(400, "InvalidCompressType", f"x-log-compresstype {other} is unsupported.")
        if int(headers["x-log-bodyrawsize"]) != len(body) or len(body) > MOST_RAW_BYTES:
            return error(400, "InvalidBodyRawSize", "x-log-bodyrawsize is invalid")
        group = groups_of(body)
        if len(group.logs) > 4096:
            return error(400, "PostBodyTooLarge", "Logs must be less than 3M and 4096 lines.")
        if not all(log.fields and all(0 < len(key.encode()) <= 128 for key in log.fields) for log in group.logs):
            return error(400, "InvalidKey", "Invalid keys are in logs.")
        now = self.now().timestamp()
        if any(log.time > now + 900 for log in group.logs):
            return error(400, "InvalidTimestamp", "Invalid timestamps are in logs.")
        refusal = self.refuse(group)
        if refusal is not None:
            return refusal
        self.groups.append(group)
        return Answer(200)


# -- reading the message, by https://protobuf.dev/programming-guides/encoding/ --------------------------


def groups_of(body: bytes) -> Group:
    """Read a LogGroup. Anything that is not in the document is an error."""
    group = Group()
    for number, value in _fields(body):
        match number:
            case 1:
                group.logs.append(_log(_data(value)))
            case 3:
                group.topic = _data(value).decode()
            case 4:
                group.source = _data(value).decode()
            case 6:
                name, text = _pair(_data(value))
                assert name not in group.tags
                group.tags[name] = text
            case _:
                raise AssertionError(f"no field {number} in a LogGroup")
    return group


def _log(body: bytes) -> Log:
    time = nano = None
    fields: dict[str, str] = {}
    for number, value in _fields(body):
        match number:
            case 1:
                assert isinstance(value, int)
                time = value
            case 2:
                name, text = _pair(_data(value))
                assert name not in fields, "names must be unique, or the behaviour is undefined"
                fields[name] = text
            case 4:
                nano = int.from_bytes(_data(value), "little")
            case _:
                raise AssertionError(f"no field {number} in a Log")
    assert time is not None
    assert 0 <= time < 1 << 32
    assert nano is not None
    assert 0 <= nano < 1_000_000_000
    return Log(time, nano, fields)


def _pair(body: bytes) -> tuple[str, str]:
    (one, key), (two, value) = _fields(body)
    assert (one, two) == (1, 2)
    return _data(key).decode(), _data(value).decode()


def _data(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


def _fields(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    place = 0

    def number() -> int:
        nonlocal place
        result = shift = 0
        while True:
            byte = body[place]
            place += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result

    while place < len(body):
        tag = number()
        match tag & 7:
            case 0:
                yield tag >> 3, number()
            case 2 | 5 as wire:
                size = number() if wire == 2 else 4
                assert place + size <= len(body), "a length leads beyond the end"
                yield tag >> 3, body[place : place + size]
                place += size
            case wire:
                raise AssertionError(f"no wire type {wire}")
