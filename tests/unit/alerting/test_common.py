"""What several problems have in common, said only where it is true of all of them."""

from __future__ import annotations

from eventer.about import About, NodeFacts
from eventer.alerting.common import in_common
from eventer.alerting.state import Problem


def problem(
    name: str, *, zone: str = "", pool: str = "", owner: str = "", node: str = "", kind: str = "Node"
) -> Problem:
    return Problem(
        cluster="prod", object=f"prod/{kind}//{name}", kind=kind, name=name, owner=owner, node=node, reason="NotReady",
        reported="NotReady", severity="critical", family="node_not_ready", since=0.0, last=0.0,
        about=About(node=NodeFacts(name=name, zone=zone, pool=pool)),
    )  # fmt: skip


def test_nodes_of_one_zone_say_so() -> None:
    nodes = [problem(f"n{n}", zone="b", pool=f"pool-{n % 2}", node=f"n{n}") for n in range(12)]
    assert in_common(nodes) == {"zone": "b"}


def test_pods_of_one_deployment_on_one_node_say_both() -> None:
    pods = [problem(f"web-{n}", kind="Pod", owner="Deployment web", node="n1", zone="b", pool="x") for n in range(2)]
    assert in_common(pods) == {"owner": "Deployment web", "node": "n1", "zone": "b", "pool": "x"}


def test_what_is_not_known_of_one_is_said_of_none() -> None:
    assert in_common([problem("n1", zone="b"), problem("n2", zone="b"), problem("n3")]) == {}


def test_problems_of_one_object_share_nothing_that_is_news() -> None:
    assert in_common([problem("n1", zone="b"), problem("n1", zone="b")]) == {}
    assert in_common([]) == {}
