"""TLS of sinks: whom we trust, and the certificate by which we are known (mTLS).

Certificates live for months, a daemon for longer: whoever opens connections compares `stamp` before
each request and makes a new context when a file was replaced.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import msgspec

from eventer.errors import Blocked

__all__ = ["TlsConfig", "context", "stamp"]


class TlsConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whom to trust, and our own certificate. The far side is always verified; TLS is 1.2 or newer.

    Files that are replaced are read again before the next request.
    """

    ca_file: str | None = None
    """File with the certificates (PEM) that are trusted, in place of the system's."""
    cert_file: str | None = None
    """File with our certificate and what leads from it to its issuer (PEM), for far sides that ask for one."""
    key_file: str | None = None
    """File with the key of our certificate (PEM, without password); not needed if `cert_file` holds it."""

    def __post_init__(self) -> None:
        """Check what goes together.

        Raises:
            ValueError: a key without certificate.
        """
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file: a key needs its certificate; add cert_file")


def stamp(config: TlsConfig) -> tuple[object, ...]:
    """Return what changes when one of the files is replaced or rewritten."""
    return tuple(_state(name) for name in (config.ca_file, config.cert_file, config.key_file) if name)


def _state(name: str) -> tuple[int, ...] | None:
    try:
        status = Path(name).stat()
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def context(config: TlsConfig, system: Callable[[], ssl.SSLContext], *, known: bool = True) -> ssl.SSLContext:
    """Make the context for new connections.

    Args:
        config: which files to read.
        system: makes a context that trusts what is publicly trusted.
        known: with our own certificate; without it for a proxy, which is not the far side.

    Raises:
        Blocked: a file cannot be used; the message names it.
    """
    path = config.ca_file
    try:
        if path:
            made = ssl.create_default_context(cafile=path)
            # From Python 3.13 on, strict checks refuse authorities without key identifiers,
            # which home-made ones often lack; this one was named by hand.
            made.verify_flags &= ~ssl.VERIFY_X509_STRICT
        else:
            made = system()
            made.load_default_certs()  # a company's own authorities are installed there
    except (OSError, ValueError) as error:
        problem = (error.strerror or "no certificate in it") if isinstance(error, OSError) else "not a file name"
        raise Blocked(f"The certificates in {path} cannot be used: {problem}.", reason="tls") from None
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if known and config.cert_file:
        _show(made, config.cert_file, config.key_file or config.cert_file)
    return made


def _show(made: ssl.SSLContext, certificate: str, key: str) -> None:
    for path in dict.fromkeys((certificate, key)):  # OpenSSL does not say which of the two it could not read
        try:
            with Path(path).open("rb"):
                pass
        except (OSError, ValueError) as error:
            problem = error.strerror if isinstance(error, OSError) else "not a file name"
            raise Blocked(f"Our certificate cannot be read from {path}: {problem}.", reason="tls") from None
    try:
        made.load_cert_chain(certificate, key, password=_no_password)
    except _EncryptedError:
        words = f"The key in {key} is protected by a password; store it without one."
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            words = f"The key in {key} is not that of the certificate in {certificate}."
        else:
            words = f"{certificate} and {key} do not hold a certificate with its key as PEM."
    except (OSError, ValueError):
        words = f"{certificate} and {key} cannot be read."
    else:
        return
    raise Blocked(words, reason="tls")


class _EncryptedError(Exception):
    """OpenSSL asks for a password; by itself it would ask on the terminal, and wait."""


def _no_password() -> str:
    raise _EncryptedError
