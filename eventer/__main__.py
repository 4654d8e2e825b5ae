"""`python -m eventer` is the command `eventer`."""

from __future__ import annotations

import sys

from eventer.cli import main

if __name__ == "__main__":
    sys.exit(main())
