"""Warnings about rules: values that no event has, rules that are never asked, sinks that nothing reaches.

The daemon can run with all of them, but somebody meant something else. What is said is certain, as far as
the configuration and Kubernetes' own naming go; a rule of which nothing certain is known is not spoken of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Final

import msgspec
from yaml.nodes import Node, ScalarNode, SequenceNode

from eventer.catalog.changes import ConditionChange, ReasonChange
from eventer.catalog.shipped import conditions, families
from eventer.config.document import Path, dotted
from eventer.config.inhibition import FIELDS, NOT_EQUAL, InhibitRule
from eventer.config.place import StatePath
from eventer.config.reach import CLOSED, ORIGINS, Covering, Origins, apart, could_be_own, covers
from eventer.config.reading import Reading, Record
from eventer.config.samples import STATES, STATUSES
from eventer.config.silences import SilenceConfig
from eventer.config.sources import Kubernetes, Source
from eventer.config.types import FilterRule, State
from eventer.config.variables import has_variable
from eventer.config.words import one_of, similar
from eventer.errors import Fault
from eventer.group import Threshold
from eventer.match import OPEN, SHARED, Rule
from eventer.quiet import Quiet
from eventer.sink import SinkConfig
from eventer.text import escape

__all__ = ["doubts"]

_KINDS: Final = (
    "Pod", "Node", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob", "Service", "Ingress",
    "Namespace", "PersistentVolume", "PersistentVolumeClaim", "HorizontalPodAutoscaler", "PodDisruptionBudget",
    "ConfigMap", "Secret", "ServiceAccount", "Endpoints", "EndpointSlice", "ResourceQuota", "Lease",
)  # fmt: skip
"""Kinds that events are most often about; of other kinds nothing is said."""
_NOUNS: Final = {form: kind for kind in _KINDS for form in (kind.lower(), f"{kind.lower()}s")}
_STATES: Final = {
    "CrashLoopBackOff": "BackOff",
    "ImagePullBackOff": "BackOff",
    "ErrImagePull": "Failed",
    "OOMKilled": "OOMKilling",
}
"""States of a container that people take for reasons of events, with the reason to look for. The kubelet's
reasons: https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/events/event.go; OOMKilling is
node-problem-detector's."""
_NAMESPACE: Final = re.compile(r"([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?")
_FLAGGED: Final = re.compile(r"/(.+)/([ims]{1,3})")
"""How other languages write flags."""
_MOST: Final = 1 << 20
"""Bytes that are looked at of a file of certificates."""
_WHOLE: Final = frozenset({*SHARED, *OPEN} - {"message"})
"""Fields in which people know globs from elsewhere."""
_VALUES: Final[Mapping[str, Sequence[str]]] = {**CLOSED, "status": ("", *STATUSES)}
"""All values of the fields that have fixed ones."""
_IN_THE_CLEAR: Final = (
    "whoever sits on the way can read and change what is sent, a password included",
    "write security: starttls or security: tls, unless the way does not leave this machine",
)
_QUIET: Final = frozenset({SilenceConfig, InhibitRule, Quiet, Threshold})
"""What has rules that decide when nobody is told."""
_TAKEN: Final = {"status": ("state", STATES), "state": ("status", STATUSES)}
"""Fields that are taken for another, and what that one can be."""


def doubts(reading: Reading) -> list[Fault]:
    """Return warnings about all rules of a document."""
    return [msgspec.structs.replace(fault, warning=True) for fault in _Doubts(reading).find()]


