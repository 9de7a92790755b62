"""The metrics that this process counts by itself."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

__all__ = [
    "admitted",
    "degraded",
    "freezes",
    "lateness_seconds",
    "limit_hits",
    "parked",
    "rate_limit_hits",
    "rate_limit_retries",
    "redis_errors",
    "redis_round_trip_seconds",
    "shadow_hits",
    "wait_seconds",
]

WAIT_BUCKETS = (
    *(0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    *(30, 60, 120, 300, 600, 1_200, 1_800, 3_600),
)
LATENESS_BUCKETS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
    *(60, 600, 3_600),
)
ROUND_TRIP_BUCKETS = (
    *(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
)

rate_limit_hits = Counter(
    "celery_rate_limit_hits_total",
    "Calls that their limits did not let start at once.",
    ["task_name"],
)

rate_limit_retries = Counter(
    "celery_rate_limit_retries_total",
    "Messages that were sent again because of a limit.",
    ["task_name"],
)

admitted = Counter(
    "celery_ratekit_admitted_total",
    "Starts of calls that limits concern; mode: enforce, shadow (limits only count), degraded "
    "(Redis was away, the policy decided).",
    ["task_name", "mode"],
)

limit_hits = Counter(
    "celery_ratekit_limit_hits_total",
    "Calls that were not let start at once, by the limit in the way.",
    ["limit_name", "reason"],
)

shadow_hits = Counter(
    "celery_ratekit_shadow_hits_total",
    "Calls that a limit which only counts would not have let start at once.",
    ["task_name", "limit_name"],
)

parked = Counter(
    "celery_ratekit_parked_total",
    "Calls that were put into the backlog.",
    ["task_name"],
)

freezes = Counter(
    "celery_ratekit_freezes_total",
    "Times that a limit was frozen, told by the process that did it.",
    ["limit_name", "reason"],
)

wait_seconds = Histogram(
    "celery_ratekit_wait_seconds",
    "How long a call waited from its first sight in a worker to its start.",
    ["task_name"],
    buckets=WAIT_BUCKETS,
)

lateness_seconds = Histogram(
    "celery_ratekit_lateness_seconds",
    "How long after the moment from which limits and pool would have let it start a call started.",
    ["task_name"],
    buckets=LATENESS_BUCKETS,
)

degraded = Gauge(
    "celery_ratekit_degraded",
    "Whether Redis gives this process no answer, so that the policy decides.",
    multiprocess_mode="mostrecent",
)

redis_round_trip_seconds = Histogram(
    "celery_ratekit_redis_round_trip_seconds",
    "How long this process waited for Redis, for each round trip.",
    buckets=ROUND_TRIP_BUCKETS,
)

redis_errors = Counter(
    "celery_ratekit_redis_errors_total",
    "Questions of this process to Redis that got no usable answer.",
)
