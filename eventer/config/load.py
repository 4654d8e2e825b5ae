"""Read a configuration file: all of it is right, or all that is wrong with it is said.

    examine   the configuration if there is one, every fault and warning, and the lines they are in
    load      the configuration and its warnings; ConfigError with all faults otherwise
    state_directory   where the state is, for commands that look at it while the file may be wrong

Nothing is started and no network is used. Only the kinds of sinks that the file names are imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Final

import msgspec
import yaml

from eventer.config.document import Document, Path, dotted, read, syntax_excerpt
from eventer.config.doubts import doubts
from eventer.config.foreign import foreign
from eventer.config.leaves import BAD
from eventer.config.place import StatePath
from eventer.config.reading import Reading, Record
from eventer.config.sources import FieldSelector, Kubernetes, Source
from eventer.config.types import Config, State
from eventer.config.variables import fill
from eventer.errors import ConfigError, Fault

__all__ = ["DEFAULT_PATH", "Examined", "Loaded", "config_path", "examine", "load", "state_directory"]

DEFAULT_PATH: Final = "/etc/eventer/eventer.yaml"
"""Where the image and the chart put it."""


class Examined(msgspec.Struct, kw_only=True, frozen=True):
    """What `examine` found."""

    config: Config | None
    """None when there are faults other than warnings."""
    faults: list[Fault]
    """Faults and warnings in the order of the file."""
    excerpt: Callable[[int], str]
    """A line (1-based) as it may be shown: without comments and without what may be secret."""
    line: Callable[[Path], int | None] = lambda _: None
    """The line (1-based) in which the value at a path stands; None where nothing stands there."""


class Loaded(msgspec.Struct, kw_only=True, frozen=True):
    """A configuration that can be used."""

    config: Config
    warnings: list[Fault]
    """What should be different all the same; for the log."""


def config_path(environ: Mapping[str, str]) -> FilePath:
    """Return where the configuration is when the command line does not say: EVENTER_CONFIG, or the default."""
    return FilePath(environ.get("EVENTER_CONFIG") or DEFAULT_PATH)


def load(path: FilePath, environ: Mapping[str, str]) -> Loaded:
    """Read a configuration for use.

    Args:
        path: the file. Relative paths of secrets in it count from its directory.
        environ: variables for `${VAR}`.

    Raises:
        ConfigError: with every fault of the file, warnings included.
    """
    examined = examine(path, environ)
    if examined.config is None:
        raise ConfigError(examined.faults)
    return Loaded(config=examined.config, warnings=examined.faults)


def examine(path: FilePath, environ: Mapping[str, str]) -> Examined:
    """Read a configuration and report on it; never raises for what stands in the file.

    Args:
        path: as for `load`.
        environ: as for `load`.
    """
    text = ""
    try:
        text = read(path)
        document = Document(str(path), text)
    except ConfigError as error:
        return Examined(config=None, faults=error.faults, excerpt=lambda line: syntax_excerpt(text, line))
    if document.root is None:
        remedy = "it needs sources and sinks; config/examples has files to start from"
        fault = Fault(path="", message="the file is empty", remedy=remedy, file=str(path))
        return Examined(config=None, faults=[fault], excerpt=document.excerpt)
    others = foreign(document)
    if others:
        others.sort(key=lambda fault: (fault.line or 0, fault.column or 0))
        return Examined(config=None, faults=others, excerpt=document.excerpt)
    reading = Reading(document, environ, path.parent)
    value: Any = reading.read(Config, document.root)
    faults = [*reading.faults, *_same_clusters(reading), *_selectors(reading), *doubts(reading)]
    faults.sort(key=lambda fault: (fault.line or 0, fault.column or 0))
    good = value is not BAD and all(fault.warning for fault in faults)
    root = document.root
    return Examined(
        config=value if good else None,
        faults=faults,
        excerpt=document.excerpt,
        line=lambda path: document.locate(root, path).start_mark.line + 1,
    )


def state_directory(path: FilePath, environ: Mapping[str, str]) -> FilePath:
    """Return where the state is, by a configuration that may have faults elsewhere: no sink is looked at.

    Args:
        path: the file; without one, the default holds.
        environ: variables for `${VAR}`.

    Raises:
        ConfigError: the file cannot be read as YAML, or the option is not usable.
    """
    if not path.exists():
        return FilePath(State().path)
    document = Document(str(path), read(path))
    place = ("state", "path")
    node = None if document.root is None else document.locate(document.root, place)
    if not isinstance(node, yaml.ScalarNode):
        return FilePath(State().path)
    filled = fill(node.value, environ)
    if filled.faults:
        raise ConfigError([document.fault(node, place, *filled.faults[0])])
    return FilePath(StatePath.parse(filled.text) if filled.text else State().path)


def _same_clusters(reading: Reading) -> list[Fault]:
    """Several sources need names, or their events could not be told apart; and must not read the same twice.

    Compared here and not in `Config`, so that it is also said when something else is wrong.
    """
    sources = [record for record in reading.records if record.cls is Source]
    if len(sources) < 2:
        return []
    faults: list[Fault] = []
    first: dict[str, str] = {}
    read: list[Record] = []
    for record in sources:
        cluster = record.values.get("cluster")
        if cluster is BAD:
            continue
        place = (*record.path, "cluster")
        where = reading.document.locate(record.node, ("cluster",))
        if cluster is None:
            message = "cluster is missing; with several sources each needs a name"
            faults.append(reading.document.fault(where, place, message, "add cluster: with a name of your choice"))
        elif cluster in first:
            message = f"this name is that of {first[cluster]} as well"
            faults.append(reading.document.fault(where, place, message, "give each source a name of its own"))
        else:
            first[cluster] = dotted(record.path)
            faults += _read_twice(reading, record, read)
            read.append(record)
    return faults


def _read_twice(reading: Reading, record: Record, others: Sequence[Record]) -> list[Fault]:
    """Two sources with one way to one cluster would export each Event twice, under two names.

    Two ways to one cluster cannot be told here; the daemon looks at the cluster itself.
    """
    mine = record.values.get("kubernetes", Kubernetes())
    for other in others:
        theirs = other.values.get("kubernetes", Kubernetes())
        if BAD in (mine, theirs) or (mine.kubeconfig, mine.context) != (theirs.kubeconfig, theirs.context):
            continue
        if mine.overlaps(theirs):
            message = f"this reads the same Events as {dotted(other.path)}; each would be exported twice"
            if mine.api != theirs.api:
                message += ": both APIs show the same Events"
            remedy = "remove one of the two, or give each the namespaces that it alone reads"
            return [reading.document.fault(record.node, record.path, message, remedy)]
    return []


def _selectors(reading: Reading) -> list[Fault]:
    """Warn of selectors that an Event can leave while it lives."""
    faults: list[Fault] = []
    for record in reading.records:
        selector = record.values.get("field_selector") if record.cls is Kubernetes else None
        if isinstance(selector, FieldSelector) and selector.can_be_left:
            where = reading.document.locate(record.node, ("field_selector",))
            message = "an Event that stops to match this selector looks deleted: its later states are not exported"
            remedy = "use filter instead, unless reading everything is too much for the API server"
            fault = reading.document.fault(where, (*record.path, "field_selector"), message, remedy)
            faults.append(msgspec.structs.replace(fault, warning=True))
    return faults
