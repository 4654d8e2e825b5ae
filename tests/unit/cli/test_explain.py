"""What `eventer explain` says; that it is true is tested in tests/unit/config/test_route.py."""

import io
import json
import sys

import pytest

from eventer.cli import main
from eventer.config.words import one_of
from eventer.event import encode_lines
from tests.helpers.sinks import make_event

CONFIG = """\
sources:
  - cluster: prod
    labels: {team: shop}
  - {cluster: test, kubernetes: {context: test}}
filter:
  - keep: {namespace: [kube-system, shop]}
  - drop: {type: Normal}
  - drop: {message: /x/}
sinks:
  chat:
    kind: stdout
    match:
      - {type: Warning, reason: ["/^Fail/", BackOff], name: "!/-canary$/"}
      - {labels: {team: infra}}
  archive: {kind: stdout}
"""
CORE = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "web-0.17", "namespace": "shop", "uid": "u-1", "resourceVersion": "7"},
    "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-0"},
    "type": "Warning",
    "reason": "BackOff",
    "message": "Back-off restarting failed container",
    "lastTimestamp": "2026-03-01T12:00:00Z",
}
NEWER = {
    "apiVersion": "events.k8s.io/v1",
    "kind": "Event",
    "metadata": {"name": "web-0.17", "namespace": "shop", "uid": "u-1", "resourceVersion": "7"},
    "regarding": {"kind": "Pod", "namespace": "shop", "name": "web-0"},
    "type": "Warning",
    "reason": "BackOff",
    "note": "Back-off restarting failed container",
    "eventTime": "2026-03-01T12:00:00.000000Z",
}


