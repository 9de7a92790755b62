"""Arguments as keys: the value of one of a function's parameters says who is counted."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from ..errors import BadKeyError, BadOptionError, did_you_mean
from ..limits import Key
from .call import Call

__all__ = ["ArgumentKey", "check_argument", "checked_value", "parameters_of"]

NAMED = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


@dataclass(frozen=True, slots=True)
class ArgumentKey:
    """The key of a call: the value of one argument, however it was passed."""

    argument: str

    def __call__(self, call: Call) -> Key:
        what = f"the argument {self.argument!r} of the task {call.task_name!r}"
        return checked_value(call.arguments[self.argument], what)


def checked_value(value: object, what: str) -> Key:
    """``value`` if it tells one from another; raises BadKeyError naming ``what`` otherwise."""
    if isinstance(value, bool) or not isinstance(value, (str, int, UUID)) or value == "":
        raise BadKeyError(
            f"expected a text, a whole number or a UUID as {what}, since its rate limit counts by "
            f"it; got {value!r:.40}"
        )
    return value


@lru_cache(1_024)
def parameters_of(cls: Any) -> tuple[str, ...]:
    """The names of the parameters that callers of a task pass, without ``self``."""
    function = inspect.getattr_static(cls, "run")
    if hasattr(function, "__get__"):
        function = function.__get__(object(), cls)  # As a call sees it, whether bound or static.
    return _named_parameters(function)


def check_argument(cls: Any, option: str) -> None:
    """Raises BadOptionError where an option names an argument that the function does not have."""
    name, known = getattr(cls, option), parameters_of(cls)
    if not isinstance(name, str):
        raise BadOptionError(
            f"expected the name of a parameter as {option}, got {name!r:.40}; its function takes "
            f"{_listed(known)}"
        )
    if name not in known:
        raise BadOptionError(
            f"{option}={name!r:.40} names no parameter of its function, which takes "
            f"{_listed(known)}{did_you_mean(name, known)}"
        )


def _named_parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    parameters = inspect.signature(function).parameters.values()
    return tuple(one.name for one in parameters if one.kind in NAMED)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names)) or "none by name"
