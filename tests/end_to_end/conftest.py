"""What the end-to-end tests leave to others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kombu import pools


@pytest.fixture(autouse=True, scope="module")
def closed_connections() -> Iterator[None]:
    """Closes what apps of this process kept open: a child that is forked later would wait for an
    answer on it.
    """
    yield
    pools.reset()
