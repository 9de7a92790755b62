"""What nearly every end-to-end test is given, from the ``setup`` of its module."""

from __future__ import annotations

from uuid import uuid4

import pytest
from support.journal import Journal
from support.workers import Setup

__all__ = ["journal", "label"]


@pytest.fixture
def journal(setup: Setup) -> Journal:
    """Where the tasks of the test's workers note their starts."""
    return Journal(setup.journal)


@pytest.fixture
def label() -> str:
    """A name that no other test has, for tasks, limits and queues."""
    return uuid4().hex
