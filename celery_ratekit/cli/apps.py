"""The Celery app that a command is about."""

from __future__ import annotations

from typing import Any

import click

from .failing import failures_told
from .terminal import escaped

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

    Raises UsageError where there is none, and no option or variable names throttled queues.
    """
    app = named_app(context, name)
    load(app)
    return app


def named_app(context: click.Context, name: str | None) -> Any:
    """As `app_of`, without its tasks; where nobody names one, that of a throttle without an app."""
    from .throttle_options import names_throttle, throttle_of  # noqa: PLC0415 - it knows this module

    name = name or context.meta.get(META)
    if name:
        return _found(name)
    if names_throttle(context) and not has_app(context, None):
        with failures_told():
            return throttle_of(context, None).app
    app = getattr(context.obj, "app", None)
    if app is None:
        raise click.UsageError("expected an app; say which with -A, for example -A shop.celery")
    return app


def has_app(context: click.Context, name: str | None) -> bool:
    """Whether somebody named an app; the one that Celery makes without any is nobody's."""
    if name or context.meta.get(META):
        return True
    app = getattr(context.obj, "app", None)
    return app is not None and not _is_celerys_own(app)


def load(app: Any) -> None:
    """Loads the tasks of an app."""
    app.loader.import_default_modules()
    app.finalize()


def _is_celerys_own(app: Any) -> bool:
    from celery import _state  # noqa: PLC0415 - --help need not wait for Celery

    return app is _state.default_app


def _found(name: str) -> Any:
    from celery.app.utils import find_app  # noqa: PLC0415 - --help need not wait for Celery

    try:
        return find_app(name)
    except (ImportError, AttributeError) as error:
        raise click.UsageError(escaped(f"there is no app {name!r}: {error}")) from error
