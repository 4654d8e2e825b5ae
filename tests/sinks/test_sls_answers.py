"""`kind: sls`: what each documented answer means, and what the sink does about the clock and the key."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.sink import SinkContext
from eventer.values import Secret
from sinks import sls
from sinks._answers import Answer as Read
from sinks._sls_answers import failure, server_time
from sinks._sls_credentials import SlsAuthConfig
from tests.helpers.aliyun import write_sts
from tests.helpers.farside import Answer
from tests.helpers.fastclock import FastClock
from tests.helpers.logservice import LogService, error
from tests.helpers.sinks import batch_of, make_event
from tests.sinks.test_sls import ID, opened

NOW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)

TABLE: list[tuple[int, str, str, type[SinkError], str]] = [
    # https://help.aliyun.com/en/sls/developer-reference/error-codes
    (400, "RequestTimeExpired", "Request time has been expired", Retry, "clock"),
    (400, "InvalidRequestTime", "not follow RFC822", Retry, "clock"),
    (403, "RequestTimeTooSkewed", "too skewed", Retry, "clock"),
    (401, "SignatureNotMatch", "Signature x not matched.", Blocked, "denied"),
    (401, "Unauthorized", "The AccessKeyId is unauthorized.", Blocked, "denied"),
    (401, "Unauthorized", "The security token you provided is invalid.", Blocked, "expired"),
    (401, "Unauthorized", "The security token you provided has expired.", Blocked, "expired"),
    (401, "Unauthorized", "AccessKeyId not found: LTAI", Blocked, "denied"),
    (401, "Unauthorized", "AccessKeyId is disabled: LTAI", Blocked, "denied"),
    (401, "Unauthorized", "Your SLS service has been forbidden.", Blocked, "denied"),
    (401, "Unauthorized", "The project does not belong to you.", Blocked, "denied"),
    (403, "Unauthorized", "denied by sts or ram, action: log:PostLogStoreLogs, resource: acs:log", Blocked, "denied"),
    (401, "InvalidAccessKeyId", "Your SLS service has not opened.", Blocked, "denied"),
    (403, "WriteQuotaExceed", "Project write quota exceed: qps", Retry, "quota"),
    (403, "ShardWriteQuotaExceed", "Shard write quota exceed", Retry, "quota"),
    (400, "ProjectQuotaExceed", "Project Quota Exceed", Retry, "quota"),
    (403, "ExceedQuota", "Inflow Quota Exceed", Retry, "quota"),
    (403, "ProjectForbidden", "The Project has been forbidden.", Blocked, "project"),
    (404, "ProjectNotExist", "The Project does not exist : p", Blocked, "project"),
    (404, "LogStoreNotExist", "logstore does not exist", Blocked, "logstore"),
    (500, "LogStoreWithoutShard", "logstore has no shard", Blocked, "logstore"),
    (413, "PostBodyTooLarge", "Body size must be less than 10485760", Rejected, "too_large"),
    (400, "PostBodyTooLarge", "Logs must be less than 3M and 4096 lines.", Rejected, "too_large"),
    (400, "PostBodyInvalid", "Protobuffer content cannot be parsed.", Rejected, "refused_data"),
    (400, "InvalidTimestamp", "Invalid timestamps are in logs.", Rejected, "refused_data"),
    (400, "InvalidEncoding", "Non-UTF8 characters are in logs.", Rejected, "refused_data"),
    (400, "InvalidKey", "Invalid keys are in logs.", Rejected, "refused_data"),
    (400, "InvalidLogContent", "a log is not valid", Rejected, "refused_data"),
    (400, "PostBodyUncompressError", "Failed to decompress logs.", Blocked, "compression"),
    (400, "InvalidCompressType", "deflate is unsupported.", Blocked, "compression"),
    (400, "InvalidHost", "host is invalid", Blocked, "address"),
    (500, "InternalServerError", "Internal server error message.", Retry, "server"),
    (500, "RequestTimeout", "The request is timeout.", Retry, "server"),
    (503, "ServerBusy", "The server is busy, please try again later.", Retry, "server"),
    # What is in no table goes by its status.
    (400, "SomethingNew", "?", Rejected, "refused_data"),
    (401, "SomethingNew", "?", Blocked, "denied"),
    (403, "SomethingNew", "?", Blocked, "denied"),
    (404, "SomethingNew", "?", Blocked, "address"),
    (429, "SomethingNew", "?", Retry, "throttled"),
    (502, "SomethingNew", "?", Retry, "server"),
    (302, "SomethingNew", "?", Blocked, "redirect"),
]


@pytest.mark.parametrize(("status", "code", "message", "kind", "reason"), TABLE)
def test_what_an_answer_means(status: int, code: str, message: str, kind: type[SinkError], reason: str) -> None:
    body = json.dumps({"errorCode": code, "errorMessage": message}).encode()
    made = failure(Read(status, body, []), NOW)
    assert (type(made), made.reason) == (kind, reason)
    assert str(made).startswith(f"Log Service answered {status} ({code}).")
    if kind is Blocked:
        assert len(str(made).split(". ")) > 1, "what to do stands there"
    assert code in made.answer


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{}", b"[]", b'{"errorCode": 7}', b'{"errorCode": "a b\\n<c>"}', b"\xff", b"[" * 100_000],
)
def test_an_answer_of_something_else_goes_by_its_status(body: bytes) -> None:
    for status, kind in ((503, Retry), (429, Retry), (400, Rejected), (403, Blocked), (413, Rejected)):
        assert type(failure(Read(status, body, []), NOW)) is kind


def test_how_long_to_wait_is_as_the_answer_says() -> None:
    body = b'{"errorCode": "ServerBusy"}'
    made = failure(Read(503, body, [], {"retry-after": "7"}), NOW)
    assert made.after == 7.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-log-time": "1795163401", "date": "Mon, 03 Jan 2011 08:33:47 GMT"}, 1795163401.0),
        ({"x-log-time": "-1", "date": "Mon, 03 Jan 2011 08:33:47 GMT"}, 1294043627.0),
        ({"date": "Mon, 03 Jan 2011 08:33:47 GMT"}, 1294043627.0),
        ({"date": "yesterday"}, None),
        ({"date": "Mon, 03 Jan 99999 08:33:47 GMT"}, None),
        ({}, None),
    ],
)
def test_the_time_of_the_service(headers: dict[str, str], seconds: float | None) -> None:
    assert server_time(Read(400, b"", [], headers)) == seconds


@pytest.mark.parametrize("body", [b"", b"<html>Please log in</html>", b'{"ok": true}'])
async def test_a_success_that_is_not_of_the_service_is_none(far: Any, body: bytes) -> None:
    far.keys = {}
    far.answer = Answer(200, body)
    async with opened(far) as sink:
        with pytest.raises(Retry, match="not one of Log Service") as caught:
            await sink.send(batch_of([make_event()]))
        assert caught.value.reason == "answer"


# -- the clock -----------------------------------------------------------------------------------


class Skewed(FastClock):
    """A wall clock that is wrong."""

    def __init__(self, ahead: float) -> None:
        super().__init__(speed=0.0)
        self.ahead = ahead

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.ahead)


async def skewed(far: LogService, clock: Skewed) -> Any:
    far.now = lambda: NOW
    far.keys = {(ID, ""): "secret-of-mine"}
    auth = SlsAuthConfig(access_key_id=Secret.literal(ID), access_key_secret=Secret.literal("secret-of-mine"))
    config = sls.Config(
        kind="sls", project="my-project", logstore="k8s-events", region="cn-hangzhou", endpoint=far.url, auth=auth
    )
    sink = sls.Sink(config, SinkContext(name="x", clock=clock))
    await sink.open(None)
    return sink


@pytest.mark.parametrize("ahead", [-86400.0, -1000.0, 1000.0, 86400.0 * 400])
async def test_a_wrong_clock_is_corrected_by_the_answer_and_told_once(ahead: float) -> None:
    async with LogService() as far:
        clock = Skewed(ahead)
        sink = await skewed(far, clock)
        batch = batch_of([make_event(time=NOW + timedelta(hours=1))])
        with pytest.raises(Retry) as caught:
            await sink.send(batch)
        assert (caught.value.reason, caught.value.after) == ("clock", 0.0)
        assert f"{abs(ahead):.0f} s {'behind' if ahead < 0 else 'ahead of'} that of" in str(caught.value)
        await sink.send(batch)
        (taken,) = far.logs
        assert taken.time == int(NOW.timestamp()), "not in the future by the clock of the service"
        clock.ahead = 0.0  # somebody sets it
        with pytest.raises(Retry):
            await sink.send(batch)
        await sink.send(batch)
        await sink.close()
    assert len(far.logs) == 2


async def test_a_clock_that_is_nearly_right_is_left_alone() -> None:
    async with LogService() as far:
        sink = await skewed(far, Skewed(800.0))
        await sink.send(batch_of([make_event()]))
        await sink.close()
    assert len(far.requests) == 1


@pytest.mark.parametrize("date", ["", "nonsense", format_datetime(NOW, usegmt=True)])
async def test_a_clock_that_is_refused_though_it_is_right_is_no_hot_loop(date: str) -> None:
    async with LogService() as far:
        sink = await skewed(far, Skewed(0.0))
        far.fault = error(400, "RequestTimeExpired", Date=date)
        for _ in range(3):
            with pytest.raises(Retry) as caught:
                await sink.send(batch_of([make_event()]))
            assert (caught.value.reason, caught.value.after) == ("clock", None)
        await sink.close()


# -- the key -------------------------------------------------------------------------------------


async def test_a_key_that_was_replaced_meanwhile_is_used_at_once(tmp_path: Any) -> None:
    path = tmp_path / "token"
    write_sts(path, ID, "first-secret", "first-token")
    async with LogService() as far:

        async def renew() -> None:
            if len(far.requests) == 1:
                write_sts(path, ID, "second-secret", "second-token")

        far.before = renew
        far.expired = {"first-token"}
        async with opened(far, auth=SlsAuthConfig(sts_file=str(path))) as sink:
            far.keys = {(ID, "first-token"): "first-secret", (ID, "second-token"): "second-secret"}
            with pytest.raises(Retry) as caught:
                await sink.send(batch_of([make_event()]))
            assert (caught.value.reason, caught.value.after) == ("expired", 0.0)
            await sink.send(batch_of([make_event()]))
            far.expired.add("second-token")
            with pytest.raises(Blocked) as blocked:
                await sink.send(batch_of([make_event()]))
            assert blocked.value.reason == "expired"
    assert len(far.logs) == 1


async def test_a_signature_that_is_repeated_is_not_shown(service_with_echo: LogService) -> None:
    async with opened(service_with_echo) as sink:
        with pytest.raises(Blocked) as caught:
            await sink.send(batch_of([make_event()]))
    signature = service_with_echo.requests[0].headers["authorization"].rpartition("=")[2]
    assert "SignatureNotMatch" in caught.value.answer
    assert "<secret>" in caught.value.answer
    assert signature not in caught.value.answer


@pytest.fixture
async def service_with_echo() -> Any:
    async with LogService() as far:

        async def echo() -> None:
            signature = far.requests[-1].headers["authorization"].rpartition("=")[2]
            far.fault = error(401, "SignatureNotMatch", f"Signature {signature} not matched.")

        far.before = echo
        yield far


# -- the probe -----------------------------------------------------------------------------------


async def test_a_probe_writes_nothing_and_says_what_it_proved() -> None:
    async with LogService() as far:
        async with opened(far) as sink:
            assert "is there" in await sink.probe()
            far.logstore = "other"
            with pytest.raises(Blocked) as caught:
                await sink.probe()
            assert caught.value.reason == "logstore"
            assert "k8s-events does not exist" in caught.value.answer
            far.fault = error(401, "Unauthorized", "denied by sts or ram, action: log:GetLogStore, resource: acs")
            assert "knows our access key" in await sink.probe()
            far.fault = error(401, "SignatureNotMatch")
            with pytest.raises(Blocked):
                await sink.probe()
        assert not far.logs
