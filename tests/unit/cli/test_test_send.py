"""`eventer test-send`: one sample, and what is said of each way in which it can end."""

import asyncio
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import product
from pathlib import Path
from typing import get_type_hints

import pytest

import sinks
from eventer.alerting.notification import decode
from eventer.cli import main
from eventer.event import Origin
from eventer.sink import kinds, load
from tests.helpers.robots import Robots


@pytest.fixture
def send(tmp_path, capsys, monkeypatch):
    """Send to the one sink of a configuration; returns exit code and what was said on standard error."""
    monkeypatch.setattr(sinks, "__path__", [*sinks.__path__, str(Path(__file__).parent / "kinds")])

    def send(options, *more, name="ops", **environ):
        for key, value in environ.items():
            monkeypatch.setenv(key, value)
        path = tmp_path / "c.yaml"
        path.write_text(f"sources: [{{cluster: prod}}]\nfilter: [{{drop: {{}}}}]\nsinks: {{ops: {{{options}}}}}\n")
        code = main(["test-send", name, *more, "-c", str(path)])
        captured = capsys.readouterr()
        assert captured.out == ""
        return code, captured.err

    return send


@pytest.fixture
def scripted(send):
    module = load("scripted")
    module.SENT.clear()
    module.CALLS.clear()
    return module


def test_the_sample_is_marked_and_sent_once_whatever_filter_and_match_say(send, scripted):
    code, err = send("kind: scripted, match: [{type: Warning}]")
    assert code == 0
    assert re.fullmatch(r"ops: sent, and confirmed by the far side after \d+\.\d s\n", err)
    (event,) = scripted.SENT
    assert (event.origin, event.type, event.reason, event.cluster) == (Origin.EVENTER, "Normal", "TestSend", "prod")
    assert event.message == ("This is a test of the sink ops, sent by hand with eventer test-send. Nothing is wrong.")
    assert scripted.CALLS == [("open", None), ("send", 1), ("close", None)]


def test_a_sink_that_is_told_of_problems_is_sent_a_notification(send):
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        code, err = send(f"kind: webhook, url: 'http://127.0.0.1:{server.server_port}/', format: single, group: {{}}")
        thread.join()
    assert code == 0, err
    note = decode(bodies[0])
    assert (note.severity, note.items[0].reason) == ("info", "TestSend")
    assert note.items[0].message.startswith("This is a test of the sink ops")


