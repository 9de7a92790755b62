"""The throttle that a command is about: its options stand before the command's name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import BadOptionError
from .apps import app_of, has_app

if TYPE_CHECKING:
    from ..throttle import CeleryThrottle

__all__ = ["names_throttle", "throttle_of", "throttle_options"]

F = TypeVar("F", bound=Callable[..., Any])

META = "celery_ratekit.throttle"

ENVIRONMENT = "CELERY_THROTTLE_"


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value is not None:
        context.meta.setdefault(META, {})[option.name] = value


def throttle_options(command: F) -> F:
    """Adds what says which throttled queues are meant; `throttle_of` reads it."""
    options = (
        click.option(
            "--config",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Throttled queues: a JSON file with the fields of CeleryThrottleConfig.",
            **_KEPT,
        ),
        click.option("--redis-host", help="Throttled queues: the host of their Redis.", **_KEPT),
        click.option("--redis-port", type=int, help="Its port.", **_KEPT),
        click.option("--redis-db", type=int, help="Its database.", **_KEPT),
        click.option("--app-name", help="The name of the Celery app, without -A.", **_KEPT),
        click.option("--target-queue", help="Celery's queue that their tasks go to.", **_KEPT),
        click.option("--queue-prefix", help="The namespace of the queues.", **_KEPT),
    )
    for option in reversed(options):
        command = option(command)
    return command


_KEPT: dict[str, Any] = {"expose_value": False, "callback": _keep}


def names_throttle(context: click.Context) -> bool:
    """Whether an option or the environment says which throttled queues are meant."""
    return META in context.meta or any(name.startswith(ENVIRONMENT) for name in os.environ)


def throttle_of(context: click.Context, app_name: str | None) -> CeleryThrottle:
    """The throttle that the options, the file and the environment say, with the app if there is.

    Raises BadOptionError for settings that are wrong.
    """
    # Celery takes its time to load, which --help need not wait for.
    from ..throttle import CeleryThrottle  # noqa: PLC0415

    app = None
    if has_app(context, app_name):
        app = app_of(context, app_name)
    return CeleryThrottle.from_config_dict(_given(context.meta.get(META, {})), celery_app=app)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The configuration's fields: what stands in the file, and over it the options."""
    fields = _read(options["config"]) if "config" in options else {}
    named = {name: value for name, value in options.items() if name != "config"}
    redis = {
        name.removeprefix("redis_"): named.pop(name) for name in list(named) if "redis_" in name
    }
    in_file = fields.get("redis", {})
    if redis and isinstance(in_file, dict):  # Whatever else stands there is told to be wrong.
        fields["redis"] = {**in_file, **redis}
    return {**fields, **named}


def _read(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise BadOptionError(f"expected a JSON file as --config, got {path}: {error}") from error
    if not isinstance(fields, dict):
        raise BadOptionError(
            f"expected an object of fields in {path}, got a {type(fields).__name__}"
        )
    return fields
