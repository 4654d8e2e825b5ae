"""What `kind: sls` costs: see `tests.bench.increment`.

The bare client is given the same documents as names with texts, so that it decodes nothing: it writes one after the
other as Protobuf by the sink's own `encode_log`, since the official SDK and the library for Protobuf take several
times and twice as long, packs requests of the same size with deflate, posts them by httpx and reads the answers. It
signs nothing.
"""

from __future__ import annotations

import zlib

import msgspec

from tests.bench.increment import Server, increment, main, ok, sample, spend
from tests.bench.rig import Bench

SIZE = 1500
"""Logs in a request, as the sink's default has them of events of 670 bytes: 1 MiB of their lines."""


def logs_in(group: bytes) -> int:
    """How many logs a group holds: its fields of number 1."""
    place = count = 0
    while place < len(group):
        tag, place = group[place], place + 1
        size = shift = 0
        while True:
            byte, place = group[place], place + 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        count += tag == 0x0A
        place += size
    return count


class LogService(Server):
    """Answers PutLogs as Log Service does."""

    def take(self, head: bytes, body: bytes) -> tuple[int, bytes]:
        if b"\r\nx-log-compresstype: deflate\r\n" in head:
            body = zlib.decompress(body)
        return logs_in(body), ok(b"", b"x-log-requestid: 5B0C\r\n")


async def client(port: int, n: int) -> None:
    """Post n prepared logs."""
    import httpx

    from sinks._sls_protobuf import encode_group, encode_log
    from tests.helpers.sinks import batch_of

    documents = [
        {name: str(value) for name, value in msgspec.json.decode(line).items()} for line in batch_of(sample(SIZE)).lines
    ]
    headers = {"Content-Type": "application/x-protobuf", "x-log-compresstype": "deflate"}
    async with httpx.AsyncClient(timeout=60) as http:

        async def post() -> None:
            logs = [encode_log(1795163401, 0, document) for document in documents]
            body = zlib.compress(encode_group(logs, "", "", {}), 1)
            url = f"http://127.0.0.1:{port}/logstores/k8s-events/shards/lb"
            (await http.post(url, content=body, headers=headers)).raise_for_status()

        await http.get(f"http://127.0.0.1:{port}/seen")
        await spend(n, SIZE, post)


def sls(bench: Bench, n: int, rounds: int) -> None:
    key = {"access_key_id": "LTAI5tExample", "access_key_secret": "example-secret"}
    place = {"project": "my-project", "logstore": "k8s-events", "region": "cn-hangzhou", "auth": key}
    increment(
        bench,
        n,
        rounds,
        "sls",
        place=lambda url: {"endpoint": url, **place},
        variants={
            "eventer, compression: none": {"compression": "none"},
            "kube-eventer": {"layout": "kube-eventer"},
        },
        clients={"bare client": (n,)},
    )


if __name__ == "__main__":
    main(LogService(), client)
