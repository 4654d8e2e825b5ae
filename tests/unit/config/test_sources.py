"""What is said of several sources, and of selectors, before anything is started."""

import msgspec
import pytest

from eventer.config.load import examine
from eventer.config.sources import FieldSelector, Kubernetes
from eventer.errors import ConfigError

SINKS = "sinks: {screen: {kind: stdout}}\n"


def found(write, *sources: str) -> list[tuple[str, str, bool]]:
    text = "sources:\n" + "".join(f"- {source}\n" for source in sources) + SINKS
    return [(fault.path, fault.message, fault.warning) for fault in examine(write(text), {}).faults]


@pytest.mark.parametrize(
    "sources",
    [
        ("{cluster: a}", "{cluster: b}"),
        ("{cluster: a, kubernetes: {api: core}}", "{cluster: b, kubernetes: {api: events}}"),
        ("{cluster: a, kubernetes: {kubeconfig: k}}", "{cluster: b, kubernetes: {kubeconfig: k, namespaces: [red]}}"),
        (
            "{cluster: a, kubernetes: {context: c, namespaces: [red, blue]}}",
            "{cluster: b, kubernetes: {context: c, namespaces: [green, blue]}}",
        ),
    ],
)
def test_w26_one_cluster_read_twice_is_refused(write, sources: tuple[str, ...]) -> None:
    ((path, message, warning),) = found(write, *sources)
    assert path == "sources[1]" and not warning
    assert "the same Events as sources[0]" in message and "exported twice" in message
    assert ("both APIs show the same Events" in message) is ("api: core" in sources[0])


@pytest.mark.parametrize(
    "sources",
    [
        ("{cluster: a}", "{cluster: b, kubernetes: {kubeconfig: k}}"),
        ("{cluster: a, kubernetes: {context: c}}", "{cluster: b, kubernetes: {context: d}}"),
        ("{cluster: a, kubernetes: {namespaces: [red]}}", "{cluster: b, kubernetes: {namespaces: [blue]}}"),
    ],
)
def test_what_may_be_two_clusters_or_two_scopes_is_not(write, sources: tuple[str, ...]) -> None:
    assert found(write, *sources) == []


def test_a_third_source_is_compared_with_all_before_it(write) -> None:
    sources = ["{cluster: a}", "{cluster: b, kubernetes: {context: x}}", "{cluster: c, kubernetes: {context: x}}"]
    ((path, message, _),) = found(write, *sources)
    assert path == "sources[2]" and "sources[1]" in message


# -- selectors


def test_w24_a_selector_that_an_event_can_leave_is_warned_of(write) -> None:
    ((path, message, warning),) = found(write, "{kubernetes: {field_selector: type=Warning}}")
    assert path == "sources[0].kubernetes.field_selector"
    assert warning and "looks deleted" in message


def test_names_never_change_and_are_not_warned_of(write) -> None:
    assert found(write, "{kubernetes: {field_selector: metadata.namespace!=noisy}}") == []


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("type=Warning", "type=Warning"),
        ("type==Warning", "type=Warning"),
        ("type!=Normal,metadata.namespace!=noisy", "metadata.namespace!=noisy,type!=Normal"),
        ("reason=", "reason="),
        (r"reason=a\,b\=c", r"reason=a\,b\=c"),
    ],
)
def test_what_a_selector_means(text: str, read: str) -> None:
    assert FieldSelector.parse(text) == read
    assert FieldSelector.parse(read) == read


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no term"),
        ("type", "no term"),
        ("type=a,", "no term"),
        ("type=a, reason=b", "no term"),
        ("type in (a)", "no term"),
        ("action=Binding", "no selector for 'action'"),
        ("Type=Warning", "no selector for 'Type'"),
    ],
)
def test_what_is_none_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        FieldSelector.parse(text)


@pytest.mark.parametrize(
    ("api", "field", "other"),
    [
        ("core", "involvedObject.kind", "regarding.kind"),
        ("core", "reportingComponent", "reportingController"),
        ("core", "source", "regarding.name"),
        ("events", "regarding.kind", "involvedObject.kind"),
        ("events", "reportingController", "source"),
    ],
)
def test_each_api_has_names_of_its_own(api: str, field: str, other: str) -> None:
    Kubernetes(api=api, field_selector=FieldSelector.parse(f"{field}=x"))
    with pytest.raises(ConfigError) as caught:
        Kubernetes(api=api, field_selector=FieldSelector.parse(f"{other}=x"))
    (fault,) = caught.value.faults
    assert fault.path == "field_selector" and other in fault.message and field in fault.remedy


def test_overlap_is_the_same_both_ways() -> None:
    scopes = [
        Kubernetes(),
        Kubernetes(namespaces=["a", "b"]),
        Kubernetes(namespaces=["b"]),
        Kubernetes(namespaces=["c"]),
    ]
    table = [[mine.overlaps(theirs) for theirs in scopes] for mine in scopes]
    assert table == [list(row) for row in zip(*table, strict=True)]
    assert table[1] == [True, True, True, False]
    assert msgspec.structs.replace(scopes[3]).overlaps(scopes[0])
