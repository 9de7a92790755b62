"""The Celery app that a command is about."""

from __future__ import annotations

from typing import Any

import click
from celery.app.utils import find_app

__all__ = ["APP_OPTION", "app_of"]

APP_OPTION = click.option(
    "-A",
    "--app",
    "app_name",
    envvar="CELERY_APP",
    help="Where the Celery app is, as for the celery program.  [default: that of `celery -A`]",
)


def app_of(context: click.Context, name: str | None) -> Any:
    """The app of this name, else the one of ``celery -A``, with its tasks loaded.

    Raises UsageError where there is none.
    """
    app = _found(name) if name else getattr(context.obj, "app", None)
    if app is None:
        raise click.UsageError("expected an app; say which with -A, for example -A shop.celery")
    app.loader.import_default_modules()
    app.finalize()
    return app


def _found(name: str) -> Any:
    try:
        return find_app(name)
    except (ImportError, AttributeError) as error:
        raise click.UsageError(f"there is no app {name!r}: {error}") from error
