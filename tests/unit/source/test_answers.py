"""What unsuccessful answers become."""

from __future__ import annotations

import ssl

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventer.errors import Gone, Refused
from eventer.source.answers import date_of, failure_of, words


def after(value: str, date: str = "Sat, 21 Nov 2026 00:00:00 GMT") -> float | None:
    error = failure_of(429, {"Retry-After": value, "Date": date}, b"")
    assert isinstance(error, Refused)
    return error.after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("86400", 3600.0),
        ("99999999999999999999", 3600.0),
        ("Sat, 21 Nov 2026 00:00:30 GMT", 30.0),
        ("Fri, 20 Nov 2026 00:00:30 GMT", 0.0),
        ("Sun, 22 Nov 2026 00:00:30 GMT", 3600.0),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("²", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert after(value) == seconds


def test_a_page_of_a_proxy_is_not_quoted() -> None:
    error = failure_of(502, {}, b"<html><body>token=abc</body></html>")
    assert isinstance(error, Refused)
    assert error.status == 502
    assert "html" not in str(error) and "proxy" in str(error)


def test_a_status_names_its_first_cause() -> None:
    body = b'{"code":504,"reason":"Timeout","message":"m","details":{"causes":[{"reason":"ResourceVersionTooLarge"}]}}'
    error = failure_of(504, {}, body)
    assert isinstance(error, Refused) and error.cause == "ResourceVersionTooLarge"


def test_410_is_gone_whatever_the_words() -> None:
    assert isinstance(failure_of(410, {}, b"gone fishing"), Gone)


def test_credentials_in_a_servers_words_are_hidden() -> None:
    error = failure_of(403, {}, b'{"message":"Authorization: Bearer abcdefghijkl\\u001b[31m"}')
    assert "abcdefghijkl" not in str(error) and "\x1b" not in str(error)


def test_words_hold_no_address() -> None:
    key = aiohttp.client_reqrep.ConnectionKey("secret.example", 443, False, True, None, None, None)
    error = aiohttp.ClientConnectorError(key, OSError(111, "Connection refused"))
    assert words(error) == "connection refused"
    assert "pw" not in words(aiohttp.InvalidURL("https://user:pw@host/?token=x"))
    assert words(ssl.SSLError(1, "x"))
    assert words(ssl.SSLCertVerificationError(1, "x"))


@given(st.text(), st.text(), st.binary(max_size=100), st.integers(min_value=300, max_value=599))
def test_any_answer_becomes_an_error(retry: str, date: str, body: bytes, code: int) -> None:
    error = failure_of(code, {"Retry-After": retry, "Date": date}, body)
    assert isinstance(error, Gone if code == 410 else Refused)
    if isinstance(error, Refused):
        assert error.after is None or 0.0 <= error.after <= 3600.0
    date_of({"Date": date})
