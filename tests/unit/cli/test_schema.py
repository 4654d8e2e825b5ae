import json
from pathlib import Path

from eventer.cli import main

ROOT = Path(__file__).parents[3]


def test_the_schema_is_the_one_in_the_project(capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((ROOT / "config/eventer.schema.json").read_text())


def test_without_sources_it_says_where_to_find_it(capsys, monkeypatch):
    def no_source(_):
        raise OSError("could not get source code")

    from eventer.config.generate.options import options

    options.cache_clear()
    monkeypatch.setattr("inspect.getsource", no_source)
    assert main(["schema"]) == 1
    assert capsys.readouterr().err == (
        "eventer schema: Eventer is installed here without its sources; take config/eventer.schema.json of its release\n"
    )
