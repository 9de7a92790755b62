"""Several task classes as one, since Celery takes only one as ``base=``."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from ..errors import BadOptionError
from .base import RateLimitedTask

__all__ = ["compose"]


def compose(*classes: type[RateLimitedTask]) -> type[RateLimitedTask]:
    """A task class with the limits and options of all ``classes``, for ``base=compose(A, B)``.

    Their order does not matter to the limits; as with any bases, of a method that several have, the
    first one's is called. The same classes in the same order give the same class. Classes that are
    related, or composed themselves, may be given in any order too.

    Raises BadOptionError for what is no subclass of RateLimitedTask, or does not fit together.
    """
    if not classes:
        raise BadOptionError(
            "expected task classes to compose, got none; write for example "
            "compose(TokenBucketTask, PerUserRateLimitTask)"
        )
    for cls in classes:
        _check_class(cls)
    composed: type[RateLimitedTask] = _composed(tuple(_needed(_parts(classes))))
    return composed


def _check_class(cls: object) -> None:
    if not isinstance(cls, type) or not issubclass(cls, RateLimitedTask):
        shown = cls.__name__ if isinstance(cls, type) else repr(cls)
        raise BadOptionError(
            f"expected subclasses of RateLimitedTask to compose, got {shown:.60}; other classes "
            "belong among the bases of a class of your own"
        )


def _parts(classes: Iterable[Any]) -> list[Any]:
    """The classes, with composed ones replaced by what they were composed of; each once."""
    parts = []
    for cls in classes:
        parts += cls.__dict__.get("ratekit_composed_of", (cls,))
    return list(dict.fromkeys(parts))


def _needed(parts: list[Any]) -> list[Any]:
    """Without what others are derived from already: as bases, such would clash with them."""
    return [
        cls
        for cls in parts
        if not any(cls is not other and issubclass(other, cls) for other in parts)
    ]


@cache
def _composed(parts: tuple[Any, ...]) -> Any:
    if len(parts) == 1:
        return parts[0]
    name = "+".join(part.__name__ for part in parts)
    doc = f"A task that is all of {', '.join(part.__name__ for part in parts)}."
    body = {
        "__doc__": doc,
        "__module__": parts[0].__module__,
        "abstract": True,
        "ratekit_composed_of": parts,
    }
    try:
        return type(name, parts, body)
    except TypeError as error:
        raise BadOptionError(f"the task classes {name} do not fit together: {error}") from error
