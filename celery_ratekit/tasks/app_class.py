"""Keeps the app's own task class in the bases of tasks that name another with ``base=``."""

from __future__ import annotations

from typing import Any

from celery import Celery

from ..errors import BadOptionError

__all__ = ["keep"]


def keep(cls: Any) -> None:
    """Adds the app's task class behind the bases of a decorated task.

    With ``base=`` Celery leaves it out, and with it Django's ``delay_on_commit``, or a ``__call__``
    that enters the application's context. Raises BadOptionError where the two do not fit.
    """
    app = cls.__dict__.get("app")
    if not isinstance(app, Celery) or not cls.__dict__.get("_decorated"):
        return
    bases = cls.__bases__
    if issubclass(cls, app.Task):
        return
    if issubclass(app.Task, bases):
        bases = ()  # The app's class is made from this one: it says all that this one says.
    try:
        cls.__bases__ = (*bases, app.Task)
    except TypeError as error:
        raise BadOptionError(
            f"the task {cls.__dict__['name']!r} cannot have both {bases[0].__name__} and "
            f"{app.Task.__mro__[1].__name__}, the app's own task class, as bases ({error}); derive "
            "one from the other"
        ) from error
