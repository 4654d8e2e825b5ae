"""X1: a secret in every place that takes one, far sides and API servers that echo it, and a look at all that is left.

Every secret is a text of its own, so that a hit says where it got out. It is looked for as it is and in
the forms that travel: percent-encoded, in Base64, as JSON escapes it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import sqlite3
import stat
import sys
import traceback
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import structlog

from eventer.cli import main as command
from eventer.delivery import runner
from eventer.delivery.breaker import Pace
from eventer.demo.apiserver import ApiServer, status_body
from eventer.demo.faults import Fault
from eventer.event import Outcome
from eventer.sink import SinkContext, load
from tests.helpers.farside import Answer, FarSide, Request
from tests.helpers.inprocess import Life, Site
from tests.helpers.until import until
from tests.sinks.test_tls import TLS, server_tls

PASSWORDS = ("path", "query", "user", "basic", "proxy")
SECRETS = {
    # Tokens are made of what a header can hold; a password may be anything.
    name: f"{name}{'#' if name in PASSWORDS else '-'}canary/{number:02}-7f3a9d51c2"
    for number, name in enumerate(
        [
            "path", "query", "user", "bearer", "basic", "key", "sign", "previous", "proxy", "tls",
            "token", "clientkey", "execenv", "exectoken", "execerror",
        ]
    )
}  # fmt: skip
ANSWERS = [
    Answer(503), Answer(302), Answer(200), Answer(429, headers={"Retry-After": "1"}), Answer(401), Answer(407),
    Answer(413), Answer(400),
]  # fmt: skip
"""What each far side says in turn; the last one for ever, which makes dead letters."""


def forms(secret: str) -> Iterator[str]:
    """Spell a secret in each way in which it may travel or be echoed."""
    for text in (secret, f"me:{secret}", secret[-20:]):
        yield text
        yield quote(text)
        yield quote(text, safe="")
        yield json.dumps(text)[1:-1].replace("/", r"\/")
        for shift in range(3):  # within a longer text, Base64 looks one of three ways
            yield base64.b64encode(b"-" * shift + text.encode()).decode()[shift and 4 : -4]


def hits(text: str) -> list[str]:
    """Name the secrets that stand in a text, in whatever form."""
    return [
        f"{name}: ...{text[max(0, text.index(form) - 80) :][:160]}..."
        for name, secret in SECRETS.items()
        for form in forms(secret)
        if form in text
    ][:3]


def test_the_scan_finds_what_it_looks_for() -> None:
    secret = SECRETS["basic"]
    for said in (secret, quote(secret), quote(secret, safe=""), base64.b64encode(f"x:me:{secret}!".encode()).decode()):
        assert hits(f"Basic {said} was wrong")
    assert not hits("nothing of it")


class Echo(FarSide):
    """Answers with everything it was told, as servers in trouble do."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._turn = 0

    def respond(self, request: Request) -> Answer:
        base = ANSWERS[min(self._turn, len(ANSWERS) - 1)]
        self._turn += 1
        said = {
            "error": f"{request.method} {request.target} failed for {request.headers} at http://h{request.target}",
            "headers": request.headers,
            "decoded": [
                base64.b64decode(value[6:]).decode() for value in request.headers.values() if value.startswith("Basic ")
            ],
            "body": request.body.decode("utf-8", "replace")[:300],
        }
        headers = base.headers | {
            "Location": f"http://127.0.0.1:9{request.target}",
            "X-Echo": str(request.headers)[:500],
        }
        return Answer(base.status, json.dumps(said).encode(), {k: v.replace("\n", " ") for k, v in headers.items()})


