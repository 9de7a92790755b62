"""Checks of what people write into ``@app.task(...)``: Celery keeps every word without a look."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Task

from ..errors import BadOptionError, RatekitError
from ..limits import Limit
from ..rules import MODES, OVERFLOWS, check_choice

__all__ = [
    "check_common",
    "check_limits_of_call",
    "known_options",
    "named_after",
    "option_of",
    "refuse_options_of_others",
    "refuse_rate_limit",
    "settle",
]

SPELLING_CUTOFF = 0.8
"""How near a word must be to one of ours to be taken for a misspelling of it."""

WORDS_OF_THEIR_OWN = frozenset({"model"})
"""Words so usual that they are meant, near as they are to one of ours."""

OWNERS: dict[str, Any] = {}
"""The class of this package that has an option, by the option's name."""


def settle(cls: Any) -> None:
    """Checks the options that stand in ``cls`` itself and brings them into their final form.

    Raises BadOptionError naming the task and the option. Functions stay plain functions of the
    call, where Python would make them methods of the task.
    """
    own = cls.__dict__
    _refuse_list_in_place_of_method(cls)
    known = known_options(cls)
    _check_spelling(cls, known)
    for option in known & own.keys():
        value = own[option]
        if callable(value) and not isinstance(value, (type, staticmethod)):
            _check_function_of_call(cls, option, value)
            setattr(cls, option, staticmethod(value))
    if "limits" in own:
        cls.limits = _checked_limits(_name(cls), cls.limits)


def known_options(cls: Any) -> set[str]:
    """The options that a class has, its own and those of its bases."""
    return {option for base in cls.__mro__ for option in base.__dict__.get("ratekit_options", ())}


def check_common(cls: Any) -> None:
    """Raises BadOptionError where an option that every task has is given an impossible value."""
    check_choice(cls.mode, MODES, "mode")
    if cls.overflow is not None:
        check_choice(cls.overflow, OVERFLOWS, "overflow")
    most = cls.max_rate_limited
    if isinstance(most, bool) or not isinstance(most, int) or most < 0:
        raise BadOptionError(
            f"expected a whole number of 0 or more as max_rate_limited, got {most!r:.40}"
        )


def refuse_options_of_others(cls: Any) -> None:
    """Raises BadOptionError for an option that stands here, of a class that is none of the bases.

    Without that class it would limit nothing.
    """
    options = cls.__dict__.get("ratekit_options", ()) if _is_of_package(cls) else ()
    OWNERS.update(dict.fromkeys(options, cls))
    if cls.__dict__.get("abstract"):
        return  # A class to be combined with others may bring options for them.
    foreign = OWNERS.keys() & cls.__dict__.keys() - known_options(cls)
    for option in sorted(foreign):
        if not _is_method(cls, cls.__dict__[option]):
            owner = OWNERS[option].__name__
            raise BadOptionError(
                f"the task {_name(cls)!r} sets {option}, an option of {owner}, which is none of "
                f"its bases; write for example base=compose({cls.__bases__[0].__name__}, {owner})"
            )


def refuse_rate_limit(cls: Any) -> None:
    """Raises BadOptionError where Celery's own limit is asked for beside ours.

    Celery reads ``rate_limit`` with another grammar and holds tasks in a bucket of its own.
    """
    rate = cls.__dict__.get("rate_limit")
    if rate is not None:
        raise BadOptionError(
            f"the task {_name(cls)!r} sets rate_limit={rate!r:.40}, which is Celery's own limit "
            "per worker; give the rate to one of this class's own options instead, for example "
            "tokens_per_second= of TokenBucketTask or limits= of RateLimitedTask"
        )


def check_limits_of_call(task_name: str, limits: Sequence[Limit]) -> None:
    """Raises a RatekitError where a call with these limits could never be granted."""
    seen = set()
    for limit in limits:
        if not callable(limit.cost):
            limit.check_cost(limit.cost)
        counted = (type(limit), limit.name or task_name, limit.key, limit.tag)
        if counted in seen:
            name = f"take the task's name {task_name!r}" if not limit.name else f"{limit.name!r}"
            raise BadOptionError(
                f"two limits of one kind {'' if not limit.name else 'are named '}{name}; each "
                'needs a name of its own, for example TokenBucket("stripe", "25/s")'
            )
        seen.add(counted)


@contextmanager
def option_of(cls: Any, option: str) -> Iterator[None]:
    """Turns errors about the value of one option into BadOptionError that name it."""
    try:
        yield
    except RatekitError as error:
        value = getattr(cls, option)
        raise BadOptionError(f"{option}={value!r:.40} cannot work: {error}") from error


@contextmanager
def named_after(cls: Any) -> Iterator[None]:
    """Turns errors of limits into BadOptionError that name the task."""
    try:
        yield
    except RatekitError as error:
        raise BadOptionError(f"the task {cls.name!r} cannot be limited: {error}") from error


def _name(cls: Any) -> str:
    """How people know the class: by its task's name, once it has one."""
    return str(cls.__dict__.get("name") or cls.__name__)


def _is_decorated(cls: Any) -> bool:
    """Whether ``@app.task(...)`` made the class, so that what stands in it are options."""
    return bool(cls.__dict__.get("_decorated"))


def _is_method(cls: Any, value: object) -> bool:
    """Whether what stands in a class is a method or a property, and no option."""
    return not _is_decorated(cls) and hasattr(value, "__get__")


def _is_of_package(cls: Any) -> bool:
    return str(cls.__module__).startswith(f"{__package__}.")


def _refuse_list_in_place_of_method(cls: Any) -> None:
    value = cls.__dict__.get("rate_limits")
    if value is not None and (_is_decorated(cls) or not callable(value)):
        raise BadOptionError(
            f"the task {_name(cls)!r} has no option 'rate_limits'; did you mean 'limits'? "
            "(a subclass may override the method of that name)"
        )


def _check_spelling(cls: Any, known: Iterable[str]) -> None:
    """Raises BadOptionError for an attribute that is nearly, but not quite, one of our options."""
    inherited = set(dir(Task)).union(*(base.__dict__ for base in cls.__mro__[1:]))
    for name, value in cls.__dict__.items():
        if name in known or name in inherited or name.startswith("_"):
            continue
        if name in WORDS_OF_THEIR_OWN or _is_method(cls, value):
            continue
        near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=SPELLING_CUTOFF)
        if near:
            raise BadOptionError(
                f"the task {_name(cls)!r} has no option {name!r}; did you mean {near[0]!r}?"
            )


def _check_function_of_call(cls: Any, option: str, function: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # Some built-in functions do not tell.
        return
    try:
        signature.bind(object())
    except TypeError as error:
        raise BadOptionError(
            f"expected a function of one argument, the call, as {option} of the task "
            f"{_name(cls)!r}, got one that takes {signature}"
        ) from error


def _checked_limits(task_name: str, limits: Any) -> tuple[Limit, ...]:
    if isinstance(limits, (str, Limit)) or not isinstance(limits, Iterable):
        raise BadOptionError(
            f"expected a list of limits as limits of the task {task_name!r}, got {limits!r:.60}; "
            'write for example limits=[TokenBucket("stripe", "25/s")]'
        )
    checked = tuple(limits)
    for limit in checked:
        if not isinstance(limit, Limit):
            raise BadOptionError(
                f"expected limits such as TokenBucket(...) in limits of the task {task_name!r}, "
                f"got {limit!r:.60}"
            )
    return checked