class _Doubts:
    def __init__(self, reading: Reading) -> None:
        self._document = reading.document
        self._sources = [record for record in reading.records if record.cls is Source]
        self._filters = [record for record in reading.records if record.cls is FilterRule]
        self._sinks = [record for record in reading.records if issubclass(record.cls, SinkConfig)]
        self._quiet = [record for record in reading.records if record.cls in _QUIET]
        self._inhibits = [record for record in reading.records if record.cls is InhibitRule]
        self._changes = [record for record in reading.records if record.cls in {ReasonChange, ConditionChange}]
        self._states = [record for record in reading.records if record.cls is State]
        # Options for certificates; files of secrets are read, and refused, where they stand.
        self._files = [record for record in reading.records if record.path[:1] == ("sinks",)]
        self._origins = [origins for origins in map(_origins, self._sources) if origins is not None]
        self._whole = bool(self._sources) and len(self._origins) == len(self._sources)

    def find(self) -> Iterator[Fault]:
        filters: list[tuple[Record, str, Rule]] = []
        for record in self._filters:
            for name in ("drop", "keep"):
                rule = record.values.get(name)
                if isinstance(rule, Rule):
                    yield from self._values(record, (name,), rule)
                    filters.append((record, name, rule))
        # With a rule that could not be read, it is not known what comes after it.
        good = len(filters) == len(self._filters)
        drops = Covering()
        if good:
            yield from self._filter(filters)
            for at, (_, name, rule) in enumerate(filters):
                if name == "drop":
                    drops.add(at, rule)
        for record in self._sinks:
            rules = record.values.get("match")
            if not isinstance(rules, list) or not rules or not all(isinstance(rule, Rule) for rule in rules):
                continue
            for index, rule in enumerate(rules):
                yield from self._values(record, ("match", index), rule)
            reasons = [self._unreached(rule, index, filters, drops) for index, rule in enumerate(rules)]
            if all(reasons):
                message = f"nothing reaches this sink: {reasons[0]}"
                remedy = "correct match, or let the filter keep what this sink is for"
                if any("drops" in str(reason) for reason in reasons):
                    remedy = "put a keep rule before the one that drops, or remove the sink"
                yield self._fault(record, ("match",), message, remedy)

        for record in self._quiet:
            for field in ("match", "source", "target"):
                for where, rule in _each(field, record.values.get(field)):
                    yield from self._values(record, where, rule)
        for record in self._inhibits:
            yield from self._inhibit(record)
        for record in self._sinks:
            if record.values.get("security") == "none":
                yield self._fault(record, ("security",), *_IN_THE_CLEAR)
        for record in self._states:
            path = record.values.get("path")
            if isinstance(path, StatePath) and path.memory:
                yield self._fault(record, ("path",), *_in_memory(mirrored=bool(record.values.get("mirror"))))
        for record in self._files:
            for name, value in record.values.items():
                told = _no_pem(value) if name.endswith("_file") and isinstance(value, str) else None
                if told is not None:
                    yield self._fault(record, (name,), *told)

    # -- values ----------------------------------------------------------------------------------

    def _values(self, record: Record, path: Path, rule: Rule) -> Iterator[Fault]:
        """Look at each value of a rule by itself, and at what the sources say of it."""
        for field in (*rule.shared, *rule.meant, *rule.open):
            node = self._document.locate(record.node, (*path, field))
            for at, item in enumerate(node.value) if isinstance(node, SequenceNode) else [(-1, node)]:
                if not isinstance(item, ScalarNode) or has_variable(item.value):
                    continue
                text = item.value.removeprefix("!")
                told = _doubt(field, text, refused=item.value.startswith("!"))
                if told is None and field == "family":
                    told = self._doubt_family(text)
                if told is None and field == "condition":
                    told = self._doubt_condition(text)
                if told is not None:
                    where = (*path, field) if at < 0 else (*path, field, at)
                    yield self._fault(record, where, *told)
        if self._whole:
            yield from self._foreign(record, path, rule)

    def _doubt_family(self, text: str) -> tuple[str, str] | None:
        """Say that no reason is of this family, neither one of Eventer's nor one that the file describes."""
        own = {str(record.values.get("family")) for record in self._changes}
        if text.startswith("/") or text in own or text in families():
            return None
        close = similar(text, (*families(), *own))
        remedy = f"did you mean {escape(close)}?" if close else "docs/catalog.md lists the families"
        return f"no reason has the family {escape(text[:60])}", remedy

    def _doubt_condition(self, text: str) -> tuple[str, str] | None:
        """Say that a condition is written with other capitals; of one that nobody described, nothing is known."""
        known = {*conditions(), *(str(record.path[-1]) for record in self._changes if record.cls is ConditionChange)}
        meant = next((name for name in sorted(known) if name.lower() == text.lower()), text)
        if text in known or meant == text:
            return None
        return f"no node has the condition {escape(text[:60])}", f"did you mean {escape(meant)}?"

    def _foreign(self, record: Record, path: Path, rule: Rule) -> Iterator[Fault]:
        """Compare a rule with the names and labels that the sources give."""
        own = could_be_own(rule) and path[0] == "match"
        test = rule.shared.get("cluster")
        names = [origins.cluster for origins in self._origins if origins.cluster is not None]
        if test is not None and len(names) == len(self._origins) and not any(map(test, names)) and not own:
            close = next((found for word in test.words if (found := similar(word, names))), None)
            remedy = f"did you mean {close}?" if close else f"the sources are {', '.join(map(escape, names))}"
            yield self._fault(record, (*path, "cluster"), "no source has this name", remedy)
        test = rule.shared.get("namespace")
        read = [name for origins in self._origins for name in origins.namespaces]
        limited = all(origins.namespaces for origins in self._origins)
        if test is not None and limited and not any(map(test, read)) and not own:
            remedy = f"the namespaces read are {', '.join(dict.fromkeys(read))}"
            yield self._fault(record, (*path, "namespace"), "no source reads this namespace", remedy)
        for label, test in rule.labels.items():
            if not any(test(origins.labels.get(label, "")) for origins in self._origins) and not own:
                remedy = "labels are those of sources[].labels, not those of a pod; give them to a source"
                yield self._fault(
                    record, (*path, "labels", label), f"no source gives the label {escape(label)} this value", remedy
                )

    def _inhibit(self, record: Record) -> Iterator[Fault]:
        """Say what events can never have in common: a word that is no field, and no source's label either."""
        equal = record.values.get("equal")
        labels = {label for origins in self._origins for label in origins.labels}
        for at, word in enumerate(equal if isinstance(equal, list) and self._whole else ()):
            if word not in {*FIELDS, *NOT_EQUAL, *labels}:
                close = similar(str(word), (*FIELDS, *labels))
                remedy = f"did you mean {escape(close)}?" if close else "give it to a source, under labels"
                yield self._fault(record, ("equal", at), f"no source gives the label {escape(str(word)[:60])}", remedy)

    # -- rules -----------------------------------------------------------------------------------

    def _filter(self, filters: list[tuple[Record, str, Rule]]) -> Iterator[Fault]:
        """Say which rules of the filter change nothing, or everything."""
        last_drop = max((at for at, (_, name, _) in enumerate(filters) if name == "drop"), default=-1)
        first_keep = min((at for at, (_, name, _) in enumerate(filters) if name == "keep"), default=len(filters))
        before = Covering()
        for at, (record, name, rule) in enumerate(filters):
            wider = before.first(rule)
            before.add(at, rule)
            origin = rule.shared.get("origin")
            if wider is not None:
                first, action, _ = filters[wider]
                message = f"this rule is never asked: {self._named(first)} matches all that it matches"
                remedy = "remove it" if action == name else f"remove it, or put it before {dotted(first.path)}"
            elif origin is not None and any(map(origin, ORIGINS)) and not (origin("event") or origin("node")):
                message = "the filter is not asked about what Eventer says about itself"
                remedy = "remove the rule; to keep such records from a sink, write match: [{origin: event}] there"
            elif name == "drop" and covers(rule, Rule()) and at < first_keep:
                message, remedy = "this rule drops every event", "put rules before it that keep what you want"
            elif name == "keep" and at == last_drop + 1:
                message = "this rule changes nothing: what no rule matches is kept anyway"
                remedy = "add `- drop: {}` as the last rule to export only what is kept, or remove it"
            else:
                continue
            yield self._fault(record, (name,), message, remedy)

    def _unreached(
        self, rule: Rule, index: int, filters: list[tuple[Record, str, Rule]], drops: Covering
    ) -> str | None:
        """Say why nothing that a sink's rule asks for can arrive; None where something may."""
        if could_be_own(rule):
            return None
        if self._whole and not any(origins.admits(rule) for origins in self._origins):
            return f"no event matches match[{index}]"
        at = drops.first(rule)
        if at is None or not all(name == "drop" or apart(other, rule) for _, name, other in filters[:at]):
            return None
        return f"{self._named(filters[at][0])} drops all that match[{index}] asks for"

    def _named(self, record: Record) -> str:
        return f"{dotted(record.path)} in line {record.node.start_mark.line + 1}"

    def _fault(self, record: Record, path: Path, message: str, remedy: str) -> Fault:
        node: Node = self._document.locate(record.node, path)
        return self._document.fault(node, (*record.path, *path), message, remedy)


