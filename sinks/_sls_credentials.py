"""Who we are, for Alibaba Cloud: an access key, a file with one that somebody renews, or the role of the machine.

A key that is lent by a role (STS) is three texts: an id, a secret and a security token, which expires. Files
are read for each request. The machine's metadata service is asked only where `ecs_role` says so: it is the one
request of Eventer to such an address (`sinks._peer`), it goes to nobody else, through no proxy, and what it
answers is never shown.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta

from eventer.clock import Clock
from eventer.errors import Blocked, Retry, SinkError
from eventer.values import Secret
from sinks._answers import Answer
from sinks._auth import reveal
from sinks._http import Http

__all__ = ["Credentials", "Provider", "SlsAuthConfig", "provider"]

METADATA: Final = "100.100.100.200"
"""Metadata service of ECS (https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata)."""
ROLES: Final = f"http://{METADATA}/latest/meta-data/ram/security-credentials/"
METADATA_TIMEOUT: Final = 2.0
"""Seconds for one request to it. It is on the same machine; three of them fit into one send."""
TOKEN_AGE: Final = 60
"""Seconds for which the token of the hardened mode is asked for: as long as one look takes."""
FRESH: Final = 300.0
"""Seconds for which what a role has given is used before it is asked again. It holds for hours, and is renewed by
the metadata service before it expires."""

_WORD: Final = re.compile(r"[\x21-\x7e]+")
_ROLE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What a role of RAM can be named; nothing that could lead to another path."""


class SlsAuthConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who we are, for Alibaba Cloud. Read again for every request, so that keys can rotate."""

    access_key_id: Secret | None = None
    """Id of an access key of a RAM user that may `log:PostLogStoreLogs`."""
    access_key_secret: Secret | None = None
    """Secret of that access key."""
    security_token: Secret | None = None
    """Security token, where the access key is lent by a role (STS)."""
    sts_file: str | None = None
    """JSON file with an access key that somebody renews: as STS gives it (`AccessKeyId`, `AccessKeySecret`,
    `SecurityToken`), or as ACK mounts it for its add-ons (/var/addon/token-config), which needs
    `pip install 'eventer[ack]'`."""
    ecs_role: Annotated[str | None, Meta(examples=["auto"])] = None
    """Name of the RAM role of the machine we run on, or `auto`: its metadata service is asked for the access
    key. Only for machines of Alibaba Cloud (ECS)."""

    def __post_init__(self) -> None:
        """Check that one of the three ways is there, as a whole.

        Raises:
            ValueError: with the remedy.
        """
        if [self.access_key_id, self.sts_file, self.ecs_role].count(None) != 2:
            raise ValueError(
                "auth takes one of access_key_id, sts_file and ecs_role; write for example "
                "`auth: {access_key_id: ${KEY_ID}, access_key_secret: ${KEY_SECRET}}`"
            )
        if (self.access_key_id is None) != (self.access_key_secret is None):
            raise ValueError("auth takes access_key_id and access_key_secret together; write both")
        if self.security_token is not None and self.access_key_id is None:
            raise ValueError("security_token belongs to access_key_id and access_key_secret; leave it out")
        if self.ecs_role is not None and not _ROLE.fullmatch(self.ecs_role):
            raise ValueError("ecs_role: a role has letters, digits and . _ -; write its name, or auto")


class Credentials(msgspec.Struct, frozen=True):
    """An access key."""

    id: str
    secret: str
    token: str = ""
    """Security token of a key that is lent; empty for a key of one's own."""

    def __repr__(self) -> str:
        return "Credentials()"


class Provider(Protocol):
    """Where an access key comes from."""

    async def open(self) -> None:
        """Get ready; asks nobody yet."""

    async def get(self, *, renew: bool = False) -> Credentials:
        """Return the key to use now.

        Args:
            renew: what was given before was refused; look whether there is another one.

        Raises:
            Retry, Blocked: there is none.
        """
        ...

    async def close(self) -> None:
        """Free everything."""


def provider(config: SlsAuthConfig, clock: Clock) -> Provider:
    """Return what looks for the key in the way that the options name."""
    if config.sts_file is not None:
        return _File(Path(config.sts_file))
    if config.ecs_role is not None:
        return _Role(config.ecs_role, clock)
    return _Key(config)


def _credentials(key_id: str, secret: str, token: str, source: str) -> Credentials:
    """Check what is to stand in a header.

    Raises:
        Blocked: it cannot.
    """
    if not _WORD.fullmatch(key_id) or not _WORD.fullmatch(secret) or (token and not _WORD.fullmatch(token)):
        raise Blocked(
            f"The access key from {source} is empty, or holds a blank, a line break or a character that is not ASCII.",
            reason="secret",
        )
    return Credentials(key_id, secret, token)


class _Key:
    """A key of the configuration; its parts may be in files."""

    def __init__(self, config: SlsAuthConfig) -> None:
        self._config = config

    async def open(self) -> None:
        await self.get()

    async def close(self) -> None:
        pass

    async def get(self, *, renew: bool = False) -> Credentials:
        config = self._config
        assert config.access_key_id is not None
        assert config.access_key_secret is not None
        key_id = reveal(config.access_key_id, "The id of the access key")
        secret = reveal(config.access_key_secret, "The secret of the access key")
        token = reveal(config.security_token, "The security token") if config.security_token else ""
        return _credentials(key_id, secret, token, config.access_key_secret.source)


class _Sts(msgspec.Struct, rename="pascal"):
    """What STS and the metadata service give."""

    access_key_id: str
    access_key_secret: str
    security_token: str = ""


