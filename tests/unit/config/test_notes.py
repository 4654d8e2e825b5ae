"""Secrets are never shown, wherever they come from and whatever is wrong beside them."""

import pytest

from eventer.cli.check import render
from eventer.config.load import examine, load
from eventer.errors import ConfigError
from eventer.values import Secret

pytestmark = pytest.mark.usefixtures("fake_kinds")

CANARY = "kanarie-7d1f9b"

PLACES = {
    "a literal": ("token: {}", False),
    "a quoted literal": ('token: "{}"', False),
    "a literal of several lines": ("token: |\n      first\n      {}", False),
    "a variable": ("token: ${{CANARY}}", True),
    "part of a variable": ("token: Bearer ${{CANARY}}", True),
    "a file": ("token_file: canary", True),
    "inside": ("token: ${{T}}\n    login: {{user: joe, password: {}}}", False),
    "a mapping": ("token: ${{T}}\n    keys: {{x: {}}}", False),
}
BESIDES = [
    "",
    "count: 0",
    "tokn: {}",
    "login: {{passwort: {}}}",
    "token: {}",
    "keys: [{}]",
    "zzz: [{{a: {}}}]",
    "ratio: 0.25",
    "wait: ${{CANARY}}",
    "match: [{{name: '/(${{CANARY}}/'}}]",
    "count: ${{CANARY}}",
    "mode: ${{CANARY}}",
    "login: {}",
    "a: 'b",
    "\tx: {}",
    'unique: ["${{CANARY}}"]',
]


@pytest.mark.parametrize("beside", BESIDES)
@pytest.mark.parametrize("place", PLACES)
def test_a_secret_is_never_shown(write, tmp_path, place, beside):
    (tmp_path / "canary").write_text(f"{CANARY}\n")
    line = PLACES[place][0].format(CANARY)
    text = f"sources: [{{}}]\nsinks:\n  a:\n    {line}\n    kind: fake\n    {beside.format(CANARY)}\n"
    file = write(text)
    environ = {"T": "t", "CANARY": CANARY}
    examined = examine(file, environ)
    shown = [
        repr(examined.faults),
        repr(examined.config),
        str(examined.config),
        render("c.yaml", examined, colour=True),
        *(examined.excerpt(number) for number in range(len(text.splitlines()) + 2)),
    ]
    if beside == "":
        assert examined.config is not None
    try:
        load(file, environ)
    except ConfigError as error:
        shown += [str(error), repr(error)]
    for output in shown:
        assert CANARY not in output


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_in_the_file_is_a_warning_and_elsewhere_is_none(write, tmp_path, place):
    (tmp_path / "canary").write_text(f"{CANARY}\n")
    line, elsewhere = PLACES[place]
    loaded = load(
        write(f"sources: [{{}}]\nsinks:\n  a:\n    {line.format(CANARY)}\n    kind: fake\n"),
        {"T": "t", "CANARY": CANARY},
    )
    assert [warning.warning for warning in loaded.warnings] == ([] if elsewhere else [True])
    sink = loaded.config.sinks["a"]
    found = [sink.token, *([sink.login.password] if sink.login else []), *sink.keys.values()]
    assert any(CANARY in secret.reveal() for secret in found)
    assert all(isinstance(secret, Secret) for secret in found)


def test_a_file_of_a_secret_is_read_again_at_each_use(write, tmp_path):
    (tmp_path / "s").write_text("one\n")
    token = load(write("sources: [{}]\nsinks: {a: {kind: fake, token_file: s}}\n"), {}).config.sinks["a"].token
    assert token.reveal() == "one"
    (tmp_path / "s").write_text("two\r\n")
    assert token.reveal() == "two"


def test_a_file_of_a_secret_may_be_named_by_a_variable(write, tmp_path):
    (tmp_path / "s").write_text("one")
    config = load(write("sources: [{}]\nsinks: {a: {kind: fake, token_file: '${D}/s'}}\n"), {"D": str(tmp_path)}).config
    assert config.sinks["a"].token.reveal() == "one"
