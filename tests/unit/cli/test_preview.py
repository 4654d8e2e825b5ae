"""`eventer preview`: events of a file in, the messages that people would get out."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from eventer.cli import main
from eventer.event import Event, Origin, encode_lines
from tests.helpers.sinks import make_event

START = make_event().time


def failed(number: int, at: float, **changes: object) -> Event:
    return make_event(
        number,
        time=START + timedelta(seconds=at),
        id=f"{number}/{at}",
        delta=2,
        first=START - timedelta(minutes=10),
        reason="Failed",
        message='Failed to pull image "web:v2": not found',
        **changes,
    )


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "events.jsonl"
    normal = make_event(90, type="Normal", reason="Pulled", time=START)
    # Not in order, as files of several streams are.
    events = [failed(n, 2.0 * n) for n in range(3)] + [failed(9, 900.0, namespace="pay"), normal]
    path.write_bytes(b"\n".join(encode_lines(events)) + b"\n")
    return str(path)


def titles(text: str) -> list[str]:
    return re.findall(r"^\[prod.*$", text, re.MULTILINE)


def test_problems_are_told_together_and_again_when_they_are_over(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", file, "--language", "zh", "--zone", "Asia/Shanghai"]) == 0
    out = capsys.readouterr().out
    assert titles(out) == [
        "[prod/shop/image_pull] 🟠 3 个问题 · 节点 node-1 · Failed 3",
        "[prod] 🟠 Failed · Pod pay/web-9 ×2",
        "[prod/shop/image_pull] ✅ 已恢复：3 个问题",
        "[prod] ✅ 已恢复：Failed · Pod pay/web-9 ×2",
    ]
    assert out.startswith("2026-03-01 20:00:10 +0800\n")  # ten seconds after the first
    assert "  含义: 容器镜像拉取失败，Pod 无法启动。\n" in out
    assert out.endswith("\n5 events: 4 in 4 messages, 1 in none\n")


def test_a_notifier_of_the_configuration_decides(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "sources: [{cluster: prod}]\n"
        "sinks:\n"
        "  screen: {kind: stdout}\n"
        "  chat: {kind: slack, url: 'https://hooks.slack.com/services/x', match: [{namespace: pay}], "
        "group: {by: [cluster, reason]}}\n"
    )
    assert main(["preview", file, "--sink", "chat", "-c", str(config)]) == 0
    out = capsys.readouterr().out
    assert len(titles(out)) == 2
    page = tmp_path / "page.html"
    own = (
        "language: zh, links: {日志: 'https://logs.example/{{ event.name }}'}, "
        "template: {body: '*自己的话* {% for p in problems %}{{ p.message }}{% endfor %}'}, group:"
    )
    config.write_text(config.read_text().replace("group:", own))
    assert main(["preview", file, "--sink", "chat", "-c", str(config), "--html", str(page)]) == 0
    own = capsys.readouterr().out
    assert "[prod] ✅ 已恢复：" in own
    assert "  *自己的话* Failed to pull image" in own
    assert "  日志: https://logs.example/web-9\n" in own
    shown = page.read_text(encoding="utf-8")
    assert re.findall("<h2>(.*?)</h2>", shown) == ["chat · 1", "chat · 2"]
    assert "<b>自己的话</b>" in shown
    assert main(["preview", file, "--sink", "chat", "-c", str(config), "--language", "en"]) == 0
    assert "Resolved" in capsys.readouterr().out
    assert out.endswith("5 events: 1 in 2 messages, 4 in none\n")
    for name, said in (("screen", "screen is no notifier; the notifiers are chat"), ("chatt", "did you mean chat?")):
        assert main(["preview", file, "--sink", name, "-c", str(config)]) == 1
        assert said in capsys.readouterr().err
    config.write_text("sinks: {}\n")
    assert main(["preview", file, "--sink", "chat", "-c", str(config)]) == 78
    assert "has faults; eventer check -c" in capsys.readouterr().err


def test_a_page_shows_each_message_in_each_dialect(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "messages.html"
    assert main(["preview", file, "--html", str(target)]) == 0
    shown = target.read_text(encoding="utf-8")
    assert re.findall("<h2>(.*?)</h2>", shown) == [
        f"{name} · {number}"
        for number in range(1, 5)
        for name in ("DingTalk", "Feishu", "WeCom", "Slack", "Teams", "Mail")
    ]
    assert main(["preview", file, "--html", str(tmp_path / "no" / "x.html")]) == 1
    assert "x.html cannot be written: No such file or directory" in capsys.readouterr().err


def test_hostile_text_does_not_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(encode_lines([make_event(1, message="a\x1b[2Jb\u202ec", name="\x1b]0;x\x07", delta=1)])[0])
    assert main(["preview", str(path)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert r"a\x1b[2Jb\u202ec" in out


def test_times_that_are_wrong_by_years_end_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "events.jsonl"
    far = make_event(1, time=START.replace(year=9999), type="Warning")
    path.write_bytes(b"\n".join(encode_lines([make_event(0), far])))
    assert main(["preview", str(path)]) == 0
    assert "2 events: 2 in " in capsys.readouterr().out
    node = make_event(
        0, time=START.replace(year=1971), origin=Origin.NODE, condition="Ready", state="firing", kind="Node"
    )
    path.write_bytes(b"\n".join(encode_lines([node, make_event(1, type="Warning")])))
    assert main(["preview", str(path)]) == 1
    assert "There are more than 10,000 messages. Preview events of a shorter time." in capsys.readouterr().err


def test_what_is_no_event_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", str(tmp_path / "none.jsonl")]) == 1
    assert "none.jsonl cannot be read: No such file or directory" in capsys.readouterr().err
    path = tmp_path / "events.jsonl"
    path.write_text('{"a": 1}\n')
    assert main(["preview", str(path)]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("eventer preview: left out: ")
    assert said.out == "0 events: 0 in 0 messages, 0 in none\n"


def test_a_zone_that_does_not_exist_is_refused(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["preview", file, "--zone", "Mars/Phobos"])
    assert ended.value.code == 2
    assert "'Mars/Phobos' is no time zone; write a time zone such as Asia/Shanghai" in capsys.readouterr().err
