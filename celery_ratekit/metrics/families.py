"""The metrics of what Redis knows, made from plain values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric

from ..backlog.values import Sizes
from ..limits.base import RatedLimit
from . import labels
from .state import LimitNow, State

__all__ = ["ALL", "UP", "Family", "families", "family"]

Samples = dict[tuple[str, ...], float]


class Family(NamedTuple):
    """A gauge: its name, what it means, and its labels."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()


UP = Family("celery_ratekit_up", "Whether Redis told the state of limits and backlog.")

BACKLOG_SIZE = Family(
    "celery_ratekit_backlog_size", "Calls that wait in the backlog.", ("queue", "task_name")
)
BACKLOG_LIMIT_SIZE = Family(
    "celery_ratekit_backlog_limit_size",
    "Calls that wait in the backlog and have this limit; one with two limits counts for both.",
    ("queue", "limit_name"),
)
BACKLOG_CLAIMED = Family(
    "celery_ratekit_backlog_claimed", "Calls of the backlog that workers have now.", ("queue",)
)
BACKLOG_OLDEST = Family(
    "celery_ratekit_backlog_oldest_age_seconds",
    "How long the oldest call of the backlog has waited, of those of the first 1,000 groups.",
    ("queue",),
)
RATE = Family(
    "celery_ratekit_rate_per_second",
    "What a limit allows now in a second; 0: it is paused, +Inf: it is off.",
    ("limit_name",),
)
DECLARED_RATE = Family(
    "celery_ratekit_declared_rate_per_second",
    "What a limit allows in a second as the app declares it.",
    ("limit_name",),
)
AVAILABLE = Family(
    "celery_ratekit_tokens_available",
    "What could be taken of a limit at once; negative where starts are promised or a debt is owed.",
    ("limit_name",),
)
CAPACITY = Family(
    "celery_ratekit_capacity", "The most that a limit can have available.", ("limit_name",)
)
FROZEN = Family(
    "celery_ratekit_frozen_seconds", "How long a limit is still frozen.", ("limit_name",)
)
PAUSED = Family("celery_ratekit_paused", "Whether a limit lets nothing pass.", ("limit_name",))

DISABLED = Family("celery_ratekit_disabled", "Whether a limit is switched off.", ("limit_name",))

OF_LIMITS = (RATE, DECLARED_RATE, AVAILABLE, CAPACITY, FROZEN, PAUSED, DISABLED)
ALL = (UP, BACKLOG_SIZE, BACKLOG_LIMIT_SIZE, BACKLOG_CLAIMED, BACKLOG_OLDEST, *OF_LIMITS)


def families(state: State, most: int) -> Iterator[Metric]:
    """The metrics of a state; ``most``: how many names may be labels."""
    yield from _of_queues(state.queues, most)
    yield from _of_limits(state.limits, most)


def family(of: Family, samples: Mapping[tuple[str, ...], float]) -> Metric:
    """A metric with its values by label."""
    metric = GaugeMetricFamily(of.name, of.meaning, labels=of.labels)
    for values, number in samples.items():
        metric.add_metric(values, number)
    return metric


def _of_queues(queues: Mapping[str, Sizes], most: int) -> Iterator[Metric]:
    by_task, by_limit, claimed, oldest = Samples(), Samples(), Samples(), Samples()
    for name, sizes in queues.items():
        queue = labels.queues.label(name, most)
        for task, count in sizes.by_task.items():
            _add(by_task, (queue, labels.tasks.label(task, most)), count)
        for limit, count in sizes.by_limit.items():
            _add(by_limit, (queue, labels.limits.label(limit, most)), count)
        _add(claimed, (queue,), sizes.claimed)
        oldest[queue,] = max(oldest.get((queue,), 0.0), sizes.oldest_age_seconds)
    yield family(BACKLOG_SIZE, by_task)
    yield family(BACKLOG_LIMIT_SIZE, by_limit)
    yield family(BACKLOG_CLAIMED, claimed)
    yield family(BACKLOG_OLDEST, oldest)


def _add(samples: Samples, key: tuple[str, ...], number: float) -> None:
    samples[key] = samples.get(key, 0.0) + number


def _of_limits(limits: Sequence[LimitNow], most: int) -> Iterator[Metric]:
    """Of those with a label of their own: what several hold together would say nothing."""
    samples: dict[Family, Samples] = {one: {} for one in OF_LIMITS}
    for one in limits:
        label = labels.limits.label(one.declared.name, most)
        if label != labels.OTHER:
            for of, number in _of_limit(one).items():
                samples[of][label,] = number
    for of, numbers in samples.items():
        yield family(of, numbers)


def _of_limit(one: LimitNow) -> dict[Family, float]:
    numbers = {PAUSED: float(one.is_paused), DISABLED: float(one.is_disabled)}
    if isinstance(one.declared, RatedLimit):
        numbers[DECLARED_RATE] = one.declared.rate.per_second
    if one.is_disabled:
        numbers[RATE] = math.inf
    elif one.is_paused:
        numbers[RATE] = 0.0
    elif isinstance(one.rated, RatedLimit):
        numbers[RATE] = one.rated.rate.per_second
    if one.state is not None:
        numbers[AVAILABLE] = one.state.available
        numbers[CAPACITY] = one.state.capacity
        numbers[FROZEN] = one.state.frozen_seconds
    return numbers
