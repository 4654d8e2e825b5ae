"""How Hypothesis looks for examples, in tests of all kinds.

There is no time limit for one example, which a busy machine misses now and then, and the examples are the same each
time, so that a run fails by what was changed. `make soak` looks for other ones each time.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "eventer",
    deadline=None,
    derandomize=not os.environ.get("EVENTER_SOAK"),
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("eventer")
