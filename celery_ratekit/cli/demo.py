"""``celery-ratekit demo``: real workers keep to a rate before one's eyes."""

from __future__ import annotations

import sys

import click

from ..demo.interruption import InterruptedDemoError, Interruption
from ..demo.plan import Plan
from ..errors import RatekitError
from ..rates import Rate
from .examples import ExampleCommand, examples
from .params import RATE
from .terminal import escaped

__all__ = ["demo"]

EXIT_INTERRUPTED = 130
"""What shells say of a program that Ctrl-C ended."""

MAX_RUN_SECONDS = 3_600.0
"""A longer demo is a mistake in the options: nobody would see its end."""


@click.command(
    cls=ExampleCommand,
    short_help="Watch real workers keep to a rate.",
    epilog=examples("demo", "demo --rate 10/s:5 --tasks 100", "demo --no-gate --plain"),
)
@click.option("--rate", type=RATE, default="40/s", show_default=True, help="What is allowed.")
@click.option(
    "--burst",
    type=click.IntRange(1, 100_000),
    help="How many may start at once after a pause.  [default: the rate's own, else 1]",
)
@click.option(
    "--arrivals",
    type=RATE,
    help='How fast tasks are sent; "unlimited": all at once.  [default: unlimited, or twice the '
    "rate with --no-gate]",
)
@click.option(
    "--no-gate",
    is_flag=True,
    help="Run the workers without the gate: tasks that must wait are sent again to their starts. "
    "For comparison. These messages stand behind all that are in the queue, so this loses rate "
    "where many tasks are sent at once.",
)
@click.option(
    "--tasks",
    type=click.IntRange(2, 100_000),
    default=300,
    show_default=True,
    help="How many tasks to send.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 16),
    default=2,
    show_default=True,
    help="How many workers to start.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 32),
    default=4,
    show_default=True,
    help="How many processes each worker has.",
)
@click.option(
    "--plain",
    is_flag=True,
    help="Print a line per second, for logs.  [default where the output is no terminal]",
)
def demo(
    *,
    rate: Rate,
    burst: int | None,
    arrivals: Rate | None,
    no_gate: bool,
    tasks: int,
    workers: int,
    concurrency: int,
    plain: bool,
) -> None:
    """Starts a private Redis and real workers, sends limited tasks, and shows how they start.

    The figures at the end come from the moments at which the tasks themselves started. Exit code:
    0 if every task ran once and the limit was kept, 1 if not, 130 after Ctrl-C. Nothing is left
    behind.
    """
    check_rate(rate)
    plan = Plan(
        rate=rate,
        burst=float(burst or rate.burst or 1),
        arrivals=arrivals or default_arrivals(rate, gate=not no_gate),
        tasks=tasks,
        workers=workers,
        concurrency=concurrency,
        gate=not no_gate,
    )
    check_plan(plan)
    try:
        with Interruption() as interruption:
            is_kept = _run(plan, interruption, plain)
    except InterruptedDemoError:
        click.echo("interrupted; the workers and Redis are stopped", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except RatekitError as error:
        raise click.ClickException(escaped(str(error))) from error
    sys.exit(0 if is_kept else 1)


def _run(plan: Plan, interruption: Interruption, plain: bool) -> bool:
    """Runs the demo and reports; whether all tasks ran and the limit was kept."""
    # Celery and rich take their time to load, which other commands need not wait for.
    from ..demo.report import complaints  # noqa: PLC0415
    from ..demo.run import run  # noqa: PLC0415
    from ..demo.views import view_for  # noqa: PLC0415

    with view_for(plan, plain=plain) as view:
        figures = run(plan, view, interruption)
    view.report(figures)
    problems = complaints(figures, plan)
    for problem in problems:
        click.echo(problem, err=True)
    return not problems


def default_arrivals(rate: Rate, *, gate: bool) -> Rate:
    """How fast tasks are sent unless it is said: all at once where that loses no rate."""
    return Rate.unlimited() if gate else rate.scaled(2)


def check_rate(rate: Rate) -> None:
    """Raises BadParameter for a rate that a demo cannot show."""
    if rate.is_paused or rate.is_unlimited:
        raise _bad("rate", f"expected a rate that can be reached, got {rate}; try 40/s")


def check_plan(plan: Plan) -> None:
    """Raises BadParameter where a run would never start, show nothing or never end."""
    if plan.burst < 1:
        raise _bad(
            "rate", f"expected a burst of 1 or more, got {plan.burst:g}; no task could start"
        )
    if plan.tasks < 2 * plan.burst:
        raise _bad(
            "tasks",
            f"expected at least twice the burst of {plan.burst:g}, got {plan.tasks}; send more, or "
            "lower the burst",
        )
    if plan.arrivals.per_second < plan.rate.per_second:
        raise _bad(
            "arrivals",
            f"expected at least the rate of {plan.rate_text}, got {plan.arrivals}; slower ones "
            "would not meet the limit",
        )
    if plan.fastest_seconds > MAX_RUN_SECONDS:
        raise _bad(
            "tasks",
            f"{plan.tasks} tasks at {plan.rate_text} take {plan.fastest_seconds / 3600:.3g} hours; "
            "expected at most one hour: send fewer or raise the rate",
        )


def _bad(option: str, message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint=f"'--{option}'")
