"""One run of the demo from the first process to the last."""

from __future__ import annotations

import os
import time
from typing import Any

from ..embedded import EmbeddedRedis
from ..errors import EmbeddedServerError
from .figures import Figures, figures_of
from .interruption import Interruption
from .journal import Journal
from .plan import Plan
from .progress import Progress
from .tasks import make_app, task_of
from .views import View
from .workers import Workers

__all__ = ["run"]

TICK_SECONDS = 0.1
"""How often the journal is read and the view drawn."""

STALLED_SECONDS = 30.0
"""How long no task may start beyond the time that the limit allows, before the demo gives up."""


def run(plan: Plan, view: View, interruption: Interruption) -> Figures:
    """Starts everything, lets ``plan`` run, stops everything, and gives the figures.

    Raises InterruptedDemoError after a signal and EmbeddedServerError where Redis or a worker does
    not start or ends early; everything is stopped then, too.
    """
    _forget_celery_environment()
    progress = Progress(plan)
    view.say("starting Redis")
    with EmbeddedRedis() as server, server.client() as client:
        journal = Journal(client)
        view.say(f"redis-server {server.version} runs (process {server.pid})")
        with Workers(server.celery_url, plan, interruption) as workers:
            pids = ", ".join(map(str, workers.pids))
            view.say(f"starting {plan.workers} workers (processes {pids})")
            workers.wait_until_ready(journal)
            app = make_app(server.celery_url, plan.rate, plan.burst, gate=plan.gate)
            view.say(
                f"{plan.tasks} tasks are sent {plan.arrivals_text}; "
                f"those that must wait are {plan.wait_text}"
            )
            try:
                _watch(
                    task_of(app), progress, journal, workers, view=view, interruption=interruption
                )
            finally:
                app.close()
            view.say("stopping")
        progress.add(journal.new_starts())  # Only now can no task start a second time.
        return figures_of(progress.starts, plan, journal.resent())


def _watch(
    task: Any,
    progress: Progress,
    journal: Journal,
    workers: Workers,
    *,
    view: View,
    interruption: Interruption,
) -> None:
    """Sends the tasks and shows how they start, until the last has."""
    patience = STALLED_SECONDS + 2 / progress.plan.rate.per_second
    moved_at = began_at = time.monotonic()
    while not progress.is_complete:
        tick_ends_at = time.monotonic() + TICK_SECONDS
        _send(task, progress, began_at, tick_ends_at)
        interruption.wait(tick_ends_at - time.monotonic())
        starts = journal.new_starts()
        progress.add(starts)
        progress.held = journal.held()
        view.show(progress)
        moved_at = time.monotonic() if starts else moved_at
        if time.monotonic() > moved_at + patience:
            raise EmbeddedServerError(
                f"no task started for {patience:.0f} s, and {progress.waiting} wait"
            )
        workers.check_alive()


def _send(task: Any, progress: Progress, began_at: float, ends_at: float) -> None:
    """Sends what should have been sent by now, until ``ends_at`` (both monotonic seconds)."""
    plan = progress.plan
    while (now := time.monotonic()) < ends_at and progress.sent < plan.sent_after(now - began_at):
        task.delay(progress.sent)
        progress.sent += 1


def _forget_celery_environment() -> None:
    """Celery would prefer a broker named in the environment to the demo's own."""
    for name in [name for name in os.environ if name.startswith("CELERY_")]:
        del os.environ[name]
