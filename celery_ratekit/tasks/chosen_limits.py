"""Limits that the caller of a task chooses by name, beside the task's own."""

from __future__ import annotations

from typing import Any

from ..errors import BadOptionError
from .limit_book import LIMITS_HEADER

__all__ = ["with_chosen_limits"]


def with_chosen_limits(task_name: str, options: dict[str, Any], limits: Any) -> dict[str, Any]:
    """The options of ``apply_async`` with the names in the message's header.

    Raises BadOptionError for anything but a list of texts.
    """
    names = _checked(task_name, limits)
    return {**options, "headers": {**(options.get("headers") or {}), LIMITS_HEADER: names}}


def _checked(task_name: str, limits: Any) -> list[str]:
    if not isinstance(limits, (list, tuple)):
        raise BadOptionError(_message(task_name, limits))
    for name in limits:
        if not isinstance(name, str) or not name:
            raise BadOptionError(_message(task_name, name))
    return list(limits)


def _message(task_name: str, value: object) -> str:
    return (
        f"expected a list of names as limits of a call of the task {task_name!r}, got "
        f'{value!r:.60}; write for example limits=["stripe"], a name of app.conf.ratekit_limits'
    )
