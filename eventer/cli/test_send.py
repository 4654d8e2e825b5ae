"""`eventer test-send`: one marked sample to one sink, and in a sentence what happened."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
import uuid
from typing import Any, Final

import msgspec

from eventer.alerting.notification import Item, Notification, Why, encode
from eventer.alerting.samples import SAMPLES, sample
from eventer.cli import EX_CONFIG, add_command, add_config_option
from eventer.cli.colour import GREEN, RED, YELLOW, painter, wants_colour
from eventer.clock import SystemClock
from eventer.config.load import examine
from eventer.config.words import similar
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.event import Event, encode_lines, own_record
from eventer.sink import Batch, Sent, SinkConfig, SinkContext, load
from eventer.text import escape, redact

__all__ = ["add_parser", "main"]

_TEXT: Final = """\
Makes the sink as the configuration says and sends one event through it, marked as a test
(origin eventer, reason TestSend). It says what happened in one sentence. The filter and the sink's
match are not asked, nothing is tried twice, and a daemon that runs takes no notice.

With --sample, a notifier sends what people would get on a bad day: an OOM kill, a node that is gone, a storm, or the
end of a problem. Its cluster is called TEST. Whoever is mentioned for such a problem is mentioned.
"""
_EXAMPLES: Final = ("eventer test-send ops-chat -c eventer.yaml", "eventer test-send ops-chat --sample storm")
_GRACE: Final = 1.0
"""Seconds beyond a sink's time-out: it knows better words for what it was waiting for."""


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    codes = {0: "the far side took the event", 1: "it did not", 2: "", 78: ""}
    parser = add_command(subparsers, "test-send", _TEXT, _EXAMPLES, codes)
    parser.add_argument("sink", metavar="SINK", help="name of the sink in the configuration")
    parser.add_argument("--sample", choices=SAMPLES, help="what to send, to a notifier (default: a plain test)")
    add_config_option(parser)


def main(args: argparse.Namespace) -> int:
    """Send the sample.

    Returns:
        0 if it was taken, 1 if not, 78 if the configuration has faults.
    """
    paint = painter(colour=wants_colour(sys.stderr))

    def say(code: str, text: str) -> None:
        # On standard error: standard output may be the sink.
        print(f"{escape(args.sink)}: {paint(code, escape(text))}", file=sys.stderr)

    examined = examine(args.config, os.environ)
    if examined.config is None:
        file = escape(str(args.config))
        print(f"eventer test-send: {file} has faults; eventer check -c {file} names them",
              file=sys.stderr)  # fmt: skip
        return EX_CONFIG
    config = examined.config.sinks.get(args.sink)
    if config is None:
        close = similar(args.sink, examined.config.sinks)
        remedy = f"did you mean {close}?" if close else f"the sinks are {', '.join(examined.config.sinks)}"
        say(RED, f"there is no such sink; {remedy}")
        return 1
    if config.keeps_state:
        say(
            RED,
            f"a sink of kind {config.kind} must not be tried: the journal knows what it has written, and a test would "
            "not be in the journal. Start the daemon and look at what arrives.",
        )
        return 1
    if args.sample is not None and config.notifies is None:
        say(RED, f"a sink of kind {config.kind} as it is set up here is sent events, no messages; leave out --sample")
        return 1
    began = time.monotonic()
    cluster = examined.config.sources[0].cluster or ""
    if args.sample is not None:
        line = encode(sample(args.sample, f"TEST {cluster}".strip(), SystemClock().now().timestamp()))
    else:
        event = _event(args.sink, cluster)
        line = _notification(event) if config.notifies is not None else encode_lines([event])[0]
    answer = asyncio.run(_send(args.sink, config, line))
    if isinstance(answer, SinkError):
        say(RED, _verdict(answer))
        return 1
    say(GREEN, f"sent, and confirmed by the far side after {time.monotonic() - began:.1f} s")
    if answer.note:
        say(YELLOW, answer.note)
    return 0


def _event(name: str, cluster: str) -> Event:
    """Make the event. Its entity is always the same, so a store that keeps latest states keeps one."""
    now = SystemClock().now()
    message = f"This is a test of the sink {name}, sent by hand with eventer test-send. Nothing is wrong."
    entity = f"{cluster}/eventer/test-send"
    return msgspec.structs.replace(
        own_record(now, "TestSend", message, cluster=cluster),
        type="Normal",
        id=f"{entity}/{uuid.uuid4()}",
        entity=entity,
        version=int(now.timestamp()),
    )


def _notification(event: Event) -> bytes:
    """Make a notification of the event, for a sink that is sent those."""
    at = event.time.timestamp()
    item = Item(
        cluster=event.cluster,
        kind=event.kind,
        name=event.name,
        reason=event.reason,
        severity="info",
        family="eventer",
        message=event.message,
        count=1,
        since=at,
        last=at,
    )
    group = {"cluster": event.cluster}
    note = Notification(number=0, why=Why.FIRST, at=at, group=group, severity="info", items=[item], firing=1, events=1)
    return encode(note)


async def _send(name: str, config: SinkConfig, line: bytes) -> Sent | SinkError:
    """Open the sink, send once, close it. Returns the answer, or what went wrong."""
    try:
        sink = load(config.kind).Sink(config, SinkContext(name=name, clock=SystemClock()))
        try:
            async with asyncio.timeout(config.timeout + _GRACE):
                await sink.open(None)
            async with asyncio.timeout(config.timeout + _GRACE):
                answer: Sent = await sink.send(Batch([line]))
        finally:
            async with asyncio.timeout(config.timeout + _GRACE):
                await sink.close()
        return answer.failed.get(0, answer)
    except SinkError as error:
        return error
    except TimeoutError:
        return Retry(f"No answer within {config.timeout:g} s.", reason="timeout")
    except Exception as error:  # noqa: BLE001 - a sink by a third party can fail in any way
        return Rejected(f"The sink failed with {type(error).__name__}, which is a bug in it.", reason="unexpected")


def _verdict(error: SinkError) -> str:
    """Say what went wrong, and who can do something about it."""
    if isinstance(error, Blocked):
        remedy = "The daemon would wait until this is put right."
    elif isinstance(error, Retry):
        remedy = "The daemon would try again; look whether the far side is up and can be reached from here."
    else:
        remedy = "The daemon would keep such an event as a dead letter; correct the sink's options."
    answer = f" It answered: {redact(error.answer)[:300]}" if error.answer else ""
    return f"not sent: {error}{answer} {remedy}"
