"""A pytest plugin: hypothesis with as many cases as FUZZ_CASES says.

`make fuzz` uses it (`-p hypothesis_profiles`, with tools/ on PYTHONPATH); a test that fixes its own
`max_examples` keeps it.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("FUZZ_CASES", "2000")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
