"""Finds options that two bases of a task set differently, so that their order would decide."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import BadOptionError

__all__ = ["check_bases_agree"]


def check_bases_agree(cls: Any, app: Any, known: Iterable[str]) -> None:
    """Raises BadOptionError where bases set one of our options differently and the task does not.

    A class overrides what it is derived from, and a class that sets an option overrides the default
    of the class that has it, if it stands before it. What the app's own task class says gives way
    to the bases that the task names.
    """
    for option in sorted(known):
        setters = [base for base in cls.__mro__ if option in base.__dict__]
        if setters[0] is cls:
            continue
        for other in _rivals(app, option, setters):
            if not _is_alike(getattr(setters[0], option), getattr(other, option)):
                raise _clash(cls.name, option, setters[0], other)


def _rivals(app: Any, option: str, setters: list[Any]) -> list[Any]:
    """Who sets the option beside the first, without being overridden on purpose."""
    rivals = [
        base
        for base in setters[1:]
        if option not in base.__dict__.get("ratekit_options", ())
        and not any(issubclass(other, base) for other in setters if other is not base)
    ]
    of_app = app.Task.__mro__
    if setters[0] in of_app:
        return rivals
    return [base for base in rivals if base not in of_app]


def _is_alike(one: object, other: object) -> bool:
    return one is other or one == other


def _clash(task_name: str, option: str, first: Any, second: Any) -> BadOptionError:
    return BadOptionError(
        f"the task {task_name!r} gets {option} from two of its bases: "
        f"{getattr(first, option)!r:.60} from {first.__name__} and "
        f"{getattr(second, option)!r:.60} from {second.__name__}; set {option} on the task itself"
    )
