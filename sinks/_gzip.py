"""The format of gzip, for files and for bodies of requests."""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

__all__ = ["GZIP", "compressed"]

GZIP: Final = 31
"""`wbits` of zlib for the format of gzip (https://docs.python.org/3/library/zlib.html#zlib.compressobj)."""


async def compressed(body: bytes) -> bytes:
    """Compress the body of a request, in a thread: its text repeats so much that the fastest level will do."""
    return await asyncio.to_thread(zlib.compress, body, 1, GZIP)
