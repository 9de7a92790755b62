"""How long the property tests of the core look for a counterexample.

By default (and in CI) they take the same few examples every time, so that a run that fails can be
repeated; ``HYPOTHESIS_PROFILE=thorough`` takes many and new ones, and prints how to repeat one. A
failure that was found stays in the test as an explicit ``@example`` with its reason.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


def core_settings(examples: int = 200) -> settings:
    """``examples``: how many a normal run takes; a thorough one takes twenty times as many."""
    return settings(
        max_examples=examples * 20 if THOROUGH else examples,
        derandomize=not THOROUGH,
        print_blob=True,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
