"""The command: options, the order of the parts, and what is printed."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial

from celery_ratekit.embedded import EmbeddedRabbitMQ, EmbeddedRedis

from ..options import add_saving, part_names, positive
from ..report.ending import end_of
from ..report.measured import Measured
from ..report.table import as_text
from ..report.where import facts
from .overhead import ABOVE_CAPACITY, CONTROL, UNLIMITED, Comparison, capacity_per_second, compare
from .sender import Sender
from .share import PROCESSES, WORKERS, Allowed, measure_share
from .trial import Servers

__all__ = ["main"]

PARTS = ("a", "b", "c", "d", "control")
CAVEATS = """\
Everything shares this machine: workers, brokers, and the Redis that keeps the limits. Over a \
network, calls to that Redis take longer, and there are fewer processor cores to take away.
The tasks do nothing. Whatever a real one does makes the ratios come nearer to 1.
Ratios come from neighbouring runs, of which each began every other time; the interval is that of \
their median. Compare ratios, never tasks per second, with those of another machine or day.
CPU time leaves out what was waited for, so it is steadier on a busy machine than tasks per second.
""".splitlines()


Part = Callable[[], list[Measured]]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    ``pairs`` of workers, and ``tasks`` in each of their turns, for the costs. ``repeats`` of runs
    for the shares: ``steady_tasks`` at 100/s, at the other rates what takes ``share_seconds``.
    """

    pairs: int
    tasks: int
    repeats: int
    steady_tasks: int
    share_seconds: float
    is_judged: bool


FULL = Effort(20, 2_500, 3, 1_500, 15.0, is_judged=True)
QUICK = Effort(1, 50, 1, 30, 0.3, is_judged=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, and saves where asked; 1 where a target is missed and --check is set."""
    options = _options(arguments)
    started = time.monotonic()
    effort = _effort(options)
    rows: list[Measured] = []
    with ExitStack() as stack:
        limits = stack.enter_context(EmbeddedRedis())
        rabbitmq = stack.enter_context(EmbeddedRabbitMQ()) if options.rabbitmq else None
        where = facts(limits, rabbitmq)
        servers = dict(_brokers(stack, limits, rabbitmq))
        for part in _parts(options, effort, servers):
            measured = part()
            print(as_text(measured), end="\n\n", file=sys.stderr, flush=True)
            rows += measured
    return end_of("gate", rows, where=where, caveats=CAVEATS, options=options, started=started)


def _brokers(
    stack: ExitStack, limits: EmbeddedRedis, rabbitmq: EmbeddedRabbitMQ | None
) -> Iterator[tuple[str, Servers]]:
    """The brokers by name, each with the Redis that keeps the limits beside it."""
    broker = stack.enter_context(EmbeddedRedis())
    yield "Redis", _servers(stack, broker.celery_url, limits, broker.url)
    if rabbitmq is not None:
        yield "RabbitMQ", _servers(stack, rabbitmq.url, limits)


def _servers(
    stack: ExitStack, broker_url: str, limits: EmbeddedRedis, redis_url: str | None = None
) -> Servers:
    sender = stack.enter_context(closing(Sender(broker_url, redis_url)))
    return Servers(broker_url, sender, limits)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    add = parser.add_argument
    add("--only", metavar="PARTS", type=part_names(PARTS), help="some of a, b, c, d, control: a,c")
    add("--pairs", metavar="N", type=positive, help=f"pairs of workers (default {FULL.pairs})")
    add("--tasks", metavar="N", type=positive, help=f"tasks in each turn ({FULL.tasks:,})")
    add("--repeats", metavar="N", type=positive, help=f"runs for a share ({FULL.repeats})")
    add(
        "--processes",
        metavar="N",
        type=positive,
        default=min(os.cpu_count() or 1, 4),
        help="pool processes of the worker in a and b (default: as many as cores, at most 4)",
    )
    add("--rabbitmq", action="store_true", help="the shares on RabbitMQ, too")
    add("--quick", action="store_true", help="show that it runs; judges nothing")
    add_saving(parser)
    return parser.parse_args(arguments)


def _effort(options: argparse.Namespace) -> Effort:
    effort = QUICK if options.quick else FULL
    given = {name: getattr(options, name) for name in ("pairs", "tasks", "repeats")}
    return replace(effort, **{name: number for name, number in given.items() if number})


def _parts(
    options: argparse.Namespace, effort: Effort, servers: Mapping[str, Servers]
) -> Iterator[Part]:
    """What is to be measured, in the order of the table."""
    only = options.only or PARTS[:-1]
    comparisons = {"control": CONTROL, "a": UNLIMITED, "b": ABOVE_CAPACITY}
    for name, comparison in comparisons.items():
        if name in only:
            yield partial(_compare, comparison, servers["Redis"], effort, options.processes)
    if "c" in only:
        for broker, one in servers.items():
            for share in (_at_100, _at_20, _at_half_capacity):
                yield partial(share, f"c. Share on {broker}", one, effort)
    if "d" in only:
        yield partial(_rescheduling, servers["Redis"], effort)


def _compare(
    comparison: Comparison, servers: Servers, effort: Effort, processes: int
) -> list[Measured]:
    return compare(
        comparison,
        servers,
        pairs=effort.pairs,
        tasks=effort.tasks,
        processes=processes,
        judged=effort.is_judged,
    )


def _share(allowed: Allowed, servers: Servers, effort: Effort) -> list[Measured]:
    return measure_share(allowed, servers, repeats=effort.repeats, judged=effort.is_judged)


def _at_100(name: str, servers: Servers, effort: Effort) -> list[Measured]:
    return _share(Allowed(name, 100, effort.steady_tasks), servers, effort)


def _at_20(name: str, servers: Servers, effort: Effort) -> list[Measured]:
    tasks = math.ceil(20 * effort.share_seconds)
    return _share(Allowed(name, 20, tasks), servers, effort)


def _at_half_capacity(name: str, servers: Servers, effort: Effort) -> list[Measured]:
    before = _capacity(servers, effort)
    per_second = max(1, round(before / 2))
    tasks = math.ceil(per_second * effort.share_seconds)
    rows = _share(Allowed(f"{name}, half capacity", per_second, tasks), servers, effort)
    capacities = [before, _capacity(servers, effort)]
    return [Measured(rows[0].group, "without a limit, before and after", capacities, "/s"), *rows]


def _capacity(servers: Servers, effort: Effort) -> float:
    return capacity_per_second(servers, tasks=effort.tasks, workers=WORKERS, processes=PROCESSES)


def _rescheduling(servers: Servers, effort: Effort) -> list[Measured]:
    allowed = Allowed("d. Share without the gate", 100, effort.steady_tasks, gate=False)
    return _share(allowed, servers, replace(effort, repeats=1))
