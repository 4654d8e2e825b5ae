"""One key of a ConfigMap over HTTP: read, written by who read it last, and each refusal with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventer.demo.apiserver import ApiServer, status_body
from eventer.demo.faults import Fault
from eventer.errors import Broken, ConfigError, Refused
from eventer.source import configmap
from eventer.source.configmap import ConfigMapKey, own_namespace
from eventer.source.kube import Cluster


@pytest.fixture
async def key(server: ApiServer, tmp_path: Path):
    cluster = await Cluster.connect(server.write_kubeconfig(tmp_path / "kubeconfig"))
    yield ConfigMapKey(cluster, "mon", "eventer", "positions.json")
    await cluster.close()


async def test_it_is_read_as_it_was_written_and_leaves_other_keys_alone(server: ApiServer, key: ConfigMapKey) -> None:
    server.configmaps.create("eventer", "mon", {"other": "x"})
    text, version = await key.read()
    assert text is None
    later = await key.write('{"a": "ü"}', version)
    assert later != version
    assert await key.read() == ('{"a": "ü"}', later)
    assert server.configmaps.data("eventer", "mon")["other"] == "x"
    assert {request.method for request in server.requests} == {"GET", "PATCH"}


async def test_who_read_an_older_version_does_not_write(server: ApiServer, key: ConfigMapKey) -> None:
    server.configmaps.create("eventer", "mon")
    _, version = await key.read()
    await key.write("mine", version)
    with pytest.raises(Refused) as caught:
        await key.write("late", version)
    assert caught.value.status == 409
    assert server.configmaps.data("eventer", "mon") == {"positions.json": "mine"}


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (403, "Grant the verbs get and patch on the ConfigMap mon/eventer."),
        (404, "Create it: kubectl -n mon create configmap eventer"),
    ],
)
async def test_a_refusal_says_what_to_do(server: ApiServer, key: ConfigMapKey, status: int, remedy: str) -> None:
    server.faults.add("configmap", Fault(status=status, body=status_body(status, "No", "it is refused.")), times=2)
    for call in (key.read, lambda: key.write("x", "1")):
        with pytest.raises(Refused) as caught:
            await call()
        assert str(caught.value) == f"The API server answered {status}: it is refused. {remedy}"


async def test_expired_credentials_are_read_again_and_the_write_repeated(server: ApiServer, key: ConfigMapKey) -> None:
    server.configmaps.create("eventer", "mon")
    _, version = await key.read()
    server.faults.add("configmap", Fault(status=401, body=status_body(401, "Unauthorized", "no")))
    await key.write("x", version)
    assert server.configmaps.data("eventer", "mon") == {"positions.json": "x"}


async def test_another_answer_than_a_configmap_is_told_without_its_text(server: ApiServer, key: ConfigMapKey) -> None:
    server.faults.add("configmap", Fault(status=200, body=b'{"metadata": "canary"}'))
    with pytest.raises(Broken, match="The answer is no ConfigMap") as caught:
        await key.read()
    assert "canary" not in str(caught.value)


def test_the_namespace_is_that_of_the_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configmap, "ACCOUNT", tmp_path / "namespace")
    with pytest.raises(ConfigError) as caught:
        own_namespace()
    (fault,) = caught.value.faults
    assert fault.path == "state.mirror.namespace"
    assert "write it" in fault.remedy
    (tmp_path / "namespace").write_text("mon\n")
    assert own_namespace() == "mon"
