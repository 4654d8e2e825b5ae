"""The judge: compares what the API acknowledged with what a sink got, and checks the books.

It knows the daemon by its output and its metrics only. Lost objects, lost final states, repeats,
order, sums of deltas: each finding names the objects, so that a failing test says which.
"""

from __future__ import annotations

import gzip
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from tests.helpers.writer import Truth

__all__ = ["Books", "Sight", "Verdict", "judge", "read_file", "read_lines"]

_EPOCH_SHIFT: Final = 48
_INTAKE_SETTLED: Final = ("poison", "seen", "filtered", "appended")
_READER_OUTCOMES: Final = (
    "unmatched",
    "coalesced",
    "delivered",
    "duplicate",
    "suppressed",
    "expired",
    "dropped",
    "parked",
    "dead",
)


class Sight(msgspec.Struct, kw_only=True):
    """One record as a sink got it; only what the judge needs."""

    id: str
    entity: str
    version: int
    count: int = 1
    delta: int | None = None
    origin: str = "event"
    reason: str = ""
    message: str = ""
    event: str = ""

    @property
    def epoch(self) -> int:
        """How often the cluster's versions had gone back."""
        return self.version >> _EPOCH_SHIFT

    @property
    def resource_version(self) -> int:
        """The object's resourceVersion."""
        return self.version & (1 << _EPOCH_SHIFT) - 1


_decoder = msgspec.json.Decoder(Sight)


def read_lines(lines: Iterable[bytes]) -> list[Sight]:
    """Decode JSON lines; a line that is none is an error, for a sink must never hold one."""
    return [_decoder.decode(line) for line in lines]


def read_file(path: Path) -> list[Sight]:
    """Read what a file sink wrote, rotated files first.

    A last line without line break is left out: it is a write that was cut by a crash, which the
    sink repairs when it opens the file again. A rotated file that a crash left in both forms, plain
    and compressed, is read once.
    """
    older: dict[int, Path] = {}
    for file in sorted(path.parent.glob(f"{path.name}.*")):
        number, _, form = file.name.removeprefix(f"{path.name}.").partition(".")
        if number.isdigit() and form in {"", "gz"}:
            older.setdefault(int(number), file)
    sights: list[Sight] = []
    for file in [*(older[number] for number in sorted(older)), path]:
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            continue
        whole, _, _ = (gzip.decompress(content) if file.suffix == ".gz" else content).rpartition(b"\n")
        sights += read_lines(line for line in whole.split(b"\n") if line)
    return sights


@dataclass
class Verdict:
    """What the judge found. All lists are empty when all is well."""

    objects: int = 0
    """How many objects should have been seen."""
    records: int = 0
    """How many records of Kubernetes Events the sink got."""
    lost_objects: list[str] = field(default_factory=list)
    """uids never seen."""
    lost_states: list[str] = field(default_factory=list)
    """uids whose last state was not seen."""
    repeats: dict[str, int] = field(default_factory=dict)
    """id: how often it came beyond the first time."""
    disorder: list[str] = field(default_factory=list)
    """ids that came after a newer state of the same entity (repeats aside)."""
    wrong_sums: list[str] = field(default_factory=list)
    """uids whose deltas do not add up to the count of their last state."""
    unknown_deltas: int = 0
    """Records without delta; their entities are left out of the sums."""

    @property
    def repeated(self) -> int:
        """How many records were repeats."""
        return sum(self.repeats.values())

    def faults(self, *, repeats: int = 0) -> list[str]:
        """Return a sentence for each promise that is broken; at most `repeats` repeats are allowed."""
        found = []
        for what in ("lost_objects", "lost_states", "disorder", "wrong_sums"):
            items = getattr(self, what)
            if items:
                found.append(f"{len(items)} {what.replace('_', ' ')} of {self.objects}: {items[:5]}")
        if self.repeated > repeats:
            found.append(f"{self.repeated} repeats (allowed: {repeats}): {list(self.repeats.items())[:5]}")
        return found


def judge(truth: Mapping[str, Truth], sights: Sequence[Sight], *, exact: bool = False) -> Verdict:
    """Compare the truth with what a sink got.

    Args:
        truth: by uid; objects whose deletion was asked for may be missing at the sink.
        sights: records in the order of arrival; those that are no Kubernetes Events are ignored.
        exact: the last state seen must be the very state of the truth, neither older nor newer (a
            newer one is a state that a restored backup has undone); for a truth that is a survey. What had
            no answer when it was changed last, and has expired since, may have a newer state.
    """
    verdict = Verdict(objects=sum(not item.deleted for item in truth.values()))
    ids: Counter[str] = Counter()
    newest: dict[str, Sight] = {}
    sums: defaultdict[str, int] = defaultdict(int)
    unknown: set[str] = set()
    for sight in sights:
        if sight.origin != "event":
            continue
        verdict.records += 1
        ids[sight.id] += 1
        if ids[sight.id] > 1:
            continue
        before = newest.get(sight.entity)
        if before is not None and before.version >= sight.version:
            verdict.disorder.append(sight.id)
        else:
            newest[sight.entity] = sight
        if sight.delta is None:
            unknown.add(sight.entity)
            verdict.unknown_deltas += 1
        else:
            sums[sight.entity] += sight.delta
    verdict.repeats = {key: times - 1 for key, times in ids.items() if times > 1}
    for uid, item in truth.items():
        if item.deleted:
            continue
        last = newest.get(uid)
        if last is None:
            verdict.lost_objects.append(uid)
        elif last.resource_version < item.version or (
            exact and not item.unsure and last.resource_version != item.version
        ):
            verdict.lost_states.append(uid)
    for uid, last in newest.items():
        if uid not in unknown and sums[uid] != last.count:
            verdict.wrong_sums.append(f"{uid}: deltas {sums[uid]}, count {last.count}")
    return verdict