def _each(field: str, asked: object) -> Iterator[tuple[Path, Rule]]:
    """Yield the rules that an option holds, which is one or a list of them, as far as they could be read."""
    if isinstance(asked, Rule):
        yield (field,), asked
    for index, rule in enumerate(asked if isinstance(asked, list) else ()):
        if isinstance(rule, Rule):
            yield (field, index), rule


def _no_pem(name: str) -> tuple[str, str] | None:
    """Say why a file of certificates cannot be used; its sink would wait for that.

    Only a warning, because where a configuration is checked is not always where it is used.
    """
    try:
        with FilePath(name).open("rb") as file:
            text = file.read(_MOST)
    except FileNotFoundError:
        return "there is no such file here", "create it, or correct its name; the sink waits until it is there"
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name is no name of a file"
        return f"the file cannot be read: {reason}", "check its name and its permissions"
    return None if b"-----BEGIN " in text else ("this file holds no PEM", "name one with -----BEGIN ... in it")


def _in_memory(*, mirrored: bool) -> tuple[str, str]:
    lost = "the journal is in memory: when the pod goes, "
    if mirrored:
        lost += "dead letters are lost, and what waits for a sink as far as the cluster does not hold it any more"
        return lost, "mount a volume and write its path to keep them"
    lost += "what waits for sinks is lost, and what the cluster still holds is exported again"
    return lost, "mount a volume and write its path, or let state.mirror note what was settled"


