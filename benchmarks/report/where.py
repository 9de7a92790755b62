"""Where the figures come from: the machine, the servers, and the versions that count."""

from __future__ import annotations

from importlib.metadata import version

from celery_ratekit.embedded import EmbeddedRabbitMQ, EmbeddedRedis

from .. import machine

__all__ = ["facts"]

OF_DECISIONS_ONLY = {"placement", "limits", "throttled-py", "pyrate-limiter"}
PACKAGES = ("celery", "kombu", "billiard")


def facts(limits: EmbeddedRedis, rabbitmq: EmbeddedRabbitMQ | None) -> dict[str, str]:
    """Names and values, in the order in which they are read best."""
    found = machine.facts(limits)
    found = {name: fact for name, fact in found.items() if name not in OF_DECISIONS_ONLY}
    if rabbitmq is not None:
        found["RabbitMQ"] = rabbitmq.executable
    return {**found, **{package: version(package) for package in PACKAGES}}
