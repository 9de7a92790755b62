"""The Celery app that a command is about."""

from __future__ import annotations

from typing import Any

import click

__all__ = ["APP_BEFORE_OPTION", "APP_OPTION", "app_of", "has_app", "load", "named_app"]

APP_OPTION = click.option(
    "-A",
    "--app",
    "app_name",
    envvar="CELERY_APP",
    help="Where the Celery app is, as for the celery program.  [default: that of `celery -A`]",
)


META = "celery_ratekit.app"


def _keep(context: click.Context, _option: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.meta[META] = value


APP_BEFORE_OPTION = click.option(
    "-A",
    "--app",
    expose_value=False,
    callback=_keep,
    help="Where the Celery app is; it may stand behind the command as well.",
)


def app_of(context: click.Context, name: str | None) -> Any:
    """The app of this name, else the one of ``celery -A``, with its tasks loaded.

    Raises UsageError where there is none.
    """
    app = named_app(context, name)
    load(app)
    return app


def named_app(context: click.Context, name: str | None) -> Any:
    """As `app_of`, without its tasks."""
    name = name or context.meta.get(META)
    app = _found(name) if name else getattr(context.obj, "app", None)
    if app is None:
        raise click.UsageError("expected an app; say which with -A, for example -A shop.celery")
    return app


def has_app(context: click.Context, name: str | None) -> bool:
    """Whether `named_app` would find one."""
    return bool(name or context.meta.get(META) or getattr(context.obj, "app", None))


def load(app: Any) -> None:
    """Loads the tasks of an app."""
    app.loader.import_default_modules()
    app.finalize()


def _found(name: str) -> Any:
    from celery.app.utils import find_app  # noqa: PLC0415 - --help need not wait for Celery

    try:
        return find_app(name)
    except (ImportError, AttributeError) as error:
        raise click.UsageError(f"there is no app {name!r}: {error}") from error
