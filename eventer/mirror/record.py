"""What the mirror holds, as a text: one JSON document, which a person can read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from eventer.errors import EventerError
from eventer.event import EPOCH_SHIFT, version_of
from eventer.journal import SilenceRecord, StreamKey, StreamRecord
from eventer.journal.adopt import Adopted
from eventer.journal.records import AlertingRecord, Carried, ClusterRecord, ReaderRecord, Resumed

__all__ = ["KEY", "LARGEST", "NOTHING", "Kept", "Reached", "StreamKept", "TooLarge", "Unusable", "decode", "encode"]

KEY: Final = "positions.json"
"""Key of the text in the ConfigMap."""
FORMAT: Final = 1
LARGEST: Final = 900 << 10
"""Bytes. A ConfigMap holds 1 MiB (https://kubernetes.io/docs/concepts/configuration/configmap/#motivation)."""

NOTHING: Final = Carried(alerting=AlertingRecord(origin=0, cursor=0), notifier=ReaderRecord(origin=0, cursor=0))
"""What there is of a notifier that was never told everything."""

_Number = Annotated[int, Meta(ge=0, lt=1 << EPOCH_SHIFT)]
_Epoch = Annotated[int, Meta(ge=0, lt=1 << 15)]
_Time = Annotated[float, Meta(ge=0, lt=1e11)]


class Unusable(EventerError):
    """A text that is no mirror of ours."""


class TooLarge(EventerError):
    """There is more to keep than a ConfigMap holds."""


class Reached(msgspec.Struct, frozen=True):
    """How far a stream is settled."""

    epoch: _Epoch
    position: _Number
    """resourceVersion up to which everything is settled."""
    contact: _Time
    """When the API had last answered by then, seconds since 1970."""

    @property
    def version(self) -> int:
        """`Event.version` up to which everything is settled."""
        return version_of(self.epoch, self.position)


class Cluster(msgspec.Struct, frozen=True):
    """A cluster, as `ClusterRecord` has it."""

    uid: str
    epoch: _Epoch


class StreamKept(msgspec.Struct):
    """One stream: how far it is read, and how far each sink has settled it."""

    cluster: str
    scope: str
    read: Reached
    sinks: dict[str, Reached]
    """A sink that has a place in `Kept.sinks` and none here has settled nothing of the stream for certain."""

    @property
    def key(self) -> StreamKey:
        """Its name in the journal."""
        return StreamKey(self.cluster, self.scope)


class Kept(msgspec.Struct, kw_only=True):
    """The whole document."""

    format: int = FORMAT
    instance: str
    """Which journal wrote it."""
    clusters: dict[str, Cluster]
    streams: list[StreamKept]
    sinks: dict[str, Annotated[int, Meta(ge=0)]]
    """Dead letters of each sink: they are in the journal alone, and lost with it."""
    notifiers: dict[str, Carried] = {}
    """Of the sinks that are told of problems: what each was told, of the moment that its positions are of."""
    silences: dict[str, SilenceRecord] = {}
    """Those that people made by command, and that are not over."""

    def __post_init__(self) -> None:
        """Refuse what no mirror of ours says."""
        for stream in self.streams:
            cluster = self.clusters.get(stream.cluster)
            if cluster is None:
                raise ValueError(f"the stream {stream.scope} is of a cluster that is not there")
            if any(each.epoch > cluster.epoch for each in (stream.read, *stream.sinks.values())):
                raise ValueError(f"the stream {stream.scope} is in an epoch that its cluster has not reached")
        for name, carried in self.notifiers.items():
            if name not in self.sinks or not carried.balanced:
                raise ValueError(f"the books of the notifier {name} do not balance")

    def reached(self, sink: str) -> dict[StreamKey, Reached]:
        """Return how far a sink has settled each stream."""
        return {stream.key: stream.sinks[sink] for stream in self.streams if sink in stream.sinks}

    def forget(self, notifier: str) -> None:
        """Know nothing of a notifier but its name: whatever the clusters hold is decided on again for it."""
        self.notifiers[notifier] = NOTHING
        for stream in self.streams:
            stream.sinks.pop(notifier, None)

    def adopted(
        self,
        sinks: Mapping[str, bool],
        scopes: Iterable[tuple[str | None, str]],
        notifiers: Collection[str] = (),
    ) -> Adopted:
        """Return what a new journal takes over, for the sinks and streams of a configuration.

        Args:
            sinks: whether each, if it is not known here, begins with what comes next.
            notifiers: those of them that are told of problems. One that was sent events here is not known, nor is one
                the other way round.
            scopes: cluster (None: it has no name of its own) and scope of each stream; a scope may have `*` in it.
        """
        wanted = list(scopes)
        streams = [
            each
            for each in self.streams
            if any(name in {None, each.cluster} and fnmatchcase(each.scope, scope) for name, scope in wanted)
        ]
        known = [name for name in sinks if name in self.sinks and (name in self.notifiers) is (name in notifiers)]
        resumed = {
            name: Resumed(versions=_versions(streams, name, new=name not in known), dead=self.sinks.get(name, 0))
            for name, ahead in sinks.items()
            if name in known or ahead
        }
        return Adopted(
            clusters={
                name: ClusterRecord(uid=cluster.uid, epoch=cluster.epoch)
                for name, cluster in self.clusters.items()
                if any(stream.cluster == name for stream in streams)
            },
            streams={stream.key: _begin(stream, known) for stream in streams},
            readers={name: each for name, each in resumed.items() if name not in notifiers},
            notifiers={
                name: (self.notifiers[name] if name in known else NOTHING, each)
                for name, each in resumed.items()
                if name in notifiers
            },
        )


def _begin(stream: StreamKept, sinks: Sequence[str]) -> StreamRecord:
    """Return where a stream begins: at the sink that is behind the others; with a list, if one has settled nothing."""
    found = [stream.sinks.get(name) for name in sinks]
    # Without a sink that is known, nobody is owed what came before.
    reached = [each for each in found if each is not None] or [stream.read]
    lowest = min(reached, key=lambda each: each.version)
    if None in found:
        return StreamRecord(epoch=lowest.epoch, contact=lowest.contact)
    return StreamRecord(
        epoch=lowest.epoch, position=lowest.position, high=lowest.version, contact=min(x.contact for x in reached)
    )


def _versions(streams: Sequence[StreamKept], sink: str, *, new: bool) -> dict[str, dict[str, int]]:
    versions: dict[str, dict[str, int]] = {}
    for stream in streams:
        reached = stream.read if new else stream.sinks.get(sink)
        if reached is not None:
            versions.setdefault(stream.cluster, {})[stream.scope] = reached.version
    return versions


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Kept)


def encode(kept: Kept) -> str:
    """Return the document as a text.

    Raises:
        TooLarge: a ConfigMap would not hold it.
    """
    text = _encoder.encode(kept)
    if len(text) > LARGEST:
        raise TooLarge(
            f"The mirror would need {len(text) >> 10} KiB for {len(kept.streams)} streams and {len(kept.sinks)} sinks, "
            f"and a ConfigMap holds {LARGEST >> 10}. Read more namespaces with one stream, or use a volume."
        )
    return text.decode()


def decode(text: str) -> Kept:
    """Read a document.

    Raises:
        Unusable: it is none.
    """
    try:
        found = msgspec.json.decode(text)
        version = found.get("format") if isinstance(found, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise Unusable(f"It was written by a newer Eventer (format {version}; this one reads up to {FORMAT}).")
        return _decoder.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        # What is wrong with it, but nothing of what stands there: it may be anything.
        raise Unusable(f"It is no mirror of Eventer: {str(error).partition(' - at')[0]}.") from None
