"""The settings of metrics are checked when the app starts."""

from __future__ import annotations

from typing import Any

import pytest

from celery_ratekit.errors import BadOptionError
from celery_ratekit.settings import Settings


def test_by_default_nothing_is_served_and_where_it_is_only_on_loopback() -> None:
    settings = Settings()

    assert settings.metrics_port is None
    assert settings.metrics_host == "127.0.0.1"
    assert settings.metrics_max_limits == 200


@pytest.mark.parametrize("port", [-1, 65_536, "9810", True, 1.5])
def test_what_is_no_port_is_refused_with_what_one_is(port: Any) -> None:
    with pytest.raises(
        BadOptionError, match=r"expected a port from 0 .any. to 65535, or None, for"
    ):
        Settings(metrics_port=port)


@pytest.mark.parametrize("port", [None, 0, 65_535])
def test_ports_at_the_edges_are_taken(port: int | None) -> None:
    assert Settings(metrics_port=port).metrics_port == port


@pytest.mark.parametrize("most", [0, -1, None, "many", True])
def test_there_is_always_a_bound_to_the_number_of_names(most: Any) -> None:
    with pytest.raises(BadOptionError, match="whole number of at least 1 for ratekit_metrics_max"):
        Settings(metrics_max_limits=most)


def test_a_host_is_a_text() -> None:
    with pytest.raises(BadOptionError, match="expected an address for ratekit_metrics_host"):
        Settings(metrics_host=None)  # type: ignore[arg-type]  # as a configuration may have it
