"""The command: options, the order of the parts, and what is printed."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from celery_ratekit.embedded import EmbeddedRabbitMQ, EmbeddedRedis

from ..options import add_parts, add_saving
from ..report.ending import end_of
from ..report.measured import Measured
from ..report.table import as_text
from ..report.where import facts
from . import idle
from .effort import FULL, QUICK, Effort
from .sending import measure_full_speed, measure_steady

__all__ = ["main"]

PARTS: Mapping[str, Callable[[Effort], list[Measured]]] = {
    "a": measure_steady,
    "b": measure_full_speed,
    "c": idle.measure,
}

CAVEATS = """\
Everything shares this machine: dispatcher, plain worker, and the Redis that keeps limits and \
backlog, and is the broker unless another is said. What else runs on it makes sends later and \
shares smaller.
What is limited is sending; when a plain worker starts what it was sent is not judged.
Compare ratios, never tasks per second, with those of another machine or day.
""".splitlines()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, and saves where asked; 1 where a target is missed and --check is set."""
    options = _options(arguments)
    started = time.monotonic()
    with EmbeddedRedis(tcp=True) as server:
        where = facts(server, None)
    rows: list[Measured] = []
    for measure in [PARTS[name] for name in options.only]:
        rows += _told(measure(_effort(options)))
    if options.rabbitmq:
        with EmbeddedRabbitMQ() as broker:
            rows += _told(measure_steady(_effort(options), broker.url))
    return end_of(
        "dispatcher", rows, where=where, caveats=CAVEATS, options=options, started=started
    )


def _told(rows: list[Measured]) -> list[Measured]:
    """The rows, which are printed as soon as they are there."""
    print(as_text(rows), end="\n\n", file=sys.stderr, flush=True)
    return rows


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dispatcher", description=__doc__)
    add_parts(parser, PARTS, f"runs of a and b ({FULL.repeats})")
    parser.add_argument(
        "--rabbitmq", action="store_true", help="a once more with RabbitMQ as broker"
    )
    add_saving(parser)
    return parser.parse_args(arguments)


def _effort(options: argparse.Namespace) -> Effort:
    effort = QUICK if options.quick else FULL
    return replace(effort, repeats=options.repeats) if options.repeats else effort
