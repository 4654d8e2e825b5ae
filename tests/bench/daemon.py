"""The daemon as it is, for a benchmark; `--normal` commits with synchronous=NORMAL to compare."""

from __future__ import annotations

import cProfile
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

if "--profile" in sys.argv:
    at = sys.argv.index("--profile")
    file = sys.argv[at + 1]
    del sys.argv[at : at + 2]
    profile = cProfile.Profile()
    code = profile.runcall(main, sys.argv[1:])
    profile.dump_stats(file)
    sys.exit(code)

sys.exit(main(sys.argv[1:]))
