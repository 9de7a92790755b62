"""What a decision costs, as ratios: ``python -m benchmarks.decisions``; see README.md."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.limiter import Limiter

from .figures import Figure
from .machine import facts
from .memory import memory_figures
from .placement import placed
from .rows import all_rows, fastest_peer
from .table import as_json, as_markdown, as_text
from .timing import Effort, paired_blocks, warm_up

__all__ = ["main"]

FULL = Effort(passes=4, rounds=30, calls=100)
QUICK = Effort(passes=1, rounds=2, calls=10)
CONTROL_TOLERANCE = 0.02  # how far from 1 a contender may be from itself
RESULTS = Path(__file__).with_name("results")
PATIENCE_SECONDS = 5.0  # A busy machine must not end a run that only takes times.

CAVEATS = """\
Client and server share this machine, without a network between them: over a network, the round \
trip outweighs all that is compared here, and ratios come nearer to 1.
One thread asks, and waits for each answer: this is latency, not throughput. A server that is busy \
with many clients spends relatively more on what a script does.
Figures with a target are measured with a core each for client and server, where waking up is a \
large and equal part of each call. On one core, the same scripts differ more: see that group.
Ratios are medians of neighbouring blocks; min and max show how noisy the machine was. Compare \
ratios, never microseconds, with those of another machine or day.
Peers do different work: most keep time by the client's clock, and their windows are less exact. \
What they log of a moving window grows while it is measured.
""".splitlines()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, and saves where asked; 1 where a figure is missed and --check is set."""
    options = _options(arguments)
    started = time.monotonic()
    with EmbeddedRedis(tcp=options.tcp, executable=options.redis) as server:
        where = facts(server)
        print(f"Measuring decisions on Redis {server.version} ...", file=sys.stderr)
        figures = _timed(server, QUICK if options.quick else FULL, judged=not options.quick)
        figures += memory_figures(server)
    print(as_text(figures))
    print("\n" + "\n".join(f"{name}: {fact}" for name, fact in where.items()))
    print("\nCaveats:\n" + "\n".join(f"- {caveat}" for caveat in CAVEATS))
    if disturbed := _disturbance(figures[0]):
        print(f"\n{disturbed}")
    print(f"\n{_summary(figures)}; took {time.monotonic() - started:.0f} s")
    if options.save:
        _save(options.save, figures, where)
    missed = any(figure.verdict == "MISS" for figure in figures)
    return 1 if options.check and missed else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decisions", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="show that it runs; its ratios are not judged")
    add(
        "--save",
        metavar="FOLDER",
        nargs="?",
        type=Path,
        const=RESULTS,
        help="write JSON and Markdown there; without a folder to benchmarks/results/",
    )
    add("--check", action="store_true", help="exit with 1 where a figure is missed")
    add("--tcp", action="store_true", help="over TCP on 127.0.0.1 instead of a unix socket")
    add("--redis", metavar="PATH", help="the redis-server to start; default: the one on PATH")
    return parser.parse_args(arguments)


def _timed(server: EmbeddedRedis, effort: Effort, *, judged: bool) -> list[Figure]:
    limiter = Limiter(server.url, timeout_seconds=PATIENCE_SECONDS)
    rows = all_rows(server, limiter)
    for row in rows:
        warm_up(row.subject, effort.calls)
        warm_up(row.reference, effort.calls)
    for _ in range(effort.passes):
        for row in rows:
            with placed(server.pid, row.placement):
                row.pairs += paired_blocks(row.subject, row.reference, effort)
    limiter.close()
    figures = [row.figure(judged=judged) for row in rows]
    fastest = fastest_peer(rows, judged=judged)
    return [*figures, fastest] if fastest else figures


def _disturbance(control: Figure) -> str:
    """A warning where a contender that ran against itself did not come out even."""
    if not control.judged or abs(control.spread.median - 1) <= CONTROL_TOLERANCE:
        return ""
    return (
        f"The control, no-op against no-op, reads {control.spread.median:.3f}: the machine was too "
        "busy for this run to say much. Repeat it."
    )


def _summary(figures: Sequence[Figure]) -> str:
    verdicts = [figure.verdict for figure in figures if figure.verdict]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))


def _save(folder: Path, figures: Sequence[Figure], where: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    stem = folder / time.strftime("decisions-%Y%m%d-%H%M%S")
    stem.with_suffix(".json").write_text(as_json(figures, where), "utf-8")
    stem.with_suffix(".md").write_text(as_markdown(figures, where, CAVEATS), "utf-8")
    print(f"Saved as {stem}.json and .md")


if __name__ == "__main__":
    raise SystemExit(main())
