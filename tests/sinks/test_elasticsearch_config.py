"""`kind: elasticsearch`: what a configuration may not say, and what to write instead."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from eventer.config.load import load
from eventer.layout import Column
from eventer.values import Secret
from sinks._auth import BasicConfig
from sinks._elasticsearch_auth import AwsConfig, SearchAuthConfig
from sinks.elasticsearch import Config

ROOT = Path(__file__).parents[2]
A = Secret.literal("a")


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"index": "events-{yyyy.MM.dd}", "mode": "latest"}, "current-events"),
        ({"index": "events-{yyyy.MM.dd}", "mode": "data-stream"}, "logs-k8s.events-prod"),
        ({"index": "events-{MM.dd}"}, "{yyyy.MM.dd}"),
        ({"index": "events-{yyyy}-{MM}"}, "once"),
        ({"index": "events-{namespace}"}, "{yyyy.MM.dd}"),
        ({"index": "events-{yyyy.MM"}, "{yyyy.MM.dd}"),
        ({"index": "Events"}, "small letters"),
        ({"index": "-events"}, "small letters"),
        ({"index": "a/b"}, "small letters"),
        ({"index": ".."}, "small letters"),
        ({"index": ""}, "small letters"),
        ({"index": "x" * 201}, "200"),
        ({"url": "es:9200"}, "write https://host/path"),
        ({"url": "https://a:9200, ftp://b"}, "write https://host/path"),
        ({"url": "https://a:9200/?pretty"}, "https://host:9200"),
        ({"url": "https://me:secret@a:9200"}, "under auth"),
        ({"url": "http://169.254.169.254/"}, "metadata services"),
        ({"url": " , "}, "https://host:9200"),
        ({"fields": {"a": Column.parse("message")}, "layout": "ecs"}, "leave one"),
        ({"fields": {"@timestamp": Column.parse("message")}}, "write `time`"),
        ({"fields": {"@timestamp": Column.parse("time | seconds")}}, "write `time`"),
        ({"pipeline": "a&b"}, "letters"),
    ],
)
def test_a_wrong_configuration_is_refused_with_a_remedy(options: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ValueError, match=re.escape(remedy)):
        Config(**{"kind": "elasticsearch", "url": "http://h:9200", **options})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"basic": BasicConfig(username="a", password=A), "api_key": A},
        {"bearer": A, "aws": AwsConfig(region="x")},
    ],
)
def test_auth_is_one_of_four(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one of basic, api_key, bearer and aws"):
        SearchAuthConfig(**options)


def test_the_examples_of_the_page_can_be_used(tmp_path: Path) -> None:
    page = (ROOT / "docs/sinks/elasticsearch.md").read_text(encoding="utf-8")
    examples = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if text.startswith("sinks:")]
    assert len(examples) >= 3
    for number, text in enumerate(examples):
        for name in re.findall(r"/etc/eventer/(\S+?)[\s}]", text):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            shutil.copy(Path(__file__).parent / "tls/ca.pem", tmp_path / name)
        file = tmp_path / f"{number}.yaml"
        file.write_text(f"sources:\n  - cluster: prod\n{text.replace('/etc/eventer', str(tmp_path))}")
        names = set(re.findall(r"\$\{(\w+)\}", text))
        assert load(file, dict.fromkeys(names, "secret")).warnings == []
