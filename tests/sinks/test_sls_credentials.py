"""`kind: sls`: where the access key comes from, and that the metadata service is asked for nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventer.clock import SystemClock
from eventer.errors import Blocked, Retry
from eventer.values import Secret
from sinks._http import Http
from sinks._sls_credentials import FRESH, Credentials, SlsAuthConfig, provider
from tests.helpers.aliyun import Metadata, write_add_on, write_sts
from tests.helpers.farside import Answer
from tests.helpers.inprocess import StillClock

KEY = Credentials("STS.Nexample", "a-secret/of+mine", "a-token/of+mine")


@pytest.fixture
async def metadata(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Metadata]:
    async with Metadata() as far:
        far.stand_in(monkeypatch)
        far.give(KEY.id, KEY.secret, KEY.token)
        yield far


# -- the configuration ---------------------------------------------------------------------------


async def test_a_key_of_the_configuration_is_read_again_each_time(tmp_path: Path) -> None:
    secret, token = tmp_path / "secret", tmp_path / "token"
    secret.write_text("one-secret\n")
    token.write_text("one-token\n")
    config = SlsAuthConfig(
        access_key_id=Secret.literal(KEY.id),
        access_key_secret=Secret.file(secret),
        security_token=Secret.file(token),
    )
    keys = provider(config, SystemClock())
    await keys.open()
    assert await keys.get() == Credentials(KEY.id, "one-secret", "one-token")
    secret.write_text("two-secret")
    token.write_text("two-token")
    assert await keys.get() == Credentials(KEY.id, "two-secret", "two-token")
    secret.write_text("a b")
    with pytest.raises(Blocked, match="holds a blank"):
        await keys.get()
    secret.unlink()
    with pytest.raises(Blocked, match=r"cannot be read from the file .*: No such file"):
        await keys.get()
    await keys.close()


def test_a_key_is_never_shown() -> None:
    assert repr(KEY) == "Credentials()"
    assert KEY.secret not in f"{KEY} {KEY!r}"


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [write_sts, write_add_on])
async def test_a_file_that_somebody_renews(tmp_path: Path, write: Any) -> None:
    path = tmp_path / "token-config"
    write(path, KEY.id, KEY.secret, KEY.token)
    keys = provider(SlsAuthConfig(sts_file=str(path)), SystemClock())
    await keys.open()
    assert await keys.get() == KEY
    write(path, "other", "other-secret", "other-token")
    assert await keys.get() == Credentials("other", "other-secret", "other-token")
    await keys.close()


@pytest.mark.parametrize(
    "keyring", ["0123456789abcdef", "0123456789abcdef01234567", "0123456789abcdef0123456789abcdef"]
)
async def test_a_file_of_an_add_on_with_each_length_of_key(tmp_path: Path, keyring: str) -> None:
    path = tmp_path / "token-config"
    write_add_on(path, KEY.id, KEY.secret, KEY.token, keyring=keyring)
    assert await provider(SlsAuthConfig(sts_file=str(path)), SystemClock()).get() == KEY


async def test_a_file_that_is_not_there_waits_for_a_person(tmp_path: Path) -> None:
    for name in ("none", "a\0b"):
        keys = provider(SlsAuthConfig(sts_file=f"{tmp_path}/{name}"), SystemClock())
        with pytest.raises(Blocked, match="cannot be read"):
            await keys.open()


def _add_on(tmp_path: Path, **changes: str) -> str:
    path = tmp_path / "made"
    write_add_on(path, KEY.id, KEY.secret, KEY.token)
    return json.dumps(json.loads(path.read_text()) | changes)


@pytest.mark.parametrize("part", ["access.key.id", "access.key.secret", "security.token", "keyring"])
@pytest.mark.parametrize("value", ["", "x", "0123456789abcdeX", "AAAA", "AAAAAAAAAAAAAAAAAAAAAA==", "é" * 16])
async def test_a_damaged_file_of_an_add_on_is_no_key(tmp_path: Path, part: str, value: str) -> None:
    path = tmp_path / "token-config"
    path.write_text(_add_on(tmp_path, **{part: value}))
    keys = provider(SlsAuthConfig(sts_file=str(path)), SystemClock())
    with pytest.raises(Retry, match="holds no access key") as caught:
        await keys.get()
    assert KEY.secret not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "7", '{"AccessKeyId": "x"}', '{"keyring": 7}', "[" * 100_000, "\ufffd"]
)
async def test_a_file_that_is_being_written_is_read_again(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    keys = provider(SlsAuthConfig(sts_file=str(path)), SystemClock())
    with pytest.raises(Retry, match="holds no access key"):
        await keys.get()
    write_sts(path, KEY.id, KEY.secret, KEY.token)
    assert await keys.get() == KEY


async def test_what_cannot_stand_in_a_header_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "token"
    for bad in (("a\nb", "s", "t"), ("a", "s t", "t"), ("a", "s", "é"), ("", "s", "t"), ("a", "", "t")):
        write_sts(path, *bad)
        with pytest.raises(Blocked, match="holds a blank") as caught:
            await provider(SlsAuthConfig(sts_file=str(path)), SystemClock()).get()
        assert str(path) in str(caught.value)


async def test_without_the_library_a_file_of_an_add_on_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)  # importing it fails
    path = tmp_path / "token-config"
    write_add_on_before = _ADD_ON
    path.write_text(write_add_on_before)
    with pytest.raises(Blocked, match=r"pip install 'eventer\[ack\]'"):
        await provider(SlsAuthConfig(sts_file=str(path)), SystemClock()).get()
    write_sts(path, KEY.id, KEY.secret, KEY.token)
    assert await provider(SlsAuthConfig(sts_file=str(path)), SystemClock()).get() == KEY


_ADD_ON = json.dumps(
    {"access.key.id": "AAAA", "access.key.secret": "AAAA", "security.token": "AAAA", "keyring": "0123456789abcdef"}
)


# -- the role of the machine ---------------------------------------------------------------------


@pytest.mark.parametrize("role", ["auto", "k8s-worker"])
@pytest.mark.parametrize("hardened", [True, False])
async def test_the_role_of_the_machine(metadata: Metadata, role: str, hardened: bool) -> None:
    metadata.hardened = hardened
    keys = provider(SlsAuthConfig(ecs_role=role), SystemClock())
    await keys.open()
    assert not metadata.requests, "asked only when there is something to send"
    assert await keys.get() == KEY
    assert len(metadata.requests) == 2 + (role == "auto")
    assert await keys.get() == KEY
    assert len(metadata.requests) == 2 + (role == "auto")
    await keys.close()


async def test_the_key_of_a_role_is_renewed_in_time_and_when_it_was_refused(metadata: Metadata) -> None:
    clock = StillClock()
    keys = provider(SlsAuthConfig(ecs_role="k8s-worker"), clock)
    await keys.open()
    await keys.get()
    metadata.give("second", "second-secret", "second-token")
    clock.advance(FRESH - 1)
    assert await keys.get() == KEY
    clock.advance(2)
    assert (await keys.get()).id == "second"
    metadata.give("third", "third-secret", "third-token")
    assert (await keys.get(renew=True)).id == "third"
    await keys.close()


async def test_while_the_metadata_service_is_away_the_key_goes_on(metadata: Metadata) -> None:
    clock = StillClock()
    keys = provider(SlsAuthConfig(ecs_role="k8s-worker"), clock)
    await keys.open()
    await keys.get()
    metadata.fault = Answer(500, KEY.secret.encode())
    clock.advance(FRESH + 1)
    assert await keys.get() == KEY
    with pytest.raises(Retry) as caught:
        await keys.get(renew=True)
    assert caught.value.reason == "metadata"
    metadata.fault = None
    metadata.give("second", "second-secret", "second-token")
    assert (await keys.get()).id == "second"
    await keys.close()


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Answer(500, KEY.secret.encode()), Retry, "gives no access key. Does Eventer run on a machine of Alibaba"),
        (Answer(302, headers={"Location": "http://evil.example"}), Retry, "gives no access key"),
        (Answer(200, b"not json, but " + KEY.secret.encode()), Blocked, "has no RAM role"),
        (Answer(200, b"../../token"), Blocked, "has no RAM role"),
        (Answer(200, b"word"), Retry, "holds no access key"),
        (Answer(404), Blocked, "has no RAM role"),
        (Answer(200, b"x", cut=1), Retry, "gives no access key"),
    ],
)
async def test_what_the_metadata_service_may_answer(
    metadata: Metadata, fault: Answer, kind: type[Exception], words: str
) -> None:
    metadata.fault = fault
    keys = provider(SlsAuthConfig(ecs_role="auto"), SystemClock())
    await keys.open()
    with pytest.raises(kind, match=words) as caught:
        await keys.get()
    assert KEY.secret not in f"{caught.value} {caught.value.answer}"  # type: ignore[attr-defined]
    await keys.close()


async def test_another_role_than_that_of_the_machine(metadata: Metadata) -> None:
    keys = provider(SlsAuthConfig(ecs_role="other"), SystemClock())
    await keys.open()
    with pytest.raises(Blocked, match="no RAM role other"):
        await keys.get()
    await keys.close()


async def test_only_what_asks_the_metadata_service_may_reach_it(metadata: Metadata) -> None:
    allowed = Http(timeout=5, clock=SystemClock(), metadata="100.100.100.200")
    usual = Http(timeout=5, clock=SystemClock())
    for http in (allowed, usual):
        await http.open()
    url = "http://100.100.100.200/latest/api/token"
    header = {"X-aliyun-ecs-metadata-token-ttl-seconds": "60"}
    assert (await allowed.request("PUT", url, b"", header)).body == b"hardened-token"
    with pytest.raises(Blocked, match="metadata services of clouds"):
        await usual.request("PUT", url, b"", header)
    for other in ("http://169.254.169.254/", "http://[fd00:ec2::254]/", "http://168.63.129.16/"):
        with pytest.raises(Blocked, match="metadata services of clouds"):
            await allowed.request("GET", other, b"", {})
    for http in (allowed, usual):
        await http.close()
