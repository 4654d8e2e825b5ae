"""The data of the catalog: whole, consistent, harmless to paste, and enough for what clusters really write."""

from __future__ import annotations

import gzip
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import eventer.demo
from eventer.catalog import OTHER, Condition, Reason, Text
from eventer.catalog.shipped import conditions, families, reasons
from eventer.catalog.types import PLACEHOLDERS

RECORDED = Path(__file__).parents[2] / "data/recorded"
DEMO = Path(eventer.demo.__file__).parent / "recording.jsonl.gz"
ENTRIES: list[Reason | Condition] = list(
    {id(entry): entry for entry in (*itertools.chain(*reasons().values()), *conditions().values())}.values()
)
READS = {"get", "describe", "logs", "top", "events"}
HOSTS = ("kubernetes.io", "cert-manager.io", "argo-cd.readthedocs.io", "fluxcd.io", "argo-workflows.readthedocs.io",
         "argo-rollouts.readthedocs.io")  # fmt: skip
CHINESE = re.compile("[\u4e00-\u9fff]")


def texts(entry: Reason | Condition) -> Iterator[tuple[str, Text]]:
    yield from ((language, text) for language, text in (("en", entry.en), ("zh", entry.zh)) if text is not None)
    if isinstance(entry, Condition) and entry.unknown is not None:
        yield from (("en", entry.unknown.en), ("zh", entry.unknown.zh))


def complete(entry: Reason) -> bool:
    return bool(entry.en and entry.zh and entry.en.causes and entry.command and entry.runbook)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.names[0])
def test_an_entry_is_whole(entry: Reason | Condition) -> None:
    assert entry.family in families()
    assert len(set(entry.names)) == len(entry.names)
    assert (entry.en is None) == (entry.zh is None)
    if entry.en is not None and entry.zh is not None:
        assert len(entry.en.causes) == len(entry.zh.causes)
        assert bool(entry.en.remedy) == bool(entry.zh.remedy)
    for language, text in texts(entry):
        sentences = (text.means, *text.causes, text.remedy)
        assert all(len(sentence) <= (160 if language == "en" else 80) for sentence in sentences)
        assert text.means.endswith("." if language == "en" else "。")
        assert not any(cause.endswith((".", "。")) for cause in text.causes)
        assert all(bool(CHINESE.search(sentence)) is (language == "zh") for sentence in sentences if sentence)


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.command], ids=lambda entry: entry.names[0])
def test_a_command_only_reads_and_names_what_is_known(entry: Reason | Condition) -> None:
    assert set(re.findall(r"\{([a-z]+)\}", entry.command)) <= set(PLACEHOLDERS)
    words = shlex.split(entry.command)
    assert words.pop(0) == "kubectl"
    if words[0] == "-n":
        del words[:2]
    assert words[0] in READS or words[:2] in (["rollout", "status"], ["rollout", "history"])
    assert not re.search(r"[;&|<>`]|\$\(", entry.command)
    if isinstance(entry, Condition):
        assert "{namespace}" not in entry.command


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.runbook], ids=lambda entry: entry.names[0])
def test_a_runbook_is_a_page_of_those_who_make_it(entry: Reason | Condition) -> None:
    assert entry.runbook.removeprefix("https://").partition("/")[0] in HOSTS


def test_every_family_has_titles_and_is_used() -> None:
    assert families().keys() == {entry.family for entry in ENTRIES} | {OTHER}
    for family in families().values():
        assert not CHINESE.search(family.en)
        assert CHINESE.search(family.zh)
        assert max(len(family.en), 2 * len(family.zh)) <= 40


def test_opposite_reasons_are_known_and_no_trouble_themselves() -> None:
    for entry in ENTRIES:
        for name in entry.opposite if isinstance(entry, Reason) else ():
            assert any(found.severity == "info" for found in reasons()[name]), (entry.names, name)


def test_each_use_of_a_reason_can_be_found() -> None:
    """What has no conditions fits all, so nothing may stand behind it; and no two have the same."""
    for name, entries in reasons().items():
        uses = [(entry.type, entry.components, entry.kinds, entry.says) for entry in entries]
        assert len(set(uses)) == len(uses), name
        assert ("", (), (), ()) not in uses[:-1], name


def test_conditions_are_described_once() -> None:
    described = [entry for entry in ENTRIES if isinstance(entry, Condition)]
    names = list(itertools.chain(*(entry.names for entry in described)))
    assert sorted(set(names)) == sorted(names)
    assert not any(entry.guessed for entry in described)
    assert all(entry.writers for entry in described)


def test_good_when_true_is_what_research_and_vendors_say() -> None:
    """Polarity, from the vendors' lists of conditions: the one thing that must not be guessed."""
    assert {name for name, entry in conditions().items() if entry.bad == "False"} == {
        "Ready", "SufficientIP", "KernelReady", "NetworkingReady", "StorageReady", "ContainerRuntimeReady",
        "AcceleratedHardwareReady", "EtcdIsVoter",
    }  # fmt: skip


def test_the_reasons_that_matter_are_complete() -> None:
    whole = {name for name, entries in reasons().items() if any(map(complete, entries))}
    assert len(whole) >= 100
    assert whole >= {
        "BackOff", "Failed", "Unhealthy", "FailedScheduling", "FailedMount", "FailedAttachVolume", "Evicted",
        "FailedCreatePodSandBox", "FailedCreate", "BackoffLimitExceeded", "ProvisioningFailed", "NodeNotReady",
        "SystemOOM", "OOMKilling", "EvictionThresholdMet", "FailedGetResourceMetric", "NotTriggerScaleUp",
        "SyncLoadBalancerFailed", "Rebooted",
    }  # fmt: skip


def test_what_calls_somebody_at_night_is_rare() -> None:
    critical = {name for name, entries in reasons().items() if any(entry.severity == "critical" for entry in entries)}
    assert len(critical) < len(reasons()) / 10
    assert not critical & {"BackOff", "Unhealthy", "FailedScheduling", "FailedMount", "Evicted", "OOMKilling"}


def recorded() -> Iterator[dict[str, Any]]:
    for path in sorted(RECORDED.rglob("*.gz")):
        text = gzip.decompress(path.read_bytes())
        if path.name.endswith(".watch.jsonl.gz"):
            yield from (line["object"] for line in map(msgspec.json.decode, text.splitlines()))
        elif path.name.endswith(".list.json.gz"):
            yield from msgspec.json.decode(text)["items"]
    for line in gzip.decompress(DEMO.read_bytes()).splitlines():
        yield from [item] if "reason" in (item := msgspec.json.decode(line).get("object", {})) else []


def reporter(item: dict[str, Any]) -> str:
    source = item.get("source") or item.get("deprecatedSource") or {}
    return item.get("reportingController") or item.get("reportingComponent") or source.get("component") or ""


def test_nearly_all_reasons_that_a_real_cluster_wrote_are_known() -> None:
    # Besides what the components wrote, the recordings hold what was made up to be hard to read: it is unsigned,
    # or signed by nobody's name.
    made_up = ("", "fuzz", "x", "example.com/widget-operator")
    seen = {item["reason"] for item in recorded() if item.get("reason") and reporter(item) not in made_up}
    assert len(seen) >= 30
    known = {reason for reason in seen if reason in reasons()}
    assert len(known) >= 0.95 * len(seen), sorted(seen - known)
