"""Where access keys of Alibaba Cloud come from: the machine's metadata service, and files that somebody renews."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tests.helpers.farside import Answer, FarSide, Request

__all__ = ["Metadata", "write_add_on", "write_sts"]


class Metadata(FarSide):
    """Plays the metadata service of ECS, in its hardened mode.

    https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
    """

    def __init__(self, role: str = "k8s-worker") -> None:
        super().__init__()
        self.role = role
        self.hardened = True
        self.key: dict[str, str] = {}

    def respond(self, request: Request) -> Answer:
        assert request.headers["host"] == "100.100.100.200"
        if request.method == "PUT":
            assert request.target == "/latest/api/token"
            assert int(request.headers["x-aliyun-ecs-metadata-token-ttl-seconds"]) > 0
            return Answer(200, b"hardened-token") if self.hardened else Answer(404)
        if self.hardened and request.headers.get("x-aliyun-ecs-metadata-token") != "hardened-token":
            return Answer(403)
        path = "/latest/meta-data/ram/security-credentials/"
        if request.target == path and self.role:
            return Answer(200, self.role.encode())
        if request.target == path + self.role and self.role:
            whole = {"Code": "Success", "Expiration": "2026-11-20T12:00:00Z", "LastUpdated": "2026-11-20T06:00:00Z"}
            return Answer(200, json.dumps(self.key | whole).encode())
        return Answer(404)

    def give(self, key_id: str, secret: str, token: str) -> None:
        """Let this be the key of the role."""
        self.key = {"AccessKeyId": key_id, "AccessKeySecret": secret, "SecurityToken": token}

    def stand_in(self, patch: pytest.MonkeyPatch) -> None:
        """Let connections to 100.100.100.200 lead here."""
        loop: Any = asyncio.SelectorEventLoop
        connect = loop.sock_connect

        async def here(loop: Any, sock: Any, address: Any) -> None:
            if address[0] == "100.100.100.200":
                assert address[1] == 80
                address = (self.host, self.port)
            await connect(loop, sock, address)

        patch.setattr(loop, "sock_connect", here)


def write_sts(path: Path, key_id: str, secret: str, token: str) -> None:
    """Write a file as STS gives it, in one step."""
    whole = {
        "AccessKeyId": key_id,
        "AccessKeySecret": secret,
        "SecurityToken": token,
        "Expiration": "2026-11-20T12:00Z",
    }
    _replace(path, json.dumps(whole))


def write_add_on(path: Path, key_id: str, secret: str, token: str, *, keyring: str = "0123456789abcdef") -> None:
    """Write a file as ACK mounts it for its add-ons: each part under AES-CBC, with the key beside it."""

    def hidden(text: str) -> str:
        vector = b"a start vector.."
        padding = PKCS7(128).padder()
        data = padding.update(text.encode()) + padding.finalize()
        do = Cipher(algorithms.AES(keyring.encode()), modes.CBC(vector)).encryptor()
        return base64.b64encode(vector + do.update(data) + do.finalize()).decode()

    whole = {
        "access.key.id": hidden(key_id),
        "access.key.secret": hidden(secret),
        "security.token": hidden(token),
        "expiration": "2026-11-20T12:00:00Z",
        "keyring": keyring,
    }
    _replace(path, json.dumps(whole))


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)
