"""Writes vectors.json: what the official SDK for Python sends for some groups of logs.

    python -m venv sdk && sdk/bin/pip install aliyun-log-python-sdk==0.9.52
    sdk/bin/python tests/data/sls/make.py

Nothing is sent: the request is taken out of the SDK where it would go to the network. Its clock is set, so
that signatures are the same each time. The SDK packs with lz4 or zstd; the requests here are not packed, and one
is signed with the header for deflate that the service documents.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aliyun.log import LogClient, LogItem, PutLogsRequest
from aliyun.log.auth import AUTH_VERSION_4, AuthV4

TIME = "20261120T083001Z"
KEY = "LTAI5tExampleKeyId"
SECRET = "ExampleSecret/With+Signs="
TOKEN = "CAIS+example/token=="
CASES: list[dict[str, Any]] = [
    {
        "name": "one log",
        "logs": [[1795163401, 250000000, {"message": "Back-off restarting failed container", "count": "3"}]],
    },
    {
        "name": "topic, source and tags",
        "topic": "prod-shanghai",
        "source": "eventer",
        "tags": {"team": "运维", "empty": ""},
        "logs": [[1795163401, 1, {"reason": "BackOff"}], [1, 999999999, {"reason": ""}]],
    },
    {"name": "text beyond ASCII", "logs": [[1795163401, 5, {"消息": "镜像拉取失败 💥\n\u0000\u202e", "a.b/c d": "é"}]]},
    {
        "name": "long values",
        "logs": [[4294967295, 999999999, {"x": "é" * 70, "y" * 128: "z" * 200, "w": "w" * 20000}]],
    },
    {"name": "many logs", "logs": [[1795163401 + n, n + 1, {"id": f"prod/0/uid-{n}/{n}"}] for n in range(50)]},
    {"name": "key lent by a role", "token": TOKEN, "logs": [[1795163401, 7, {"reason": "Failed"}]]},
    {"name": "another region", "region": "ap-southeast-1", "logs": [[1795163401, 7, {"reason": "Failed"}]]},
    {"name": "deflate", "deflate": True, "logs": [[1795163401, 7, {"reason": "Failed"}]]},
]
PROJECT, LOGSTORE = "my-project", "k8s-events"


def request_of(case: dict[str, Any]) -> dict[str, Any]:
    """Return URL, headers and body of one request."""
    region = case.get("region", "cn-hangzhou")
    client = LogClient(
        f"https://{region}-intranet.log.aliyuncs.com",
        KEY,
        SECRET,
        case.get("token"),
        # The SDK puts the address of the machine in place of an empty source.
        source=case.get("source", "-"),
        auth_version=AUTH_VERSION_4,
        region=region,
    )
    sent: list[tuple[str, str, dict[str, str], bytes]] = []

    def sign(method: str, path: str, params: Any, headers: dict[str, str], body: bytes, **_: Any) -> None:
        if case.get("deflate"):
            headers["x-log-compresstype"] = "deflate"
        auth = client._auth
        headers["Authorization"] = auth._do_sign_request(method, path, params, headers, body, TIME)

    def take(
        method: str, url: str, params: Any, body: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes, dict[str, str]]:
        assert not params
        sent.append((method, url, headers, body))
        return 200, b"", {"x-log-requestid": "1"}

    assert isinstance(client._auth, AuthV4)
    client._auth.sign_request = sign
    client._getHttpResponse = take
    items = [LogItem(time, list(fields.items()), nano) for time, nano, fields in case["logs"]]
    client.put_logs(
        PutLogsRequest(
            PROJECT,
            LOGSTORE,
            case.get("topic", ""),
            case.get("source", "-"),
            items,
            compress=False,
            logtags=list(case["tags"].items()) if "tags" in case else None,
        )
    )
    ((method, url, headers, body),) = sent
    headers.pop("Content-Length")
    return {"method": method, "url": url, "headers": headers, "body": body.hex()}


def main() -> None:
    """Write the file."""
    vectors = [{**case, "request": request_of(case)} for case in CASES]
    whole = {
        "sdk": f"aliyun-log-python-sdk {version('aliyun-log-python-sdk')}",
        "time": TIME, "key": KEY, "secret": SECRET, "project": PROJECT, "logstore": LOGSTORE, "cases": vectors,
    }  # fmt: skip
    path = Path(__file__).with_name("vectors.json")
    path.write_text(json.dumps(whole, ensure_ascii=True).replace('{"name"', '\n{"name"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