class Scene:
    """A daemon with one sink for each place of a secret, and one cluster for each way to authenticate."""

    def __init__(self, directory: Path, site: Site, far: FarSide, others: list[FarSide]) -> None:
        self.site = site
        self.directory = directory
        self._far = far
        self._others = iter(others)

    def file(self, name: str, text: str) -> str:
        path = self.directory / f"secret-{name}"
        path.write_text(f"{text}\n")
        return str(path)

    def sinks(self) -> dict[str, Any]:
        def hook(**options: Any) -> dict[str, Any]:
            far = next(self._others)
            success = {"field": "ok", "equals": True, "otherwise": "retry"}
            return {"kind": "webhook", "url": f"{far.url}/in", "timeout": "20s", "success": success} | options

        def at(place: Callable[[str], str], name: str) -> dict[str, Any]:
            made = hook()
            return made | {"url": place(made["url"])}

        key = (TLS / "key.pem").read_text()
        whsec = {name: "whsec_" + base64.b64encode(SECRETS[name].encode()).decode() for name in ("sign", "previous")}
        path, query, user = (quote(SECRETS[name], safe="") for name in ("path", "query", "user"))
        return {
            "path": at(lambda url: f"{url}/{path}/x", "path"),
            "query": at(lambda url: f"{url}?a=b&k={query}", "query"),
            "user": at(lambda url: url.replace("://", f"://me:{user}@"), "user"),
            "bearer": hook(auth={"bearer_file": self.file("bearer", SECRETS["bearer"])}),
            "basic": hook(auth={"basic": {"username": "me", "password": SECRETS["basic"]}}),
            "key": hook(auth={"header": "X-Caller", "value_file": self.file("key", SECRETS["key"])}),
            "sign": hook(sign={"secret": whsec["sign"], "previous_file": self.file("previous", whsec["previous"])}),
            "proxy": hook(
                url="http://far.example/in",
                proxy={"url": next(self._others).url, "basic": {"username": "me", "password": SECRETS["proxy"]}},
            ),
            "tls": hook(
                url=f"{self._far.url}/in",
                tls={
                    "ca_file": str(TLS / "ca.pem"),
                    "cert_file": str(TLS / "good.pem"),
                    "key_file": self.file("tls", f"{SECRETS['tls']}\n{key}"),
                },
            ),
        }


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with contextlib.AsyncExitStack() as stack:
        others = [await stack.enter_async_context(Echo()) for _ in range(10)]
        far = await stack.enter_async_context(Echo(tls=server_tls(asks=True)))
        servers: dict[str, ApiServer] = {}
        for name in ("token", "clientkey", "exec"):
            servers[name] = server = ApiServer()
            await server.start(tls=server_tls() if name == "clientkey" else None)
            stack.push_async_callback(server.stop)
            server.create("crash", reason="BackOff", message="it crashed")
            server.create("again", reason="Failed", message="and again")
        servers["token"].token = SECRETS["token"]
        servers["exec"].token = SECRETS["exectoken"]
        site = Site(tmp_path, servers["token"])
        made = Scene(tmp_path, site, far, others)
        site.document["sinks"] |= made.sinks()
        site.document["sources"] = [_source(tmp_path, name, server) for name, server in servers.items()]
        for name, server in servers.items():
            said = f"Bearer {SECRETS['exectoken' if name == 'exec' else name]} is not welcome at {server.url}"
            for kind in ("namespace", "list", "watch"):
                server.faults.add(kind, Fault(status=500, body=status_body(500, "InternalError", said)))
                server.faults.add(kind, Fault(status=403, body=said.encode()))
                server.faults.add(kind, Fault(status=401, body=status_body(401, "Unauthorized", said)))
                server.faults.add(
                    kind, Fault(raw=f"HTTP/1.1 200 OK\r\nX-A: {said}\r\nContent-Length: x\r\n\r\n{said}".encode())
                )
        yield made


