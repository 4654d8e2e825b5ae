"""Scripts for shells. That of bash is tried in bash; zsh and fish are read only."""

import shutil
import subprocess

import pytest

from eventer.cli import COMMANDS, main


@pytest.fixture(params=["bash", "zsh", "fish"])
def script(request, capsys):
    assert main(["completion", request.param]) == 0
    return capsys.readouterr().out


def test_every_command_and_its_options_are_in_it(script):
    for word in (*COMMANDS, "kubeconfig", "sample", "output"):
        assert word in script


def complete(tmp_path, capsys, *words):
    """What bash offers for the last of the words."""
    assert main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    (tmp_path / "events.json").touch()
    line = " ".join(f"'{word}'" for word in ("eventer", *words))
    code = f"""
        source ./script
        complete -p eventer >/dev/null || exit 1
        COMP_WORDS=({line}); COMP_CWORD={len(words)}
        _shtab_eventer eventer '{words[-1]}' '' 2>/dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ([""], set(COMMANDS)),
        (["c"], {"check", "completion"}),
        (["check", "--te"], {"--test"}),
        (["check", "--output", ""], {"text", "json"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
        (["explain", "ev"], {"events.json"}),
        (["replay", "ev"], {"events.json"}),
        (["dead-letters", "re"], {"retry"}),
        (["dead-letters", "drop", "--y"], {"--yes"}),
        (["dead-letters", "export", "-o", "ev"], {"events.json"}),
        (["silence", ""], {"add", "list", "expire"}),
        (["silence", "add", "--f"], {"--for", "--from"}),
        (["silence", "list", "--e"], {"--expired"}),
        (["check", "-c", "ev"], {"events.json"}),
    ],
)
def test_bash_completes(tmp_path, capsys, words, offered):
    assert complete(tmp_path, capsys, *words) == offered
