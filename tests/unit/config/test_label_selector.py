"""Label selectors, in the words of kubectl; what they mean is the API server's business."""

from __future__ import annotations

import pytest

from eventer.config.sources import Kubernetes, LabelSelector
from eventer.errors import ConfigError


@pytest.mark.parametrize(
    "text",
    [
        "team=shop",
        "team==shop",
        "team!=shop",
        "team=",
        "team",
        "!team",
        "example.com/team=shop,env in (prod,stage)",
        "env notin (prod, stage) , team = shop",
        "kubernetes.io/metadata.name=kube-system",
    ],
)
def test_what_kubectl_takes(text: str) -> None:
    assert LabelSelector.parse(text).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    "text", ["", ",", "team=shop,", "team>1", "in (a)", "team in a,b", "-x=1", "team=a b", "a=b=c"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="; write for example"):
        LabelSelector.parse(text)


def test_names_and_labels_exclude_each_other() -> None:
    with pytest.raises(ConfigError):
        Kubernetes(namespaces=["a"], namespace_selector=LabelSelector("team=shop"))


def test_labels_may_share_a_cluster_out_but_not_with_a_source_that_reads_it_all() -> None:
    one, two = (Kubernetes(namespace_selector=LabelSelector(text)) for text in ("team=a", "team=b"))
    assert not one.overlaps(two)
    assert not one.overlaps(Kubernetes(namespaces=["x"]))
    assert one.overlaps(Kubernetes())
    assert Kubernetes().overlaps(one)
