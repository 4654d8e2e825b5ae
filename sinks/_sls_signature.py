"""Signatures of requests to Log Service, version 4 (HMAC-SHA256), as its SDKs make them.

Facts are from https://help.aliyun.com/en/sls/developer-reference/request-signature-v4 and the official SDK
for Python (aliyun/aliyun-log-python-sdk, aliyun/log/auth.py), with which tests compare the bytes. The
older version 1 (HMAC-SHA1) needs no region, and is not spoken here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sinks._sls_credentials import Credentials

__all__ = ["signed"]

_ALGORITHM: Final = "SLS4-HMAC-SHA256"
_LAST: Final = "aliyun_v4_request"


def signed(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: Credentials,
    region: str,
    now: datetime,
) -> dict[str, str]:
    """Return the headers of a request, with its signature.

    Args:
        method: GET or POST.
        path: without a query, not percent-encoded.
        headers: those to send, Host among them.
        body: as it is sent.
        credentials: whose signature it is.
        region: of the project, such as cn-hangzhou.
        now: UTC; the service refuses what is 15 minutes off its own clock.
    """
    time = now.strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    sent = dict(headers) | {"x-log-content-sha256": digest, "x-log-date": time}
    if credentials.token:
        sent["x-acs-security-token"] = credentials.token
    covered = {
        lower: value.strip()
        for name, value in sent.items()
        if (lower := name.lower()) in {"host", "content-type"} or lower.startswith(("x-log-", "x-acs-"))
    }
    names = sorted(covered)
    request = "\n".join([method, path, "", *(f"{name}:{covered[name]}" for name in names), "", ";".join(names), digest])
    scope = f"{time[:8]}/{region}/sls/{_LAST}"
    text = f"{_ALGORITHM}\n{time}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"aliyun_v4{credentials.secret}".encode()
    for part in (time[:8], region, "sls", _LAST):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    sent["Authorization"] = f"{_ALGORITHM} Credential={credentials.id}/{scope},Signature={signature}"
    return sent
