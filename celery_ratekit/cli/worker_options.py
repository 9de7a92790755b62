"""Options of the commands that run workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["worker_options"]

F = TypeVar("F", bound=Callable[..., Any])

LEVELS = ("debug", "info", "warning", "error", "critical")


def worker_options(command: F) -> F:
    """Adds --concurrency, --loglevel and --prefetch-multiplier."""
    options = (
        click.option(
            "--concurrency",
            "-c",
            type=click.IntRange(min=1),
            help="How many tasks run at once.  [default: the app's setting; 1 without an app]",
        ),
        click.option(
            "--loglevel",
            "-l",
            type=click.Choice(LEVELS, case_sensitive=False),
            default="info",
            show_default=True,
            help="What is logged.",
        ),
        click.option(
            "--prefetch-multiplier",
            type=click.IntRange(min=0),
            help="How many messages are fetched ahead for each task that runs.  [default: the "
            "app's setting; 1 without an app]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
