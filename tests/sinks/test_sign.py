"""`sinks._sign`: signatures in the form of Standard Webhooks."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eventer.errors import Blocked
from eventer.values import Secret
from sinks._sign import SignConfig, signed

VECTOR = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""Of the tests of https://github.com/standard-webhooks/standard-webhooks, as are the values below."""
OTHER = "whsec_" + base64.b64encode(b"x" * 24).decode()
WHEN = datetime.fromtimestamp(1614265330, UTC)
BODY = b'{"test": 2432232314}'


def headers(**secrets: Secret) -> dict[str, str]:
    return signed(SignConfig(**secrets), "msg_p5jXN8AQM9LWM0D4loKWxJek", WHEN, BODY)


def test_the_vector_of_the_standard() -> None:
    assert headers(secret=Secret.literal(VECTOR)) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_two_secrets_give_two_signatures_each_as_it_would_be_alone() -> None:
    new, old = Secret.literal(OTHER), Secret.literal(VECTOR)
    both = headers(secret=new, previous=old)["webhook-signature"]
    assert both.split(" ") == [headers(secret=one)["webhook-signature"] for one in (new, old)]


def test_every_part_is_signed() -> None:
    config = SignConfig(secret=Secret.literal(VECTOR))
    later = datetime.fromtimestamp(1614265331, UTC)
    variants = [("a", WHEN, b"b"), ("c", WHEN, b"b"), ("a", later, b"b"), ("a", WHEN, b"c")]
    assert len({signed(config, *variant)["webhook-signature"] for variant in variants}) == 4


def test_secrets_are_read_for_each_signature(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{OTHER}\n")
    config = SignConfig(secret=Secret.file(file))
    first = signed(config, "id", WHEN, BODY)
    file.write_text(VECTOR)
    assert signed(config, "id", WHEN, BODY) != first
    for content in ("", "nonsense", "whsec_####"):
        file.write_text(content)
        with pytest.raises(Blocked) as caught:
            signed(config, "id", WHEN, BODY)
        assert caught.value.reason == "secret"
        assert str(file) in str(caught.value)
    file.unlink()
    with pytest.raises(Blocked):
        signed(config, "id", WHEN, BODY)


@pytest.mark.parametrize("size", [24, 25, 32, 64])
@pytest.mark.parametrize("padded", [True, False])
def test_secrets_of_each_allowed_size(size: int, padded: bool) -> None:
    text = base64.b64encode(b"x" * size).decode()
    assert SignConfig(secret=Secret.literal("whsec_" + (text if padded else text.rstrip("="))))


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "openssl rand"),
        ("whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "openssl rand"),
        ("a whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "openssl rand"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa?w", "not Base64"),
        ("whsec_ümlaut", "not Base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZI", "18 bytes"),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), "65 bytes"),
    ],
)
@pytest.mark.parametrize("option", ["secret", "previous"])
def test_what_is_no_secret_is_refused_without_being_shown(secret: str, words: str, option: str) -> None:
    secrets = {"secret": Secret.literal(VECTOR), option: Secret.literal(secret)}
    with pytest.raises(ValueError, match=words) as caught:
        SignConfig(**secrets)
    assert str(caught.value).startswith(f"{option}: ")
    assert secret.rpartition("_")[2] not in str(caught.value)


def test_a_file_that_is_not_there_yet_is_for_later(tmp_path: Path) -> None:
    assert SignConfig(secret=Secret.file(tmp_path / "absent"))
