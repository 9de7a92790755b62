"""The command: options, and what is printed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .plan import Chaos
from .report import as_text
from .run import run
from .servers import servers_for

__all__ = ["main"]

REST_SECONDS = 300.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs and prints; 1 where something is wrong."""
    options = _options(arguments)
    chaos = Chaos(
        seconds=options.seconds, seed=options.seed, broker=options.broker, acks=options.acks
    )
    with servers_for(options.broker) as servers:
        verdict = run(chaos, servers, rest_seconds=REST_SECONDS, keep=options.keep)
    sys.stdout.write(as_text(chaos, verdict) + "\n")
    return 1 if verdict.faults else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=float, default=300.0, help="how long to kill (default %(default)g)")
    add("--seed", type=int, default=7, help="what to kill when (default %(default)s)")
    add("--broker", choices=("redis", "rabbitmq"), default="redis")
    add("--acks", choices=("early", "late"), default="late")
    add("--keep", metavar="FOLDER", type=Path, help="keep the book and the workers' logs there")
    return parser.parse_args(arguments)
