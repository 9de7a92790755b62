"""What ``import celery_ratekit`` brings, and when."""

from __future__ import annotations

import subprocess
import sys

import pytest

import celery_ratekit
from celery_ratekit.limits import TokenBucket


def test_every_public_name_is_there() -> None:
    found = {name: getattr(celery_ratekit, name) for name in celery_ratekit.__all__}

    assert found["TokenBucket"] is TokenBucket
    assert all(found.values())
    assert set(celery_ratekit.__all__) <= set(dir(celery_ratekit))


def test_a_name_that_is_none_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'TokenBuckt'"):
        _ = celery_ratekit.TokenBuckt  # type: ignore[attr-defined]  # that is what is tested


@pytest.mark.parametrize(
    ("source", "loaded"),
    [
        ("import celery_ratekit", set()),
        ("from celery_ratekit import Rate, RatekitError", set()),
        ("from celery_ratekit import TokenBucket", set()),
        ("from celery_ratekit import TokenBucketTask", {"celery", "redis"}),
    ],
)
def test_nothing_is_loaded_before_it_is_asked_for(source: str, loaded: set[str]) -> None:
    check = f"{source}\nimport sys\nprint(*sorted({{'celery', 'redis'}} & set(sys.modules)))"
    shown = subprocess.run(
        [sys.executable, "-c", check], check=True, capture_output=True, text=True, timeout=60
    )

    assert set(shown.stdout.split()) == loaded
