"""Where the figures come from: machine, server, and the versions of what is compared."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from celery_ratekit.embedded import EmbeddedRedis

from .placement import APART, FREE, possible

__all__ = ["facts"]

PACKAGES = (
    "celery-ratekit",
    "redis",
    "hiredis",
    "limits",
    "throttled-py",
    "pyrate-limiter",
)


def facts(server: EmbeddedRedis) -> dict[str, str]:
    """Names and values, in the order in which they are read best."""
    with server.client() as client:
        info: dict[str, Any] = client.info()
    return {
        "Redis": f"{server.version}, {info['mem_allocator']}, {info['multiplexing_api']}",
        "connection": "unix socket" if not server.port else "TCP on 127.0.0.1",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        "placement": APART if possible() else FREE,
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        **{package: _version(package) for package in PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
