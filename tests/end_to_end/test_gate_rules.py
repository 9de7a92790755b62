"""Limits from settings and message headers, switched off, only counted, or impossible."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery
from end_to_end.apps import gate, ruled
from support.away import fails_with
from support.journal import Journal, not_yet
from support.traffic import hits
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import wait_for
from celery_ratekit.errors import BadOptionError

pytestmark = [pytest.mark.redis, pytest.mark.workers]