@pytest.fixture
def explain(tmp_path, capsys, monkeypatch):
    """Run the command; returns its exit code, standard output and standard error."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG)

    def explain(*words, stdin=b""):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(["explain", "-c", str(path), *words])
        return code, *capsys.readouterr()

    explain.path = path
    return explain


def test_an_event_that_is_kept(explain):
    code, out, err = explain("--sample", "type=Warning,reason=BackOff,kind=Pod,namespace=shop,name=web-canary")
    assert (code, err) == (0, "")
    assert out == (
        "Warning BackOff of Pod shop/web-canary, cluster prod\n"
        "  warning, crash_loop: Container keeps failing\n"
        "  A container fails again and again, and the kubelet waits longer before each restart.\n"
        "  likely:  the application ends with an error; configuration or a dependency is missing; "
        "the liveness probe or the memory limit kills it\n"
        "  command: kubectl -n shop logs web-canary --previous --all-containers --tail=50\n"
        "  more:    https://kubernetes.io/docs/tasks/debug/debug-application/debug-running-pod/\n"
        "  This reason has several uses, of which this is the first; message would tell.\n"
        "\n"
        "filter: kept by filter[0]\n"
        "  filter[0] (line 6) keep {namespace: [kube-system, shop]}: matches\n"
        "    yes  namespace is shop\n"
        "  not asked any more: 2 rules\n"
        "\n"
        "sink chat: does not get it\n"
        "  sinks.chat.match[0] (line 13) {type: Warning, reason: [BackOff, '/^Fail/'], name: '!/-canary$/'}: does not match\n"
        "    yes  type is Warning\n"
        "    yes  reason is BackOff\n"
        "    no   name web-canary matches /-canary$/, which the rule excludes\n"
        "  sinks.chat.match[1] (line 14) {labels: {team: infra}}: does not match\n"
        "    no   labels.team is shop; the rule wants infra\n"
        "\n"
        "sink archive: gets it (no match: it takes every event)\n"
    )


def test_an_event_that_is_dropped(explain):
    code, out, _ = explain("--sample", "type=Normal,reason=Failed,cluster=test,labels.team=infra,message=well, well")
    assert code == 0
    assert out == (
        "Normal Failed, cluster test: well, well\n"
        "  warning, certificate: Certificate is not issued\n"
        "\n"
        "filter: dropped by filter[1]\n"
        "  filter[0] (line 6) keep {namespace: [kube-system, shop]}: does not match\n"
        "    no   namespace is empty; the rule wants kube-system or shop\n"
        "  filter[1] (line 7) drop {type: Normal}: matches\n"
        "    yes  type is Normal\n"
        "  not asked any more: 1 rule\n"
        "\n"
        "sink chat: would get it, had the filter not dropped it\n"
        "  sinks.chat.match[0] (line 13) {type: Warning, reason: [BackOff, '/^Fail/'], name: '!/-canary$/'}: does not match\n"
        "    no   type is Normal; the rule wants Warning\n"
        "    yes  reason Failed matches /^Fail/\n"
        "    yes  name is empty, which is not /-canary$/\n"
        "  sinks.chat.match[1] (line 14) {labels: {team: infra}}: matches\n"
        "    yes  labels.team is infra\n"
        "\n"
        "sink archive: would get it, had the filter not dropped it (no match: it takes every event)\n"
    )


def test_an_event_that_no_rule_names_and_one_of_eventer(explain):
    _, out, _ = explain("--sample", "type=warning")
    assert "filter: kept, for no rule matches\n" in out
    assert "    no   type is warning; the rule wants Warning (capitals count)\n" in out
    _, out, _ = explain("--sample", "origin=eventer,type=Normal")
    assert "filter: kept, for Eventer's own records pass it unasked\n\nsink chat" in out


def test_a_configuration_without_filter(explain):
    explain.path.write_text("sources: [{}]\nsinks: {a: {kind: stdout}}\n")
    assert explain("--sample", "reason=x")[1] == (
        "x\n  warning, other\n\nfilter: kept, for there are no rules\n\nsink a: gets it (no match: it takes every event)\n"
    )


def test_a_sink_that_looks_up_what_decides(explain):
    explain.path.write_text(
        "sources: [{}]\nsinks:\n  a: {kind: stdout, enrich: [owner], match: [{reason: x}, {owner: Deployment/web}]}\n"
    )
    assert "sink a: gets it\n" in explain("--sample", "reason=x")[1]
    assert "sink a: gets it, unless a look-up says otherwise\n" in explain("--sample", "reason=y")[1]
    (sink,) = json.loads(explain("--sample", "reason=y", "--output", "json")[1])["events"][0]["sinks"]
    assert (sink["gets"], sink["unsure"]) == (True, True)


HEAD = "Warning BackOff of Pod shop/web-0, cluster prod: Back-off restarting failed container"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(CORE),
        json.dumps(NEWER),
        json.dumps(CORE, indent=2),
        json.dumps({"kind": "List", "apiVersion": "v1", "items": [CORE]}),
        json.dumps([NEWER]),
        json.dumps({"type": "ADDED", "object": CORE}),
        "\n" + json.dumps(CORE) + "\n\n",
    ],
)
def test_kubernetes_events_are_taken_as_kubectl_prints_them(explain, tmp_path, text):
    code, out, _ = explain("-", stdin=text.encode())
    assert (code, out.partition("\n")[0]) == (0, HEAD)
    assert "sink chat: gets it\n" in out
    (tmp_path / "event.json").write_text(text)
    assert explain(str(tmp_path / "event.json")) == (0, out, "")


def test_the_cluster_of_a_kubernetes_event_can_be_named(explain):
    answers = [
        json.loads(explain("-", *words, "--output", "json", stdin=json.dumps(CORE).encode())[1])["events"][0]["event"]
        for words in ([], ["--cluster", "test"])
    ]
    assert [(event["cluster"], event["labels"]) for event in answers] == [("prod", {"team": "shop"}), ("test", {})]
    assert explain("-", "--cluster", "tset", stdin=b"{}") == (
        1,
        "",
        "eventer explain: no source has the name tset; name one of prod, test\n",
    )


def test_eventers_own_lines_are_taken_several_at_once(explain):
    lines = encode_lines([make_event(1), make_event(2, type="Normal", namespace="dev", cluster="other")])
    code, out, _ = explain("-", stdin=b"\n".join(lines))
    assert code == 0
    first, second = out.split("\n\nWarning") if "\n\nWarning" in out else out.split("\n\nNormal")
    assert first.startswith("Warning BackOff of Pod shop/web-1, cluster prod")
    assert second.startswith(" BackOff of Pod dev/web-2, cluster other")


def test_programs_get_json(explain):
    code, out, _ = explain("--sample", "type=Normal", "--output", "json")
    assert code == 0
    (answer,) = json.loads(out)["events"]
    assert (answer["kept"], answer["own"], answer["decided_by"]) == (False, False, "filter[1]")
    assert answer["filter"][1] == {
        "path": "filter[1]",
        "line": 7,
        "rule": "{type: Normal}",
        "action": "drop",
        "matches": True,
        "fields": [{"field": "type", "text": "Normal", "holds": True, "why": "type is Normal"}],
    }
    assert [(sink["name"], sink["gets"], sink["matches"], len(sink["match"])) for sink in answer["sinks"]] == [
        ("chat", False, False, 2),
        ("archive", False, True, 0),
    ]


NODE = "origin=node,kind=Node,name=n1,condition=Ready,reason=R"


@pytest.mark.parametrize(
    ("sample", "told"),
    [
        (
            "status=False,state=firing",
            [
                "  critical, node_not_ready: Node is not ready",
                "  The node is not ready: its pods get no traffic and are moved after about five minutes.",
                "  likely:  the container runtime does not answer; the network plugin is not ready",
                "  command: kubectl describe node n1",
                "  more:    https://kubernetes.io/docs/tasks/debug/debug-cluster/",
            ],
        ),
        ("status=True,state=resolved", ["  info, node_not_ready: Node is not ready (over)"]),
    ],
)
def test_what_is_over_is_not_told_as_trouble(explain, sample, told):
    _, out, _ = explain("--sample", f"{NODE},{sample}")
    head, *lines = out.partition("\n\n")[0].splitlines()
    assert (head, lines) == ("R of Node n1, cluster prod", told)


def test_what_an_event_means_is_told_in_the_language_of_the_reader(explain, monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    _, out, _ = explain("--sample", "type=Warning,reason=BackOff,kind=Pod,namespace=shop,name=web-0")
    assert out.startswith(
        "Warning BackOff of Pod shop/web-0, cluster prod\n"
        "  warning, crash_loop: 容器反复崩溃\n"
        "  容器反复启动失败，kubelet 正按退避时间逐次延长重启间隔。\n"
        "  可能原因：应用启动即报错退出；缺少配置或依赖服务不可用；存活探针失败或内存超限被杀\n"
        "  排查命令：kubectl -n shop logs web-0 "
    )
    _, out, _ = explain("--sample", f"{NODE},type=Normal,status=True,state=resolved")
    assert "  info, node_not_ready: 节点未就绪（已恢复）\n" in out


def test_the_catalog_of_the_configuration_is_asked(explain):
    explain.path.write_text(
        "sources: [{}]\nsinks: {a: {kind: stdout}}\n"
        "catalog: {reasons: {Refused: {family: payments, en: A payment was refused., command: 'look {name}'}}}\n"
    )
    _, out, _ = explain("--sample", "type=Warning,reason=Refused,name=a b")
    assert out.startswith(
        "Warning Refused of a b\n  warning, payments\n  A payment was refused.\n  command: look 'a b'\n\n"
    )


@pytest.mark.parametrize(
    ("sample", "fields"),
    [
        ("reason=Failed", ["kind", "type", "message"]),
        ("reason=Failed,kind=Pod,component=kubelet,type=Warning", ["message"]),
        ("reason=Failed,kind=Pod,component=kubelet,type=Warning,message=Error: ErrImagePull", []),
        ("reason=OOMKilling", []),
        ("reason=NobodyKnowsIt", []),
        ("origin=node,condition=Ready,status=False,state=firing,kind=Node,reason=Failed", []),
    ],
)
def test_what_would_tell_which_use_of_a_reason_is_meant_is_said(explain, sample, fields):
    code, out, _ = explain("--sample", sample)
    said = f"This reason has several uses, of which this is the first; {one_of(fields)} would tell."
    assert code == 0
    assert (said in out) is bool(fields)
    assert "several uses" not in out or fields
    (event,) = json.loads(explain("--sample", sample, "--output", "json")[1])["events"]
    assert event["meaning"]["open_to"] == fields


def test_programs_get_what_an_event_means(explain, monkeypatch):
    def meaning(sample):
        (answer,) = json.loads(explain("--sample", sample, "--output", "json")[1])["events"]
        return answer["meaning"]

    assert meaning("type=Warning,reason=Nobody") == {
        "language": "en", "means": "", "causes": [], "remedy": "", "command": "", "runbook": "", "open_to": [],
    }  # fmt: skip
    found = meaning(f"{NODE},status=Unknown,state=firing")
    assert found["means"].startswith("The node has not been heard of")
    assert (len(found["causes"]), found["command"]) == (2, "kubectl describe node n1")
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert meaning(f"{NODE},status=Unknown,state=firing")["means"] == "节点心跳超时，主机或网络可能已中断。"


@pytest.mark.parametrize(
    ("words", "stdin", "code", "told"),
    [
        ([], b"", 2, "name one of FILE, - for standard input, --sample and --uid"),
        (["-", "--sample", "type=x"], b"", 2, "name one of FILE, - for standard input, --sample and --uid"),
        (["--sample", "tpye=x"], b"", 2, "--sample: 'tpye' is no field; did you mean type?"),
        (["--sample", "type=x,resaon=y"], b"", 2, "--sample: 'resaon' is no field; did you mean reason?"),
        (["--sample", "hello"], b"", 2, "--sample: 'hello' is no field; write FIELD=TEXT with cluster, "),
        (["--sample", "origin=x"], b"", 2, "--sample: origin is event, node or eventer"),
        (["--sample", "reason=x,state=off"], b"", 2, "--sample: state is firing, resolved or unknown"),
        (["--sample", "status=true"], b"", 2, "--sample: status is True, False or Unknown"),
        (["/does/not/exist"], b"", 1, "/does/not/exist cannot be read: No such file or directory"),
        (["-"], b"", 1, "there is no event in the input; give one as JSON"),
        (["-"], b"[]", 1, "there is no event in the input; give one as JSON"),
        (["-"], json.dumps(CORE).encode() + b"\nnope", 1, "line 2 is no JSON; give events as JSON, such as kubectl prints with -o json"),
        (["-"], b"7", 1, "what was given is JSON, but no event; give an object or a list of them"),
        (["-"], b"{}", 1, "this is neither a Kubernetes Event (which has involvedObject or regarding) nor one of Eventer's"),
        (["-"], b'{"involvedObject": {}}', 1, "this object cannot be read as an Event, and would be kept as a dead letter"),
        (["-"], b"[" * 100_000, 1, "line 1 is no JSON"),
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused_in_a_sentence(explain, words, stdin, code, told):
    got, out, err = explain(*words, stdin=stdin)
    assert (got, out) == (code, "")
    assert err.startswith(f"eventer explain: {told}")
    assert err.count("\n") == 1


def test_a_configuration_with_faults_explains_nothing(explain):
    explain.path.write_text("sources: [{}]\nsinks: {a: {kind: stdot}}\n")
    code, out, err = explain("--sample", "type=x")
    assert (code, out) == (78, "")
    assert err == f"eventer explain: {explain.path} has faults; eventer check -c {explain.path} names them\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_for_terminals_that_want_them(explain, monkeypatch, environ, coloured):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    out = Terminal()
    monkeypatch.setattr("sys.stdout", out)
    assert main(["explain", "-c", str(explain.path), "--sample", "type=Normal"]) == 0
    assert ("\x1b[" in out.getvalue()) is coloured
    assert sys.stdout is out


def test_nothing_in_an_event_can_move_the_terminal(explain):
    hostile = encode_lines(
        [make_event(reason="a\x1b[31m", message="b\r\nc\u202e", name="\x9b", labels={"team": "\x07"})]
    )
    _, out, _ = explain("-", stdin=hostile[0])
    assert all(character.isprintable() or character == "\n" for character in out)
    assert "labels.team is \\x07; the rule wants infra" in out
