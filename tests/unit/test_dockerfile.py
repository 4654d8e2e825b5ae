"""The rules of Dockerfile linters that matter here. tests/real/test_image.py runs what the file says.

hadolint, which most projects use, is one more language's tool chain to build; each rule below names its
number there (https://github.com/hadolint/hadolint#rules).
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LINES = [
    (name, rest.strip())
    for name, _, rest in (
        line.partition(" ")
        for line in re.sub(r"(?m)^#.*\n", "", TEXT).replace("\\\n", " ").splitlines()
        if line.strip()
    )
]


def of(name: str) -> list[str]:
    return [rest for each, rest in LINES if each == name]


def test_instructions_are_known_and_in_capitals() -> None:
    known = {"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD", "EXPOSE", "LABEL", "VOLUME"}
    assert {name for name, _ in LINES} <= known  # DL3020: COPY, not ADD; DL4000: no MAINTAINER


def test_images_have_a_version_that_is_none_of_the_moving_ones() -> None:
    assert of("FROM")
    arguments = dict(pair.split("=", 1) for pair in of("ARG") if "=" in pair)
    for line in of("FROM"):
        image = re.sub(r"\$\{?(\w+)\}?", lambda found: arguments[found[1]], line.split()[0])
        _, _, tag = image.partition("@")[0].rpartition(":")  # DL3006, DL3007
        assert re.match(r"\d+\.\d+", tag), image


def test_the_last_user_is_a_number_and_not_root() -> None:
    """DL3002; a number, because runAsNonRoot can judge no name."""
    user = of("USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert [name for name, _ in LINES].index("USER") < [name for name, _ in LINES].index("ENTRYPOINT")


def test_what_is_started_is_a_list_without_a_shell() -> None:
    for line in (*of("ENTRYPOINT"), *of("CMD")):  # DL3025
        assert all(isinstance(word, str) for word in json.loads(line))
    assert (len(of("ENTRYPOINT")), len(of("CMD"))) == (1, 1)  # DL4003, DL4004


def test_directories_are_absolute_and_nothing_goes_there_by_cd() -> None:
    assert all(line.startswith("/") for line in of("WORKDIR"))  # DL3000
    assert not any(re.match(r"cd\s", line) for line in of("RUN"))  # DL3003


def test_nothing_is_installed_as_it_comes_or_kept_in_a_cache() -> None:
    for line in of("RUN"):
        assert not re.search(r"\bsudo\b|apt-get (dist-)?upgrade|curl [^|]*\|\s*(ba)?sh", line)  # DL3004, DL3005, DL4006
        if "pip install" in line:
            assert "--no-cache-dir" in line or any("PIP_NO_CACHE_DIR" in each for each in of("ENV"))  # DL3042
            # DL3013: what is installed has versions, by the list of them.
            assert "requirements.lock" in line or "constraint" in line.lower() or "--no-deps" in line


def test_no_secret_stands_in_it() -> None:
    for line in (*of("ENV"), *of("ARG")):
        assert not re.search(r"(?i)token|password|secret|api_?key", line)


def test_every_kind_of_sink_works_in_the_image() -> None:
    """Who runs it cannot install anything in it. What only people look at stays out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extras,) = re.findall(r'"\.\[([a-z,]+)\]"', " ".join(of("RUN")))
    assert set(extras.split(",")) == project["optional-dependencies"].keys() - {"dev", "tty"}