@pytest.fixture
def robots():
    """Scripted robots that answer from a thread of their own, since the command runs a loop itself."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    made = Robots(time.time)
    asyncio.run_coroutine_threadsafe(made.__aenter__(), loop).result(30)
    yield made
    asyncio.run_coroutine_threadsafe(made.__aexit__(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


CHATS = {
    "dingtalk": "kind: dingtalk, url: '{url}'",
    "feishu": "kind: feishu, url: '{url}'",
    "wecom": "kind: wecom, url: '{url}'",
    "wecomapp": "kind: wecom, app: {{corp_id: ww1, agent_id: 1000002, secret: '{token}', api: '{url}', to: {{users: [li]}}}}",
    "slack": "kind: slack, url: '{url}'",
    "slackbot": "kind: slack, token: '{token}', channel: ops, api: '{url}'",
    "teams": "kind: teams, url: '{url}'",
}


@pytest.mark.parametrize("sample", ["oom", "node", "storm", "resolved"])
@pytest.mark.parametrize("vendor", CHATS)
def test_each_chat_shows_each_sample_marked_as_a_test(send, robots, vendor, sample):
    robot = robots.add(vendor, "a-secret-token")
    code, err = send(CHATS[vendor].format(url=robot.url, token=robot.token), f"--sample={sample}")
    assert (code, err.count("\n")) == (0, 1), err
    assert err.startswith("ops: sent, and confirmed by the far side")
    (message,) = robot.messages
    assert "TEST prod" in json.dumps(message)


@pytest.mark.parametrize(
    ("vendor", "changes", "said"),
    [
        ("dingtalk", {"secret": "SECother"}, "The robot refuses the signature. Check `secret`, and this machine's clock."),
        ("dingtalk", {"keyword": "巡检"}, "Set `keyword` to it."),
        ("dingtalk", {"stopped": True}, "The robot or its group is switched off or gone."),
        ("dingtalk", {"token": "other"}, "Copy the address from the robot's settings anew."),
        ("feishu", {"secret": "other"}, "The bot refuses the signature. Check `secret`"),
        ("feishu", {"token": "other"}, "Copy the address from the bot's settings anew."),
        ("wecom", {"token": "other"}, "Copy the address from the robot's settings anew."),
        ("wecomapp", {"token": "other"}, "Check `app.secret`: it is that of the application"),
        ("slack", {"stopped": True}, "The channel is archived."),
        ("slack", {"token": "other"}, "The webhook is gone."),
        ("slackbot", {"stopped": True}, "The channel is archived."),
        ("slackbot", {"token": "other"}, "write its Bot User OAuth Token."),
        ("teams", {"stopped": True}, "The workflow is switched off or deleted."),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_robot_is_said_in_one_sentence(send, robots, vendor, changes, said):
    robot = robots.add(vendor, changes.pop("token", "a-secret-token"), **changes)
    url = robot.url.replace("other", "a-secret-token")
    code, err = send(CHATS[vendor].format(url=url, token="a-secret-token"), "--sample=oom")
    assert (code, err.count("\n")) == (1, 1), err
    assert said in err
    assert "a-secret-token" not in err
    assert robot.messages == []


def test_those_who_were_not_reached_are_named(send, robots):
    robot = robots.add("wecomapp", "a-secret-token")
    options = CHATS["wecomapp"].format(url=robot.url, token=robot.token).replace("[li]", "[li, gone-wang]")
    code, err = send(options, "--sample=oom")
    assert code == 0
    assert "ops: WeCom could not reach users gone-wang. Check `app.to`.\n" in err


def test_a_sink_of_events_has_no_samples(send, scripted):
    code, err = send("kind: scripted", "--sample=oom")
    assert code == 1
    assert "leave out --sample" in err
    assert scripted.SENT == []


def test_samples_have_ids_of_their_own_and_one_entity(send, scripted):
    send("kind: scripted")
    send("kind: scripted")
    first, second = scripted.SENT
    assert first.id != second.id
    assert first.entity == second.entity
    assert 0 < first.version <= second.version


RETRY = "The daemon would try again; look whether the far side is up and can be reached from here."
BLOCKED = "The daemon would wait until this is put right."
REJECTED = "The daemon would keep such an event as a dead letter; correct the sink's options."


TOLD = {
    "retry": f"The connection was refused. {RETRY}",
    "blocked": f"The token is not accepted. It answered: token=<secret> bad\\x1b {BLOCKED}",
    "rejected": f"The body is no JSON. {REJECTED}",
    "timeout": f"No answer within 15 s. {RETRY}",
    "broken": f"The sink failed with KeyError, which is a bug in it. {REJECTED}",
}
OF_AN_ITEM = ("retry", "blocked", "rejected")


@pytest.mark.parametrize(
    ("when", "how"),
    [*product(["opening", "sending"], TOLD), *product(["item"], OF_AN_ITEM)],
)
def test_what_went_wrong_is_told_with_what_to_do(send, scripted, when, how):
    assert send(f"kind: scripted, {when}: {how}") == (1, f"ops: not sent: {TOLD[how]}\n")
    assert scripted.CALLS[-1] == ("close", None)


def test_a_far_side_that_does_not_answer_is_given_up(send, scripted, monkeypatch):
    monkeypatch.setattr("eventer.cli.test_send._GRACE", 0.01)
    assert send("kind: scripted, sending: hang, timeout: 10ms") == (
        1,
        f"ops: not sent: No answer within 0.01 s. {RETRY}\n",
    )


def test_a_sink_whose_state_the_journal_keeps_is_not_touched(send, tmp_path):
    path = tmp_path / "events.jsonl"
    code, err = send(f"kind: file, path: {path}")
    assert code == 1
    assert err == (
        "ops: a sink of kind file must not be tried: the journal knows what it has written, and a test would not be in "
        "the journal. Start the daemon and look at what arrives.\n"
    )
    assert not path.exists()


@pytest.mark.parametrize("kind", kinds())
def test_sinks_that_keep_a_state_say_so(kind):
    module = load(kind)
    returned = get_type_hints(module.Sink.open)["return"]
    assert module.Config.keeps_state is (returned is not type(None))


def test_a_name_that_is_none(send):
    assert send("kind: stdout", name="op") == (1, "op: there is no such sink; did you mean ops?\n")
    assert send("kind: stdout", name="x\x1b") == (1, "x\\x1b: there is no such sink; the sinks are ops\n")


def test_a_configuration_with_faults_sends_nothing(send):
    code, err = send("kind: stdot")
    assert code == 78
    assert re.fullmatch(r"eventer test-send: (\S+) has faults; eventer check -c \1 names them\n", err)


@pytest.fixture
def server():
    """An HTTP server that keeps what it gets and answers with `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.bodies.append(json.loads(body))
            self.send_response(self.server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.bodies, server.status = [], 200
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (401, 1), (503, 1)])
def test_a_real_sink(send, server, status, code):
    server.status = status
    got, err = send("kind: webhook, url: '${HOOK}'", HOOK=f"http://127.0.0.1:{server.server_port}/hook")
    assert got == code, err
    assert [[event["reason"] for event in body] for body in server.bodies] == [["TestSend"]]
    assert err.startswith("ops: sent, and confirmed" if code == 0 else "ops: not sent: ")