class _AddOn(msgspec.Struct):
    """What ACK mounts for its add-ons. Each part is encrypted, with the key that stands beside it."""

    key_id: str = msgspec.field(name="access.key.id")
    secret: str = msgspec.field(name="access.key.secret")
    token: str = msgspec.field(name="security.token")
    keyring: str


class _File:
    """A JSON file that somebody renews. It is a few hundred bytes, and read for each request."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._source = f"the file {path}"
        self._known: tuple[bytes, Credentials] | None = None

    async def open(self) -> None:
        await self.get()

    async def close(self) -> None:
        pass

    async def get(self, *, renew: bool = False) -> Credentials:
        try:
            content = self._path.read_bytes()
        except (OSError, ValueError) as error:
            problem = (error.strerror or "error") if isinstance(error, OSError) else "not a file name"
            raise Blocked(f"The access key cannot be read from {self._source}: {problem}.", reason="secret") from None
        if self._known is None or self._known[0] != content:
            self._known = content, self._read(content)
        return self._known[1]

    def _read(self, content: bytes) -> Credentials:
        try:
            found = msgspec.json.decode(content)
            keyring = isinstance(found, dict) and "keyring" in found
            if keyring:
                addon = msgspec.convert(found, _AddOn)
                key = addon.keyring.encode()
                parts = [_decrypted(part, key) for part in (addon.key_id, addon.secret, addon.token)]
            else:
                sts = msgspec.convert(found, _Sts)
                parts = [sts.access_key_id, sts.access_key_secret, sts.security_token]
        except ImportError:
            raise Blocked(
                f"{self._path} is encrypted, as ACK mounts it for its add-ons. To read it, run `pip install "
                "'eventer[ack]'`.",
                reason="library",
            ) from None
        except (msgspec.MsgspecError, ValueError, RecursionError):
            # Half a file, while it is written, is no reason to wait for a person.
            raise Retry(
                f"{self._path} holds no access key: it should be JSON with AccessKeyId, AccessKeySecret and "
                "SecurityToken, or what ACK mounts for its add-ons.",
                reason="secret",
            ) from None
        return _credentials(parts[0], parts[1], parts[2], self._source)


def _decrypted(text: str, key: bytes) -> str:
    """Undo AES-CBC with PKCS #7; the first block is the start vector.

    The key lies beside the text, so this hides nothing from whoever can read the file: the file is the
    secret. It is the form that ACK gives it (AliyunContainerService/kube-eventer, sinks/utils/aliyun_util.go).

    Raises:
        ImportError: the library is not installed.
        ValueError: it is not that form.
    """
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    data = base64.b64decode(text, validate=True)
    undo = Cipher(algorithms.AES(key), modes.CBC(data[:16])).decryptor()
    padding = PKCS7(128).unpadder()
    padded = undo.update(data[16:]) + undo.finalize()
    return (padding.update(padded) + padding.finalize()).decode()


class _Role:
    """The role of the machine, asked for at its metadata service."""

    def __init__(self, role: str, clock: Clock) -> None:
        self._role = role
        self._clock = clock
        self._http = Http(timeout=METADATA_TIMEOUT, clock=clock, metadata=METADATA)
        self._known: Credentials | None = None
        self._until = 0.0
        """When what is known is looked up again; time of the monotonic clock."""

    async def open(self) -> None:
        await self._http.open()

    async def close(self) -> None:
        await self._http.close()

    async def get(self, *, renew: bool = False) -> Credentials:
        if self._known is None or renew or self._clock.monotonic() >= self._until:
            try:
                self._known = await self._ask()
            except SinkError:
                if self._known is None or renew:
                    raise
                # It holds for hours; the next request looks again.
            else:
                self._until = self._clock.monotonic() + FRESH
        return self._known

    async def _ask(self) -> Credentials:
        headers = await self._token()
        role = self._role if self._role != "auto" else await self._name(headers)
        answer = await self._request("GET", ROLES + role, headers)
        if answer.status == 404:
            raise Blocked(f"The machine has no RAM role {role}. Attach it, or write `ecs_role: auto`.", reason="role")
        try:
            found = msgspec.json.decode(answer.body, type=_Sts)
        except (msgspec.MsgspecError, RecursionError):
            raise Retry("The answer of the metadata service holds no access key.", reason="metadata") from None
        return _credentials(found.access_key_id, found.access_key_secret, found.security_token, "the metadata service")

    async def _token(self) -> dict[str, str]:
        """Return the header of the hardened mode; none where the machine does not have that mode."""
        lasts = {"X-aliyun-ecs-metadata-token-ttl-seconds": str(TOKEN_AGE)}
        answer = await self._request("PUT", f"http://{METADATA}/latest/api/token", lasts)
        token = answer.body.decode("ascii", "replace").strip()
        if answer.status != 200 or not _WORD.fullmatch(token):
            return {}
        return {"X-aliyun-ecs-metadata-token": token}

    async def _name(self, headers: dict[str, str]) -> str:
        answer = await self._request("GET", ROLES, headers)
        role = answer.body.decode("ascii", "replace").strip()
        if answer.status == 404 or not _ROLE.fullmatch(role):
            raise Blocked("The machine has no RAM role. Attach one that may write to the Logstore.", reason="role")
        return role

    async def _request(self, method: str, url: str, headers: dict[str, str]) -> Answer:
        """Ask the metadata service; an answer of 403 means that it has no such mode, one of 404 no such thing."""
        try:
            return await self._http.request(method, url, b"", headers, expected={403, 404})
        except SinkError:
            # What it answers is never shown.
            raise Retry(
                f"The metadata service gives no access key. Does Eventer run on a machine of Alibaba Cloud (ECS), and "
                f"may its pod reach {METADATA}?",
                reason="metadata",
            ) from None
