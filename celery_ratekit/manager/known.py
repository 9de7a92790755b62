"""What the names mean that people give: limits of this app, of other workers, or plain tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..errors import BadOptionError, UnknownLimitError
from ..limiter.overrides.places import KINDS, kind_of
from ..limiter.overrides.view import View
from ..limits import (
    Concurrency,
    FixedWindow,
    Key,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)
from ..rates import Rate
from ..tasks import DynamicRateLimitTask, RateLimitedTask, StaticRateLimitTask
from ..tasks.runtime import runtime_of

__all__ = ["Known", "Meant", "declared_by_others", "stand_in_for"]

LETTERS = {kind.__name__: letter for kind, letter in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Meant:
    """A limit that somebody named.

    ``name`` is the limit's. ``limit`` is it as this app declares it; None where only other workers
    know it, or nobody does. ``kind``: of the limit, None: any. ``is_fixed``: a rate fixed in code.
    ``key``: which of its keys is meant, empty: all of them.
    """

    name: str
    limit: Limit | None = None
    kind: str | None = None
    is_fixed: bool = False
    key: Key = ""

    def of_key(self, key: Key | None) -> Meant:
        """The same for one key; None: for all."""
        return replace(self, key="" if key is None else key)


class Known:
    """The limits and tasks of an app, looked up anew once there are more tasks."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._runtime = runtime_of(app)
        self._found: tuple[int, list[Meant]] | None = None  # and for how many tasks
        if not app.loader.worker_initialized:  # A worker has done so.
            app.loader.import_default_modules()

    def limits(self) -> list[Meant]:
        """Every limit that tasks, rules and settings declare, each once."""
        count = len(self._app.tasks)
        if self._found is None or self._found[0] != count:
            self._found = count, self._looked_up()
        return self._found[1]

    def has_limit(self, name: str) -> bool:
        """Whether a limit of this app has this name."""
        return any(one.name == name for one in self.limits())

    def _looked_up(self) -> list[Meant]:
        found: dict[tuple[str, str], Meant] = {}
        for task in self._tasks():
            for meant in self.of_task(task):
                assert meant.kind is not None
                known = found.get((meant.name, meant.kind))
                if known is None or (known.is_fixed and not meant.is_fixed):
                    found[meant.name, meant.kind] = meant
        for limit in self._runtime.settings.named_limits.values():
            found.setdefault((limit.name, kind_of(limit)), _meant(limit))
        return list(found.values())

    def of_task(self, task: Any) -> list[Meant]:
        """The limits of a task, the primary one first."""
        fixed = task.static_limit() if isinstance(task, StaticRateLimitTask) else None
        dynamic = task.dynamic_limit() if isinstance(task, DynamicRateLimitTask) else None
        limits = self._runtime.book.plan(task).declared()
        ranked = sorted(limits, key=lambda limit: (limit != dynamic, *_rank(limit, task.name)))
        return [_meant(limit, is_fixed=limit == fixed) for limit in ranked]

    def plain_tasks(self) -> dict[str, Rate | None]:
        """Tasks whose only limit is Celery's own per worker, with its rate."""
        return {
            str(task.name): _celerys_rate(task.rate_limit)
            for task in self._tasks()
            if getattr(task, "rate_limit", None) and not self.is_ours(task)
        }

    def task(self, name: str) -> Any | None:
        """The task of this name."""
        return self._app.tasks.get(name)

    def is_ours(self, task: Any) -> bool:
        """Whether this package limits the task, or would if the settings did not switch it off."""
        return isinstance(task, RateLimitedTask) or self._runtime.book.plan(task).is_limited

    def find(self, name: str, view: View, *, force: bool = False, kind: str | None = None) -> Meant:
        """The limit of this name, or the primary one of the task of this name.

        With ``kind``, the name of a limit's class, exactly the limit of this kind and name.

        Raises UnknownLimitError, with what is near, unless ``force`` says that there is one.
        """
        if kind is not None:
            return self._find_kind(name, view, force, kind)
        return self.find_all(name, view, force=force)[0]

    def _find_kind(self, name: str, view: View, force: bool, kind: str) -> Meant:
        letter = LETTERS.get(kind)
        if letter is None:
            raise BadOptionError(
                f"expected the name of a limit's class, one of {', '.join(LETTERS)}, got "
                f"{kind!r:.40}"
            )
        known = (*self.limits(), *_found_elsewhere(view, name))
        for one in known:
            if (one.name, one.kind) == (name, letter):
                return one
        if force:
            return Meant(name, None, letter)
        raise UnknownLimitError(name, {one.name for one in known if one.kind == letter})

    def find_all(self, name: str, view: View, *, force: bool = False) -> list[Meant]:
        """The limits of this name, or all of the task of this name; at least one."""
        task = self.task(name)
        of_task = self.of_task(task) if task is not None else []
        found = (
            of_task
            or [one for one in self.limits() if one.name == name]
            or list(_found_elsewhere(view, name))
        )
        if found:
            return found
        if force:
            return [Meant(name)]
        if task is not None and self.is_ours(task):
            raise UnknownLimitError(name, (), is_task=True)
        raise UnknownLimitError(name, self._names(view))

    def _names(self, view: View) -> set[str]:
        names = {meant.name for meant in self.limits()} | {task.name for task in self._tasks()}
        return names | {one.name for one in view.snapshot.declared}

    def _tasks(self) -> Iterator[Any]:
        for name, task in sorted(self._app.tasks.items()):
            if not name.startswith("celery."):
                yield task


def _meant(limit: Limit, *, is_fixed: bool = False) -> Meant:
    return Meant(limit.name, limit, kind_of(limit), is_fixed)


def _rank(limit: Limit, task_name: str) -> tuple[bool, bool, bool, bool]:
    """How near a limit is to being meant by its task's name."""
    is_keyed = callable(limit.key) or limit.key != ""
    has_rate = not isinstance(limit, (Concurrency, ScheduledBucket))
    return not has_rate, is_keyed, limit.name != task_name, not isinstance(limit, TokenBucket)


def _found_elsewhere(view: View, name: str) -> Iterable[Meant]:
    kinds = dict.fromkeys(one.kind for one in view.snapshot.declared if one.name == name)
    return (Meant(name, None, kind) for kind in kinds)


def declared_by_others(view: View, meant: Meant) -> Limit | None:
    """The limit at the lowest rate that live workers declare; None where none does."""
    named = [one for one in view.snapshot.declared if one.name == meant.name]
    found = [one for one in named if meant.kind in (None, one.kind)]
    return min(found, key=lambda one: one.width).limit if found else None


def stand_in_for(meant: Meant) -> Limit:
    """Some limit of that name, and of that kind where it is known."""
    if meant.kind == kind_of(Concurrency):
        return Concurrency(meant.name, 1, key=meant.key)
    kinds = {kind_of(kind): kind for kind in (TokenBucket, FixedWindow, SlidingWindow)}
    return kinds.get(meant.kind or "", TokenBucket)(meant.name, 1, key=meant.key)


def _celerys_rate(rate: object) -> Rate | None:
    """A rate as Celery's own limit reads it; None where it cannot be told."""
    try:
        return Rate.parse(rate)  # type: ignore[arg-type]  # What it cannot read it refuses.
    except ValueError:
        return None
