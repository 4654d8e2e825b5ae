"""`python -m eventer.config.generate`: write the generated files, or look whether they are stale."""

from __future__ import annotations

import sys

from eventer.config.generate.files import main

if __name__ == "__main__":
    sys.exit(main())
