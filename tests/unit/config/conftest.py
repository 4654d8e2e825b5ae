from pathlib import Path

import pytest

import sinks


@pytest.fixture
def fake_kinds(monkeypatch):
    """Make the sinks in `kinds/` known, as if they stood in `sinks/`."""
    monkeypatch.setattr(sinks, "__path__", [*sinks.__path__, str(Path(__file__).parent / "kinds")])


@pytest.fixture
def write(tmp_path):
    """Write a configuration and return its path."""

    def write(text):
        path = tmp_path / "eventer.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
