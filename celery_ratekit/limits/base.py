"""What every limit says, and what those with a rate share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from ..errors import BadKeyError, CostExceedsCapacityError
from ..rates import Rate
from .checks import checked_cost, checked_key, checked_text, shown_number

__all__ = ["Cost", "Key", "Limit", "RateSource", "RatedLimit"]

Key = str | int | UUID
"""What is counted inside a limit: 42 and "42" are the same key."""

Cost = float
RateSource = Rate | str | float

L = TypeVar("L", bound="Limit")
R = TypeVar("R", bound="RatedLimit")


class Limit:
    """What every limit says: a name, a key, a cost and a tag.

    ``name`` is what is configured, adjusted and shown; a task's limit without one takes the task's
    name. ``key`` is what is counted inside it, such as a user's id; empty where the limit is
    global. ``cost`` is how much one call takes. In a task's limits, key and cost may be functions
    of the call. Limits with the same ``tag`` live on one node of a Redis Cluster, so that one call
    can take all of them atomically there.

    Limits are immutable, hashable and equal by all that they say.
    """

    __slots__ = ("_hash", "_identity", "cost", "key", "name", "tag")

    _own_fields: ClassVar[tuple[str, ...]] = ()

    name: str
    key: Key | Callable[[Any], Key]
    cost: Cost | Callable[[Any], Cost]
    tag: str

    def __init__(
        self,
        name: str,
        key: Key | Callable[[Any], Key],
        cost: Cost | Callable[[Any], Cost],
        tag: str,
        **own: object,
    ) -> None:
        put = object.__setattr__
        put(self, "name", checked_text("name", name))
        put(self, "tag", checked_text("tag", tag))
        put(self, "key", key if callable(key) else checked_key(key, self.name))
        put(self, "cost", cost if callable(cost) else checked_cost(cost, self.name))
        for field, value in own.items():
            put(self, field, value)
        identity = (type(self), self.name, self.key, self.cost, self.tag, *own.values())
        put(self, "_identity", identity)
        put(self, "_hash", hash(identity[:5]))  # A crontab among the rest has no hash.
        if not callable(self.cost):
            self.check_cost(self.cost)

    @property
    def capacity(self) -> float:
        """The most that one call can ever take of this limit."""
        raise NotImplementedError

    @property
    def is_unlimited(self) -> bool:
        """Whether this limit lets everything pass."""
        return False

    @property
    def is_paused(self) -> bool:
        """Whether this limit lets nothing pass until it is changed."""
        return False

    @property
    def shown_name(self) -> str:
        """The name for messages and metrics; says so where there is none yet."""
        return self.name or "(unnamed)"

    def check_cost(self, cost: float) -> None:
        """Raises CostExceedsCapacityError where ``cost`` could never be granted."""
        if cost > self.capacity and not (self.is_paused or self.is_unlimited):
            raise CostExceedsCapacityError(self.shown_name, cost, self.capacity)

    def with_name(self: L, name: str) -> L:
        """The same limit under another name."""
        return self._with(name=name)

    def with_key(self: L, key: Key | Callable[[Any], Key]) -> L:
        """The same limit counted for ``key``."""
        return self._with(key=key)

    def with_cost(self: L, cost: Cost | Callable[[Any], Cost]) -> L:
        """The same limit at another cost of a call."""
        return self._with(cost=cost)

    def resolved(self: L, name: str, call: object) -> L:
        """This limit for one call: named, and with its key and cost worked out.

        ``name`` is taken where the limit has none. Raises BadKeyError, BadLimitError or
        CostExceedsCapacityError where a function gives what cannot be counted.
        """
        if self.name and not callable(self.key) and not callable(self.cost):
            return self
        key = self.key(call) if callable(self.key) else self.key
        cost = self.cost(call) if callable(self.cost) else self.cost
        if callable(self.key) and (key is None or key == ""):
            raise BadKeyError(
                f"the key of the limit {self.name or name!r} was worked out as {key!r}; expected a "
                "text, a whole number or a UUID that tells the callers apart"
            )
        return self._with(name=self.name or name, key=key, cost=cost)

    def _with(self: L, **changes: object) -> L:
        fields: dict[str, Any] = {
            field: getattr(self, field)
            for field in ("name", "key", "cost", "tag", *self._own_fields)
        }
        return type(self)(**{**fields, **changes})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a limit cannot be changed; make another with its with_{name}()")

    __delattr__ = None  # type: ignore[assignment]  # frozen: nothing can be taken away either

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        fields = ("name", "key", "cost", "tag", *self._own_fields)
        return _rebuild, (type(self), {field: getattr(self, field) for field in fields})

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Limit) and self._identity == other._identity

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        parts = [repr(self.name)] if self.name else []
        parts += self._own_parts()
        if self.key != "":
            parts.append(f"key={self.key!r}")
        if self.cost != 1:
            parts.append(f"cost={shown_number(self.cost)}")
        if self.tag:
            parts.append(f"tag={self.tag!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def _own_parts(self) -> list[str]:
        raise NotImplementedError

    _identity: tuple[Any, ...]
    _hash: int


class RatedLimit(Limit):
    """What the limits with a rate share."""

    __slots__ = ("rate",)
    rate: Rate

    @property
    def is_unlimited(self) -> bool:
        return self.rate.is_unlimited

    @property
    def is_paused(self) -> bool:
        return self.rate.is_paused

    def with_rate(self: R, rate: RateSource) -> R:
        """The same limit at another rate."""
        return self._with(rate=rate)

    def _own_parts(self) -> list[str]:
        return [repr(str(self.rate)) if self.name else f"rate={str(self.rate)!r}"]


def _rebuild(kind: type[Limit], fields: dict[str, Any]) -> Limit:
    return kind(**fields)
