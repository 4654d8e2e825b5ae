"""One public authority in place of a hundred and fifty.

Whoever opens a connection makes a context that trusts what the system trusts, and to read all of that takes 25 ms
each time: more than all the rest of most tests of sinks. OpenSSL and httpx take the names of other files from the
environment.
"""

from __future__ import annotations

from pathlib import Path

import certifi
import pytest

__all__ = ["few_authorities", "one_authority"]

LAST_LINE = "-----END CERTIFICATE-----\n"


@pytest.fixture(scope="session")
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for certificates with nothing but `one.pem`, the first certificate of certifi's."""
    directory = tmp_path_factory.mktemp("authorities")
    text = Path(certifi.where()).read_text(encoding="utf-8")
    directory.joinpath("one.pem").write_text(text[: text.index(LAST_LINE)] + LAST_LINE, encoding="utf-8")
    return directory


@pytest.fixture(autouse=True)
def few_authorities(one_authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test, and the processes that it starts, trust that one authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(one_authority / "one.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(one_authority))