def _origins(record: Record) -> Origins | None:
    """Return what a source says of its events; None where it could not be read."""
    cluster = record.values.get("cluster")
    labels = record.values.get("labels", {})
    kubernetes = record.values.get("kubernetes", Kubernetes())
    if not isinstance(cluster, str | None) or not isinstance(labels, dict) or not isinstance(kubernetes, Kubernetes):
        return None
    return Origins(cluster=cluster, labels=labels, namespaces=[str(name) for name in kubernetes.namespaces])


def _doubt(field: str, text: str, *, refused: bool) -> tuple[str, str] | None:
    """Say what is doubtful in one value of a rule, and what to write instead."""
    shown = escape(text[:60])
    if len(text) >= 2 and text.startswith("/") and text.endswith("/"):
        return None if refused else _doubt_pattern(field, text[1:-1])
    flagged = _FLAGGED.fullmatch(text)
    if flagged and "/" not in flagged[1]:
        letters = "".join(sorted(set(flagged[2])))
        remedy = f"write '/(?{escape(letters)}){escape(flagged[1][:60])}/'"
        return "letters behind the last / are not understood, so this stands for itself", remedy
    if text.startswith("/"):
        message = "this begins like a /regular expression/ and does not end like one, so it stands for itself"
        return message, f"write '{shown}/' if one is meant"
    known = _VALUES.get(field)
    if known is not None and text not in known:
        return f"no event has the {field} {shown}", _instead(field, text, known)
    if field in _WHOLE and "*" in text:
        if not text.strip("*"):
            return f"{shown} stands for itself here", f"leave {field} out to match any"
        pattern = ".*".join(re.escape(part).replace("\\-", "-") for part in text.split("*"))
        return "a word is compared as a whole, and * stands for itself", f"write '/^{escape(pattern[:60])}$/'"
    if field == "kind" and text not in _KINDS and text.lower() in _NOUNS:
        return f"no object has the kind {shown}", f"did you mean {_NOUNS[text.lower()]}?"
    if field == "reason" and text in _STATES:
        message = f"{shown} is a state of a container, not the reason of an event"
        return message, f"did you mean {_STATES[text]}? To find the word in the text, write message: /{shown}/"
    if field == "namespace" and not _NAMESPACE.fullmatch(text):
        return f"no namespace can have the name {shown}", "write small letters, digits and hyphens"
    if field == "message" and text and " " not in text:
        return "a word must be the whole message", f"write /{escape(re.escape(text[:60]))}/ to find it anywhere"
    return None


def _instead(field: str, text: str, known: Sequence[str]) -> str:
    """Say what to write in place of a value that a field cannot have."""
    if close := similar(text, filter(None, known)):
        return f"did you mean {_quoted(close)}?"
    other, words = _TAKEN.get(field, ("", ()))
    if text in words:
        return f"did you mean {other}: {_quoted(text)}?"
    return _written(known)


def _written(known: Sequence[str]) -> str:
    return f"write {one_of(map(_quoted, filter(None, known)))}"


def _quoted(word: str) -> str:
    """Put a word into quotes that YAML does not take for text without them."""
    return f'"{word}"' if word in {"True", "False"} else word


def _doubt_pattern(field: str, pattern: str) -> tuple[str, str] | None:
    known = _VALUES.get(field)
    if known is None or any(re.search(pattern, word) for word in known):
        return None
    return f"this matches none of {', '.join(filter(None, known))}", _written(known)
