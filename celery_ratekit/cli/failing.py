"""How commands end that could not do what they were asked to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from logging import NullHandler, getLogger

import click

from ..errors import BadKeyError, BadLimitError, BadRateError, RatekitError, UnknownLimitError
from .terminal import escaped

__all__ = ["confirmed", "failures_told", "only_told_once"]

WRONG_WORDS = (BadKeyError, BadLimitError, BadRateError, UnknownLimitError)
"""What the person who typed the command can put right."""


@contextmanager
def failures_told() -> Iterator[None]:
    """Our errors, and those of a broker or a Redis that is away, become a message on stderr.

    The exit code is 2 for wrong words, else 1.
    """
    try:
        yield
    except WRONG_WORDS as error:
        raise click.UsageError(_for_people(error)) from error
    except RatekitError as error:
        raise click.ClickException(_for_people(error)) from error
    except _drivers_errors() as error:
        told = str(error) or type(error).__name__
        raise click.ClickException(
            escaped(f"the broker or Redis gives no answer: {told}")
        ) from error


def _drivers_errors() -> tuple[type[Exception], ...]:
    """Looked for only where something was raised: few commands need these libraries."""
    from kombu.exceptions import OperationalError  # noqa: PLC0415 - as said
    from redis.exceptions import RedisError  # noqa: PLC0415 - as said

    return OperationalError, RedisError, OSError


def only_told_once() -> None:
    """Keeps warnings out of stderr that nobody has asked to log: the command tells of them."""
    getLogger(__package__.partition(".")[0]).addHandler(NullHandler())


def confirmed(question: str, *, yes: bool) -> None:
    """Asks on stderr, unless ``yes`` was given; ends the command with exit code 1 at a no."""
    if not yes:
        click.confirm(escaped(question), abort=True, err=True)


def _for_people(error: RatekitError) -> str:
    # What Python's callers write with force=True is an option here.
    return escaped(str(error).replace("force=True", "--force"))
