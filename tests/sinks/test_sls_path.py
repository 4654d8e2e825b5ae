"""`kind: sls` in a whole daemon: bad days of the service, after which every event is there, or told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventer.delivery import runner
from eventer.delivery.breaker import Pace
from eventer.demo.apiserver import ApiServer
from eventer.event import Outcome
from tests.helpers.aliyun import write_sts
from tests.helpers.farside import Answer
from tests.helpers.fastclock import FastClock
from tests.helpers.inprocess import Site
from tests.helpers.logservice import Group, LogService, error
from tests.helpers.until import until

ID = "STS.Nexample"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace(retry_base=0.01, retry_cap=0.02, probe_base=0.01, probe_cap=0.02)
    monkeypatch.setattr(runner, "Pace", lambda: pace)  # minutes between probes, scaled


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    server = ApiServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def service() -> AsyncIterator[LogService]:
    async with LogService() as far:
        far.keys = {(ID, "first-token"): "first-secret", (ID, "second-token"): "second-secret"}
        yield far


def site_of(directory: Path, server: ApiServer, service: LogService) -> Site:
    write_sts(directory / "token", ID, "first-secret", "first-token")
    site = Site(directory, server)
    site.document["sinks"]["logs"] = {
        "kind": "sls", "project": "my-project", "logstore": "k8s-events", "region": "cn-hangzhou",
        "endpoint": service.url, "auth": {"sts_file": str(directory / "token")}, "batch": {"count": 20},
    }  # fmt: skip
    return site


def names(service: LogService) -> list[str]:
    return [log.fields["event"].removeprefix("default/") for log in service.logs if log.fields["origin"] == "event"]


@pytest.mark.parametrize(
    "fault",
    [
        error(403, "WriteQuotaExceed", "Project write quota exceed: inflow"),
        error(500, "InternalServerError"),
        error(404, "LogStoreNotExist"),
        error(401, "Unauthorized", "denied by sts or ram, action: log:PostLogStoreLogs"),
        Answer(200, b"<html>Please log in</html>", {"x-log-requestid": ""}),
        Answer(200, cut=20),
    ],
    ids=["quota", "broken", "no-logstore", "no-right", "portal", "cut"],
)
async def test_what_comes_while_the_service_refuses_everything_is_there_afterwards(
    tmp_path: Path, server: ApiServer, service: LogService, fault: Answer
) -> None:
    site, clock = site_of(tmp_path, server, service), FastClock()
    service.now = clock.now
    async with site.running(clock) as life:
        service.fault = fault
        for number in range(50):
            server.create(f"e{number}")
        await site.has("e49")
        await until(lambda: len(service.requests) > 2, "it to be tried again")
        assert not service.logs
        service.fault = None
        await life.settled("logs")
    assert sorted(names(service)) == sorted(f"e{number}" for number in range(50))
    assert site.balanced() == 50


async def test_a_key_that_expires_under_load_costs_nothing(
    tmp_path: Path, server: ApiServer, service: LogService
) -> None:
    site, clock = site_of(tmp_path, server, service), FastClock()
    service.now = clock.now
    async with site.running(clock) as life:
        server.create("before")
        await until(lambda: names(service) == ["before"], "the first event")
        service.expired.add("first-token")
        server.create("between")
        await until(lambda: len(service.requests) > 2, "it to be refused")
        write_sts(tmp_path / "token", ID, "second-secret", "second-token")
        server.create("after")
        await site.has("after")
        await life.settled("logs")
    assert names(service) == ["before", "between", "after"]
    assert site.balanced() == 3
    for file in site.state.iterdir():
        if file.is_file():
            assert not any(secret in file.read_bytes() for secret in (b"-secret", b"-token"))


async def test_an_event_that_the_service_never_takes_is_a_dead_letter_alone(
    tmp_path: Path, server: ApiServer, service: LogService
) -> None:
    def refuse(group: Group) -> Answer | None:
        bad = any("poison" in log.fields["message"] for log in group.logs)
        return error(400, "InvalidLogContent", "a log is not valid") if bad else None

    service.refuse = refuse
    site, clock = site_of(tmp_path, server, service), FastClock()
    service.now = clock.now
    async with site.running(clock) as life:
        for number in range(40):
            server.create(f"e{number}", message="poison" if number == 17 else "fine")
        await site.has("e39")
        await life.settled("logs")
        outcomes = life.journal.readers["logs"].outcomes
    assert sorted(names(service)) == sorted(f"e{number}" for number in range(40) if number != 17)
    assert outcomes[Outcome.DEAD] == 1
    assert site.balanced() == 40
