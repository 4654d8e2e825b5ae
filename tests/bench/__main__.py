"""`make bench`: the whole durable path against read + decode, as ratios in one run.

    python -m tests.bench                          flat, profile, rules, sync, latency, memory (about ten minutes)
    python -m tests.bench flat latency             some of it
    python -m tests.bench compare --baseline REV   L1: against another revision; ends with 1 at -10 %
    python -m tests.bench idle --seconds 3600      L4: CPU, memory and requests of doing nothing
    python -m tests.bench start                    Q7: with 1 GiB of backlog
    python -m tests.bench first                    from the start of the process to the first event delivered
    python -m tests.bench surface                  what people wait for: the check of 2,000 lines, imports
    python -m tests.bench limit                    L5: 128 MiB, dead sinks, a flood
    python -m tests.bench elasticsearch            the sink's increment over the null sink against its bare client
    python -m tests.bench sls                      the same, by requests of our own to Log Service
    python -m tests.bench influxdb                 the same, against influxdb-client's own writer
    python -m tests.bench kafka                    a real broker, against aiokafka's own producer
    python -m tests.bench stores                   Kafka and Elasticsearch at once, against read + decode
    python -m tests.bench nodes                    heartbeats of 5,000 nodes: CPU, memory, edges
    python -m tests.bench alerting                 alerting on the path of events, and messages of played incidents
    python -m tests.bench peer --peer PATH         against kubernetes-event-exporter

Absolute figures are of the machine that ran it; only the ratios are claims.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import alerting, compare, elasticsearch, influxdb, load, nodes, path, peer, sls, start, surface
from tests.bench.rig import Bench, say

ALWAYS = ("flat", "profile", "rules", "sync", "latency", "memory")


def _kafka(n: int, rounds: int) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        from tests.bench import kafka  # needs Kafka's jars and aiokafka

        kafka.kafka(bench, n, rounds)

    return run


def _stores(n: int, rounds: int) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        from tests.bench import stores  # needs Kafka's jars and aiokafka

        stores.stores(bench, n, rounds)

    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help=f"without any: {' '.join(ALWAYS)}")
    parser.add_argument("--events", type=int, default=100_000, help="flat out")
    parser.add_argument("--backlog", type=int, default=1_000_000, help="of memory and limit")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=600, help="of idle")
    parser.add_argument("--baseline", default="HEAD", metavar="REV", help="of compare")
    parser.add_argument("--peer", type=Path, metavar="PATH", help="program of kubernetes-event-exporter")
    args = parser.parse_args()
    n, rounds = args.events, args.rounds
    benches: dict[str, Callable[[Bench], bool | None]] = {
        "flat": lambda bench: path.flat(bench, n, rounds),
        "profile": lambda bench: path.profile(bench, n * 3),
        "rules": lambda bench: path.rules(bench, n, rounds),
        "sync": lambda bench: path.sync(bench, n, rounds),
        "latency": load.latency,
        "nodes": nodes.nodes,
        "alerting": alerting.alerting,
        "memory": lambda bench: load.backlog(bench, args.backlog),
        "compare": lambda bench: compare.compare(bench, args.baseline, n, rounds),
        "idle": lambda bench: load.idle(bench, args.seconds),
        "start": lambda bench: start.start(bench, 1024),
        "first": lambda bench: start.first(bench, rounds),
        "surface": surface.surface,
        "limit": lambda bench: load.limit(bench, args.backlog),
        "elasticsearch": lambda bench: elasticsearch.elasticsearch(bench, n, rounds),
        "influxdb": lambda bench: influxdb.influxdb(bench, n, rounds),
        "kafka": _kafka(n, rounds),
        "stores": _stores(n, rounds),
        "sls": lambda bench: sls.sls(bench, n, rounds),
        "peer": lambda bench: peer.peer(bench, args.peer, 20_000, rounds),
    }
    what = args.what or list(ALWAYS)
    if unknown := [name for name in what if name not in benches]:
        parser.error(f"no bench {' '.join(unknown)}; there are {' '.join(benches)}")
    if "peer" in what and args.peer is None:
        parser.error("peer needs --peer PATH")
    say(
        f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"
    )
    bench = Bench()
    try:
        return 1 if False in [benches[name](bench) for name in what] else 0
    finally:
        bench.close()


if __name__ == "__main__":
    sys.exit(main())
