"""What ``celery -A`` loads in the plain worker of a run: nothing of ours limits or counts there."""

from __future__ import annotations

from .setup import TASK, Setup

__all__ = ["app"]

app = Setup.of_environment().plain_app()


def _do_nothing(number: int) -> None:
    """What is measured is sending."""


app.task(name=TASK)(_do_nothing)
