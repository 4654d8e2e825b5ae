"""The daemon as it is, for a benchmark; `--normal` commits with synchronous=NORMAL, to compare."""

from __future__ import annotations

import sys

from eventer.cli import main
from eventer.journal import schema

if "--normal" in sys.argv:
    sys.argv.remove("--normal")
    full = schema.connect

    def normal(directory):  # type: ignore[no-untyped-def]
        connection = full(directory)
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    schema.connect = normal

sys.exit(main(sys.argv[1:]))
