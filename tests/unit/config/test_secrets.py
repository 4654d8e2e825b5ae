import os

import pytest

from eventer.config.secrets import MAX_SECRET, secret_file


def test_a_relative_name_counts_from_the_base_and_an_absolute_one_does_not(tmp_path):
    (tmp_path / "a").write_text("value\n")
    for name in ("a", str(tmp_path / "a")):
        secret, value = secret_file(tmp_path, name)
        assert secret.reveal() == value == "value"


def fill(path, kind):
    match kind:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "empty":
            path.write_text("\n")
        case "binary":
            path.write_bytes(b"\xff\xfe")
        case "large":
            path.write_bytes(b"a" * (MAX_SECRET + 1))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such file"),
        ("directory", "not an ordinary file"),
        ("pipe", "not an ordinary file"),
        ("empty", "the file is empty"),
        ("binary", "not UTF-8"),
        ("large", "larger than 1 MiB"),
    ],
)
def test_what_holds_no_secret_is_refused(tmp_path, kind, message):
    fill(tmp_path / "a", kind)
    with pytest.raises(ValueError, match=message):
        secret_file(tmp_path, "a")


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_what_names_no_file_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="no name of a file"):
        secret_file(tmp_path, name)


def test_what_stands_behind_a_file_is_refused(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(ValueError, match="cannot be read"):
        secret_file(tmp_path, "a/b")