def _source(directory: Path, name: str, server: ApiServer) -> dict[str, Any]:
    """Write a kubeconfig with secrets, and return a source that reads it."""
    path = server.write_kubeconfig(directory / f"kubeconfig-{name}", ca=TLS / "ca.pem" if name == "clientkey" else None)
    document = json.loads(path.read_text())
    user = document["users"][0]["user"]
    if name == "clientkey":
        key = f"{SECRETS['clientkey']}\n{(TLS / 'key.pem').read_text()}"
        user["client-key-data"] = base64.b64encode(key.encode()).decode()
        user["client-certificate-data"] = base64.b64encode((TLS / "good.pem").read_bytes()).decode()
    elif name == "exec":
        plugin = directory / "plugin"
        status = {
            "kind": "ExecCredential",
            "apiVersion": "client.authentication.k8s.io/v1",
            "status": {"token": SECRETS["exectoken"]},
        }
        plugin.write_text(
            f"#!{sys.executable}\n"
            "import os, pathlib, sys\n"
            f"done = pathlib.Path({str(directory / 'asked')!r})\n"
            "if not done.exists():\n"
            "    done.touch()\n"
            f"    sys.exit('no ' + os.environ['PLUGIN_SECRET'] + {SECRETS['execerror']!r})\n"
            f"print({json.dumps(status)!r})\n"
        )
        plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
        user["exec"] = {
            "command": str(plugin),
            "apiVersion": "client.authentication.k8s.io/v1",
            "interactiveMode": "Never",
            "env": [{"name": "PLUGIN_SECRET", "value": SECRETS["execenv"]}],
        }
    path.write_text(json.dumps(document))
    return {"cluster": name, "kubernetes": {"kubeconfig": str(path)}}


def contents(database: Path) -> Iterator[str]:
    """Return every value of every table, packed ones unpacked."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        (dictionary,) = connection.execute("SELECT value FROM meta WHERE name = 'dictionary'").fetchone()
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f"SELECT * FROM {table}"):
                for value in row:
                    yield str(value)
                    if isinstance(value, bytes):
                        yield value.decode("latin-1")
                        with contextlib.suppress(zlib.error):
                            yield zlib.decompressobj(zdict=dictionary).decompress(value).decode("latin-1")


async def test_x1_no_secret_gets_out(
    scene: Scene, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry = Pace(retry_base=0.01, retry_cap=0.01, probe_base=0.01, probe_cap=0.01)
    monkeypatch.setattr(runner, "Pace", lambda: hurry)  # minutes between probes, scaled
    caplog.set_level(logging.DEBUG)
    site, seen = scene.site, []
    names = [name for name in site.document["sinks"] if name != "out"]
    said: set[str] = set()
    with structlog.testing.capture_logs() as logged:
        async with site.running(watching=False) as life:

            async def look() -> None:
                for path in ("/healthz", "/readyz", "/livez", "/metrics"):
                    seen.append((await life.get(path))[1])
                for each in life.view.runners.values():
                    said.add(each.status.error)

            def over() -> bool:
                said.update(each.status.error for each in life.view.runners.values())
                return life.task.done() or all(_dead(life, name) == 6 for name in names)

            await look()
            await until(over, "all events of all clusters to be dead letters", within=60)
            await look()
            seen += [repr(life.daemon), repr(site.config())]
            for name, options in site.config().sinks.items():
                sink = load(options.kind).Sink(options, SinkContext(name=name, clock=life.view.clock))
                seen += [repr(options), repr(sink), repr(vars(sink)), *map(_parts, vars(sink).values())]
    assert command(["check", "-c", str(scene.directory / "eventer.yaml")]) == 0
    assert site.balanced() == 6

    answers = [value for value in contents(site.state / "journal.db") if "is not" in value or "failed for" in value]
    assert len(answers) >= 6 * len(names), "far sides echoed, and what they said was kept"
    assert len(said) > 3 * len(names), "each sink had several ways to fail"
    assert [line for line in logged if "echo" in str(line) or "welcome" in str(line)], "so did API servers"

    seen += [str(line) for line in logged] + [_trace(line) for line in logged]
    seen += [caplog.text, *capfd.readouterr(), *said]
    seen += contents(site.state / "journal.db")
    seen += [path.read_bytes().decode("latin-1") for path in site.state.rglob("*") if path.is_file()]
    seen.append(site.out.read_text())
    assert [hit for text in seen for hit in hits(text)] == []


def _dead(life: Life, name: str) -> int:
    return life.journal.readers[name].outcomes.get(Outcome.DEAD, 0)


def _parts(value: object) -> str:
    return repr(vars(value)) if hasattr(value, "__dict__") else repr(value)


def _trace(line: Any) -> str:
    error = line.get("exc_info")
    return "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else ""
