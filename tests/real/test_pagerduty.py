"""PagerDuty's incidents, by a daemon that is killed in between: PagerDuty is played, what is told of is not."""

from __future__ import annotations

from eventer.demo.apiserver import ApiServer
from eventer.journal import read_books
from tests.helpers.oncall import FakePagerDuty
from tests.helpers.process import until
from tests.real.conftest import MakeDaemon

PROBLEMS = 30


async def test_each_problem_is_one_incident_and_each_is_resolved_though_they_come_in_digests(
    daemons: MakeDaemon,
) -> None:
    """Times are scaled: a problem is over after 2 s of calm. The limit is what makes digests of the notifications."""
    api = ApiServer()
    await api.start()
    daemon = daemons(sources=[], scaled={"eventer.alerting.terms:Timing.calm": 2.0}, env={"KEY": "R" * 32})
    kubeconfig = api.write_kubeconfig(daemon.directory / "kubeconfig")
    daemon.config["sources"] = [{"cluster": "prod", "kubernetes": {"kubeconfig": str(kubeconfig), "nodes": False}}]
    async with FakePagerDuty("R" * 32) as far:
        daemon.config["sinks"] = {
            "oncall": {
                "kind": "pagerduty",
                "url": f"{far.url}/v2/enqueue",
                "routing_key": "${KEY}",
                "group": {"by": ["cluster", "name"], "wait": "1s", "interval": "1s"},
                "limit": "3/s",
            }
        }
        try:
            await daemon.start()
            far.answering.clear()
            for number in range(PROBLEMS):
                api.create(about=f"pod-{number}", type="Warning", reason="BackOff")
            await until(far.came.is_set, "the first request")
            daemon.kill9()
            far.answering.set()
            await daemon.start()
            await until(lambda: len(far.incidents) == PROBLEMS, "all incidents")
            assert len(far.calls) == len(set(far.calls)) == PROBLEMS

            far.came.clear()
            far.answering.clear()
            for number in range(PROBLEMS):
                api.create(about=f"pod-{number}", type="Normal", reason="Started")
            await until(far.came.is_set, "the first end")
            daemon.kill9()
            far.answering.set()
            await daemon.start()
            await until(lambda: not far.incidents, "the end of all incidents")
            assert len(far.calls) == PROBLEMS
            assert await daemon.term() == 0
        finally:
            await api.stop()
    books = read_books(daemon.state)
    reader, record = books.alerting["oncall"], books.notifiers["oncall"]
    assert reader.waiting == 0
    assert record.cursor == reader.opened == sum(record.outcomes.values())
    assert record.outcomes["folded"] > 0
    assert b"R" * 32 not in (daemon.directory / "daemon.log").read_bytes()
