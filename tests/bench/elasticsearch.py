"""What `kind: elasticsearch` costs: see `tests.bench.increment`.

The bare client is given the lines of events that are encoded already, as the sink is: it makes the same documents of
them in requests of the same size, posts them by httpx and reads the answers.
"""

from __future__ import annotations

import zlib

import msgspec

from tests.bench.increment import Server, increment, main, ok, sample, spend
from tests.bench.rig import Bench

SIZE = 1500
"""Documents in a request, as the sink's default has them of events of 670 bytes: 1 MiB of their lines."""


class Search(Server):
    """Answers GET / and bulk requests as OpenSearch does."""

    def take(self, head: bytes, body: bytes) -> tuple[int, bytes]:
        if b"\r\ncontent-encoding: gzip\r\n" in head:
            body = zlib.decompress(body, 31)
        n = body.count(b"\n") // 2
        return n, ok(b'{"errors":false,"items":[' + b",".join([b'{"create":{"status":201}}'] * n) + b"]}")

    def greet(self) -> bytes:
        return b'{"version":{"number":"3.3.0","distribution":"opensearch"}}'


class _Names(msgspec.Struct):
    """What of a line stands before its document, and at its front."""

    id: str
    time: str


async def client(port: int, n: int) -> None:
    """Post n documents."""
    import httpx

    from eventer.event import encode_lines

    lines = encode_lines(sample(SIZE))
    decode = msgspec.json.Decoder(_Names).decode
    headers = {"Content-Type": "application/x-ndjson"}
    form = b'{"create":{"_index":"events-2026.03.01","_id":"%b"}}\n{"@timestamp":"%b",%b\n'
    async with httpx.AsyncClient(timeout=60) as http:

        async def post() -> None:
            heads = map(decode, lines)
            body = b"".join(
                [
                    form % (head.id.encode(), head.time.encode(), line[1:])
                    for head, line in zip(heads, lines, strict=True)
                ]
            )
            (await http.post(f"http://127.0.0.1:{port}/_bulk", content=body, headers=headers)).json()

        await http.get(f"http://127.0.0.1:{port}/")
        await spend(n, SIZE, post)


def elasticsearch(bench: Bench, n: int, rounds: int) -> None:
    increment(
        bench,
        n,
        rounds,
        "elasticsearch",
        place=lambda url: {"url": url},
        variants={
            "eventer, gzip": {"gzip": True},
            "kube-eventer": {"layout": "kube-eventer"},
            "ecs": {"layout": "ecs"},
        },
        clients={"bare client": (n,)},
    )


if __name__ == "__main__":
    main(Search(), client)
