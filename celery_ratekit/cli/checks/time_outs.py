"""Whether a broker would deliver a held message again before it is let go."""

from __future__ import annotations

from collections.abc import Iterator

from .facts import BrokerFacts, Facts
from .finding import Finding, error, ok, warning

__all__ = ["NAME", "check", "redelivers_after_seconds"]

NAME = "time-outs"

REDIS_SECONDS = 3_600.0
RABBITMQ_SECONDS = 1_800.0
SQS_SECONDS = 1_800.0
"""What kombu and RabbitMQ take where nobody sets another; RabbitMQ does not tell its own."""


def check(facts: Facts) -> Iterator[Finding]:
    """The longest hold against visibility or consumer time-out."""
    after_seconds = redelivers_after_seconds(facts.broker)
    held_seconds = facts.max_reschedule_seconds
    if facts.broker.error:
        yield error(f"the broker gives no answer: {facts.broker.error}", "start it")
    if after_seconds is None:
        yield ok("no time-out of the broker is known")
        return
    name = "consumer time-out" if facts.broker.kind == "amqp" else "visibility time-out"
    said = f"tasks are held for up to {held_seconds:g} s; the {name} is {after_seconds:g} s"
    advice = f"lower ratekit_max_reschedule to {after_seconds / 3:.0f}, or raise the {name}"
    if held_seconds >= after_seconds:
        yield error(f"{said}: they would be delivered again while they wait, and run twice", advice)
    elif held_seconds > after_seconds / 2:
        yield warning(f"{said}: a task that waits and then runs for long may run twice", advice)
    else:
        yield ok(said)


def redelivers_after_seconds(broker: BrokerFacts) -> float | None:
    """After how long the broker gives a message to somebody else that nobody acknowledged."""
    if broker.kind == "amqp":
        return RABBITMQ_SECONDS
    if broker.visibility_timeout is not None:
        return broker.visibility_timeout
    return {"redis": REDIS_SECONDS, "sqs": SQS_SECONDS}.get(broker.kind)
