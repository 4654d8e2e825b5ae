"""Secrets in files: `<option>_file` names a file with nothing but the secret in it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from eventer.values import Secret

__all__ = ["MAX_SECRET", "secret_file"]

MAX_SECRET: Final = 1 << 20
"""Bytes; Kubernetes allows a Secret no more."""


def secret_file(base: Path, name: str) -> tuple[Secret, str]:
    """Return a secret that is read again at each use, and what it is now.

    Args:
        base: directory that a relative name counts from: the one of the configuration file.
        name: the file, as in the configuration.

    Raises:
        ValueError: it cannot be read, or holds no secret; `message; remedy`.
    """
    if not name or "\0" in name:
        raise ValueError("this is no name of a file; name the file that holds the secret")
    path = base / name
    try:
        # A device or a pipe could give bytes for ever, or once only.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("this is not an ordinary file; name a file that holds nothing but the secret")
        if status.st_size > MAX_SECRET:
            raise ValueError("the file is larger than 1 MiB; name a file that holds nothing but the secret")
        secret = Secret.file(path)
        value = secret.reveal()
    except FileNotFoundError:
        raise ValueError("there is no such file; create it, or correct its name") from None
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8; store the secret as text") from None
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}; check its permissions") from None
    if not value:
        raise ValueError("the file is empty; put the secret into it")
    return secret, value
