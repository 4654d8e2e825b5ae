"""What `kind: influxdb` costs: see `tests.bench.increment`.

    python -m tests.bench.influxdb client PORT N FORM

The bare client is influxdb-client's own asynchronous writer, with as many points in a write. FORM `points` gives it
dictionaries, which it makes lines of, as whoever uses it does; FORM `lines` gives it lines that are there
already, which is what the wire alone costs.
"""

from __future__ import annotations

import gzip

import msgspec

from tests.bench.increment import Server, increment, main, sample, spend
from tests.bench.rig import Bench

SIZE = 1700
"""Points in a write: about as many as a batch of 1 MiB has."""


class Influx(Server):
    """Answers writes as InfluxDB does."""

    def take(self, head: bytes, body: bytes) -> tuple[int, bytes]:
        if b"\r\ncontent-encoding: gzip\r\n" in head:
            body = gzip.decompress(body)
        return body.count(b"\n") + 1, b"HTTP/1.1 204 No Content\r\nX-Influxdb-Version: v2.7\r\n\r\n"


async def client(port: int, n: int, form: str) -> None:
    """Write n points."""
    from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync

    from sinks._influxdb_lines import Lines, default_tags
    from tests.helpers.sinks import batch_of

    batch = batch_of(sample(SIZE))
    tags = default_tags("eventer")
    lines = "\n".join(Lines("events", "eventer", tags, 100, {}).of(batch)[0])
    points = []
    for line in batch.lines:
        found = {name: value for name, value in msgspec.json.decode(line).items() if value != {}}
        points.append({
            "measurement": "events",
            "tags": {name: found[name] for name in tags if name in found},
            "fields": {name: value for name, value in found.items() if name not in {*tags, "time"}},
            "time": 1772366401 * 10**9 + len(points),
        })  # fmt: skip
    async with InfluxDBClientAsync(f"http://127.0.0.1:{port}", token="t", org="-") as influx:
        write = influx.write_api().write
        await write("events", record="warm up=1i")
        await spend(n, SIZE, lambda: write("events", record=lines.encode() if form == "lines" else points))


def influxdb(bench: Bench, n: int, rounds: int) -> None:
    increment(
        bench,
        n,
        rounds,
        "influxdb",
        place=lambda url: {"url": url, "bucket": "events"},
        variants={"eventer, gzip": {"gzip": True}, "kube-eventer": {"layout": "kube-eventer"}},
        clients={"bare client, lines": (n, "lines"), "bare client, points": (n // 4, "points")},
    )


if __name__ == "__main__":
    main(Influx(), client)