@dataclass
class Books:
    """The daemon's account of every event, as read from its metrics or its journal."""

    intake: dict[tuple[str, str], dict[str, int]]
    """(cluster, scope): outcome: events."""
    readers: dict[str, dict[str, int]]
    """sink: outcome: events."""
    head: int
    cursors: dict[str, int]
    origins: dict[str, int]
    letters: dict[str, dict[str, int]]
    """sink: state: rows."""
    pending: dict[str, int]

    @classmethod
    def from_metrics(cls, text: str) -> Books:
        """Read a page of /metrics."""
        books = cls({}, {}, 0, {}, {}, {}, {})
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels, value = sample.labels, int(sample.value)
                match sample.name:
                    case "eventer_intake_events_total":
                        stream = labels["cluster"], labels["scope"]
                        books.intake.setdefault(stream, {})[labels["outcome"]] = value
                    case "eventer_reader_events_total":
                        books.readers.setdefault(labels["sink"], {})[labels["outcome"]] = value
                    case "eventer_reader_kept_events":
                        books.readers.setdefault(labels["sink"], {})[labels["state"]] = value
                    case "eventer_letters":
                        books.letters.setdefault(labels["sink"], {})[labels["state"]] = value
                    case "eventer_journal_head":
                        books.head = value
                    case "eventer_reader_cursor":
                        books.cursors[labels["sink"]] = value
                    case "eventer_reader_origin":
                        books.origins[labels["sink"]] = value
                    case "eventer_reader_pending":
                        books.pending[labels["sink"]] = value
        return books

    @classmethod
    def from_journal(cls, directory: Path) -> Books:
        """Read the journal that a dead daemon left."""
        from eventer.journal import read_books

        found = read_books(directory)
        books = cls({}, {}, found.head, {}, {}, {}, {})
        for stream, record in found.streams.items():
            figures = {outcome: getattr(record, outcome) for outcome in ("received", *_INTAKE_SETTLED)}
            books.intake[stream.cluster, stream.scope] = figures
        for name, reader in found.readers.items():
            books.readers[name] = {outcome.value: n for outcome, n in reader.outcomes.items()}
            books.cursors[name], books.origins[name] = reader.cursor, reader.origin
        for (name, state), rows in found.letters.items():
            books.letters.setdefault(name, {})[state.value] = rows
        return books

    def intake_total(self, outcome: str) -> int:
        """Sum of one outcome over all streams."""
        return sum(stream.get(outcome, 0) for stream in self.intake.values())

    def outcome(self, sink: str, outcome: str) -> int:
        """Events of one sink with that outcome."""
        return self.readers[sink].get(outcome, 0)

    def faults(self) -> list[str]:
        """Return a sentence for each equation that does not hold; empty when the books balance."""
        found = []
        if not self.intake or not self.cursors:
            found.append("there are no books: no stream or no sink has any figure")
        for stream, outcomes in self.intake.items():
            settled = sum(outcomes.get(outcome, 0) for outcome in _INTAKE_SETTLED)
            if outcomes.get("received", 0) != settled:
                found.append(f"stream {stream}: received {outcomes.get('received', 0)}, but accounted {outcomes}")
        if self.head != self.intake_total("appended"):
            found.append(f"head is {self.head}, but the streams appended {self.intake_total('appended')}")
        for sink, cursor in self.cursors.items():
            outcomes = self.readers.get(sink, {})
            settled = sum(outcomes.get(outcome, 0) for outcome in _READER_OUTCOMES)
            if cursor - self.origins[sink] != settled:
                found.append(f"{sink}: cursor {cursor} - origin {self.origins[sink]}, but outcomes {outcomes}")
            if self.pending.get(sink, self.head - cursor) != self.head - cursor:
                found.append(f"{sink}: pending {self.pending[sink]}, but head {self.head} - cursor {cursor}")
            for state in ("parked", "dead"):
                rows = self.letters.get(sink, {}).get(state, 0)
                if outcomes.get(state, 0) != rows:
                    found.append(f"{sink}: {outcomes.get(state, 0)} {state}, but {rows} letters")
        return found

    @property
    def settled(self) -> bool:
        """Whether every sink has come to the head."""
        return bool(self.cursors) and all(cursor == self.head for cursor in self.cursors.values())
