"""The command: options, the order of the parts, and what is printed."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from celery_ratekit.embedded import EmbeddedRedis

from ..options import add_parts, add_saving
from ..report.ending import end_of
from ..report.measured import Measured
from ..report.table import as_text
from ..report.where import facts
from . import free_tasks, idle, share, side_by_side, users, waiting
from .effort import FULL, QUICK, Effort

__all__ = ["main"]

PARTS: Mapping[str, Callable[[Effort], list[Measured]]] = {
    "a": free_tasks.measure,
    "b": users.measure,
    "c": idle.measure,
    "d": waiting.measure,
    "e": share.measure,
    "f": side_by_side.measure,
}

CAVEATS = """\
Everything shares this machine: workers, and the one Redis that is their broker and keeps limits \
and backlog. What else runs on it makes latencies longer and shares smaller.
The tasks do nothing but note their starts.
Compare ratios, never tasks per second, with those of another machine or day.
""".splitlines()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, and saves where asked; 1 where a target is missed and --check is set."""
    options = _options(arguments)
    started = time.monotonic()
    with EmbeddedRedis(tcp=True) as server:
        where = facts(server, None)
    rows: list[Measured] = []
    for name in options.only:
        measured = PARTS[name](_effort(options))
        print(as_text(measured), end="\n\n", file=sys.stderr, flush=True)
        rows += measured
    return end_of("backlog", rows, where=where, caveats=CAVEATS, options=options, started=started)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backlog", description=__doc__)
    add_parts(parser, PARTS, f"runs of a, b, e and f ({FULL.repeats})")
    add_saving(parser)
    return parser.parse_args(arguments)


def _effort(options: argparse.Namespace) -> Effort:
    effort = QUICK if options.quick else FULL
    return replace(effort, repeats=options.repeats) if options.repeats else effort
