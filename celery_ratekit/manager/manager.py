"""The one place to turn to for changing limits while workers run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from ..errors import BadOptionError, UnknownLimitError
from ..limiter import Limiter
from ..limiter.overrides import DISABLE, PAUSE, Change, Set, View
from ..limits import FixedWindow, Key, Limit, SlidingWindow, TokenBucket
from ..rates import Rate
from ..signals import rate_adjusted, rate_limit_frozen
from ..tasks.runtime import runtime_of
from . import transfer
from .changes import Author, Changes, rate_text
from .explaining import LimitExplanation, explain_limits
from .known import Known, Meant, declared_by_others, stand_in_for
from .plain import broadcast_rate, celerys_text
from .rates_now import CurrentRate, current_rates, rate_now
from .reductions import giving_back, reduced_text
from .results import Adjusted
from .who import this_process

__all__ = ["RateLimitManager"]

NewRate = Rate | str | float

MakeChanges = Callable[[Meant, str, Author], "list[Change]"]

logger = logging.getLogger(__name__)


class RateLimitManager:
    """Changes limits at run time, for the whole fleet and from any process that has the app.

    What is set stands in Redis with who, when and why. Every worker follows it within two seconds,
    also those that are started later, and it survives restarts of everything but Redis. No worker
    need run.

    Names are those of limits, or of tasks: of a task its primary limit is meant (what
    `DynamicRateLimitTask` or `TokenBucketTask` gave it, before keyed ones and places). Plain tasks
    with Celery's own ``rate_limit`` can be adjusted too, as long as workers run to be asked.

    ``for_seconds`` sets something for a time; None (default): until it is changed. ``reason`` and
    ``by`` (default: ``user@host:pid`` of this process) are kept with it. All methods raise
    LimiterUnavailableError where Redis gives no answer, within the setting
    ``ratekit_redis_timeout``, and UnknownLimitError for a name that nobody knows; what near misses
    there are it says. ``force=True`` is for a limit that only another app knows. ``kind`` is the
    class of the limit, such as ``"FixedWindow"``, where several have one name: then the name is
    never a task's.

    ``defaults`` are the rates by name that `restore_defaults` goes back to: what tasks, rules and
    settings declare, unless somebody edits the dictionary or sets another, here or in a subclass.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """Rates by the names of limits and of plain tasks; found when it is first asked for."""
        found: dict[str, Any] = {}
        for meant in self._known.limits():
            limit = meant.limit
            if not meant.is_fixed and isinstance(limit, (TokenBucket, FixedWindow, SlidingWindow)):
                found.setdefault(meant.name, str(limit.rate))
        for name, rate in self._known.plain_tasks().items():
            if rate is not None:
                found.setdefault(name, str(rate))
        return found

    # -- rates ------------------------------------------------------------------------------

    def adjust_rate(
        self,
        task_name: str,
        new_rate: NewRate,
        workers: Sequence[str] | None = None,
        *,
        key: Key | None = None,
        for_seconds: float | None = None,
        reason: str = "",
        by: str | None = None,
        force: bool = False,
        kind: str | None = None,
    ) -> Adjusted:
        """Sets a rate in any form, or a number of places; what was before, and what is now.

        ``key``: for one key only, such as a customer with a bigger plan; it comes before the name's
        rate. 0 stops the limit until `resume` or another rate. ``workers`` are for plain tasks; a
        limit of ours is one for all workers, so they are warned of and left out there.

        Raises BadRateError or BadLimitError where the limit cannot have such a rate, and
        BadOptionError where its rate is fixed in code (`StaticRateLimitTask`).
        """
        if kind is None and self._is_plain(task_name):
            if key is not None or for_seconds is not None:
                raise BadOptionError(
                    f"expected neither key nor for_seconds for {task_name!r:.80}, a task with "
                    "Celery's own limit per worker; it knows no keys, and nobody would change it "
                    "back"
                )
            return self._adjust_plain(task_name, new_rate, workers, waits=True)
        if workers is not None:
            logger.warning(
                "rate limits: %r is one limit for all workers; it is set for all of them", task_name
            )
        view = self._view()
        meant = self._known.find(task_name, view, force=force, kind=kind).of_key(key)
        _check_not_fixed(meant)
        what = rate_text(meant, new_rate)
        author = self._author(by, reason, for_seconds)
        return self._change(view, self._changes.rate(meant, what, author), meant, author)

    def unset_rate(
        self,
        name: str,
        *,
        key: Key | None = None,
        reason: str = "",
        by: str | None = None,
        force: bool = False,
        kind: str | None = None,
    ) -> Adjusted:
        """Ends every rate that was set, 0 included: the limit has again what was learned, or what
        the code says. A pause stays.

        With ``key`` it ends that of this key; without one keys keep theirs.
        """
        view = self._view()
        meant = self._limit_of(name, view, force, kind).of_key(key)
        author = self._author(by, reason)
        return self._change(view, self._changes.unset(meant), meant, author)

    def reduce_for_high_load(
        self,
        factor: float = 0.5,
        *,
        for_seconds: float | None = None,
        reason: str = "high load",
        by: str | None = None,
    ) -> list[Adjusted]:
        """Sets every default times ``factor``: a second call changes nothing more.

        Never to 0: ``"1/m"`` times 0.3 is 18 an hour, and of places one is left. What is paused
        stays so, and so do keys with a rate of their own. Workers are told of plain tasks without
        waiting for their answers.
        """
        author = self._author(by, reason, for_seconds)
        return self._reduce(self._view(), factor, author)[0]

    def restore_defaults(
        self, *, reason: str = "back to the defaults", by: str | None = None
    ) -> list[Adjusted]:
        """Sets every default; what is paused or disabled stays so, and keys' own rates do.

        Only a rate of 0 that `adjust_rate` has set is a rate, and ends here.
        """
        rates = {name: str(rate) for name, rate in self.defaults.items()}
        author = self._author(by, reason)
        return self._set_many(self._view(), rates, author, self._changes.default)[0]

    @contextmanager
    def reduced(
        self, factor: float = 0.5, *, for_seconds: float | None = None, reason: str = "reduced"
    ) -> Iterator[None]:
        """Rates times ``factor`` inside of a ``with``; then what was there before.

        What somebody else has changed meanwhile stays as they set it. ``for_seconds`` bounds it for
        the case that this process dies. Plain tasks get their defaults back.
        """
        before = self._view()
        author = self._author(None, reason, for_seconds)
        adjusted, changes = self._reduce(before, factor, author)
        try:
            yield
        finally:
            self._limiter.overrides.write(giving_back(before, changes))
            self._limiter.override_book.refresh()
            ours = {change.name for change in changes if isinstance(change, Set)}
            for one in adjusted:
                if one.name not in ours:
                    self._adjust_plain(one.name, self.defaults[one.name])

    # -- switches ---------------------------------------------------------------------------

    def pause(
        self,
        name: str,
        *,
        key: Key | None = None,
        for_seconds: float | None = None,
        reason: str = "",
        by: str | None = None,
        force: bool = False,
        kind: str | None = None,
    ) -> Adjusted:
        """Lets nothing start under the limit, or under one key of it, until `resume`."""
        view = self._view()
        meant = self._limit_of(name, view, force, kind).of_key(key)
        author = self._author(by, reason, for_seconds)
        return self._change(view, self._changes.switch(PAUSE, meant, author), meant, author)

    def resume(
        self,
        name: str,
        *,
        key: Key | None = None,
        reason: str = "",
        by: str | None = None,
        force: bool = False,
        kind: str | None = None,
    ) -> Adjusted:
        """Ends a pause, or a rate of 0: the limit goes on with what it had."""
        view = self._view()
        meant = self._limit_of(name, view, force, kind).of_key(key)
        author = self._author(by, reason)
        return self._change(view, self._changes.resumption(meant, view), meant, author)

    def disable(
        self,
        name: str | None = None,
        *,
        for_seconds: float | None = None,
        reason: str = "",
        by: str | None = None,
        force: bool = False,
    ) -> list[Adjusted]:
        """Lets everything pass a limit or, of a task, all its limits; without a name all there are.

        The emergency switch of the whole fleet: nothing is charged meanwhile, and places are not
        counted. It survives restarts; see it in `current_rates`, end it with `enable`.
        """
        view = self._view()
        author = self._author(by, reason, for_seconds)
        return [
            self._change(view, self._changes.switch(DISABLE, meant, author), meant, author)
            for meant in self._limits_of(name, view, force)
        ]

    def enable(
        self,
        name: str | None = None,
        *,
        reason: str = "",
        by: str | None = None,
        force: bool = False,
    ) -> list[Adjusted]:
        """Ends `disable` of the same name: of a task, of all its limits; without one, of all."""
        view = self._view()
        author = self._author(by, reason)
        return [
            self._change(view, self._changes.enabling(meant), meant, author)
            for meant in self._limits_of(name, view, force)
        ]

    def freeze(
        self,
        name: str,
        seconds: float,
        key: Key | None = None,
        *,
        force: bool = False,
        kind: str | None = None,
    ) -> float:
        """No starts for a time, as after a provider's 429; the seconds that it is frozen from now.

        A longer freeze stays. With ``key`` for this key only.
        """
        limit = self._to_freeze(name, key, force, kind)
        frozen = self._limiter.freeze(limit, seconds)
        rate_limit_frozen.send(sender=None, limit=limit, seconds=frozen, reason="manager")
        return frozen

    def unfreeze(
        self,
        name: str,
        key: Key | None = None,
        *,
        force: bool = False,
        kind: str | None = None,
    ) -> None:
        """Ends a freeze early; with ``key`` that of this key."""
        limit = self._to_freeze(name, key, force, kind)
        self._limiter.freeze(limit, 0)
        self._limiter.overrides.tell([limit.name])
        rate_limit_frozen.send(sender=None, limit=limit, seconds=0.0, reason="manager")

    def reset(self, name: str, key: Key | None = None) -> list[str]:
        """Forgets what is counted for a limit, or one key of it, and its freeze; its kinds' names.

        A bucket is full again, a window empty, and places are free although their calls may still
        run. Without ``key`` that is what is counted for all calls together: keys have counts of
        their own. Of a task all its limits. Raises UnknownLimitError for what only another app has.
        """
        view = self._view()
        self._limit_of(name, view, False)
        limits = {one.limit for one in self._known.find_all(name, view) if one.limit is not None}
        if not limits:
            raise UnknownLimitError(name, {one.name for one in self._known.limits()})
        keyed = {one.with_cost(0).with_key("" if key is None else key) for one in limits}
        for limit in keyed:
            self._limiter.reset(limit)
        self._limiter.overrides.tell(sorted({limit.name for limit in keyed}))
        return sorted(f"{limit.name} ({type(limit).__name__})" for limit in keyed)

    # -- looking ----------------------------------------------------------------------------

    def current_rates(self) -> dict[str, CurrentRate]:
        """What every limit is now, by name, of this app and of live workers; as text its rate."""
        return current_rates(self._view(), self._known.limits(), self._known.plain_tasks())

    def look(self) -> tuple[View, list[Meant]]:
        """What was set and counts now, and the limits of this app: what `current_rates` is of."""
        return self._view(), self._known.limits()

    def explain(self, what: str) -> Any:
        """What is true of a limit, of a task's limits, or of one task id: print it.

        Raises UnknownLimitError where it is none of these.
        """
        try:
            return self.explain_limits(what)
        except UnknownLimitError:
            # It knows this package's tasks, and is not needed for limits.
            from ..explain import explain_task  # noqa: PLC0415

            explanation = explain_task(self.app, what)
            if explanation is None:
                raise
            return explanation

    def explain_limits(self, what: str) -> LimitExplanation:
        """As `explain`, of a limit or of a task's limits only."""
        view, runtime = self._view(), runtime_of(self.app)
        found = self._known.find_all(what, view)
        return explain_limits(what, found, view, runtime.limiter, runtime.backlog)

    def export(self) -> dict[str, Any]:
        """All that was set and counts now, as plain data for JSON; see `import_`."""
        return transfer.exported(self._view())

    def import_(self, data: Mapping[str, Any]) -> int:
        """Sets what an export says, beside what is there; how many overrides.

        What was to end meanwhile is left out. All or nothing. Raises BadOptionError for what is no
        export.
        """
        view = self._view()
        changes = transfer.imported(data, view, self._limiter.keys)
        self._limiter.overrides.write(changes)
        self._limiter.override_book.refresh()
        return len(changes)

    # -- how --------------------------------------------------------------------------------

    @property
    def _limiter(self) -> Limiter:
        return runtime_of(self.app).limiter

    @cached_property
    def _known(self) -> Known:
        return Known(self.app)

    @property
    def _changes(self) -> Changes:
        return Changes(self._limiter.keys)

    def _view(self) -> View:
        """What counts now, asked for at once."""
        store = self._limiter.overrides
        return View(store.keys, store.read())

    def _author(self, by: str | None, reason: str, seconds: float | None = None) -> Author:
        return Author(by or this_process(), reason, seconds)

    def _is_plain(self, name: str) -> bool:
        known = self._known
        task = known.task(name)
        return task is not None and not known.is_ours(task) and not known.has_limit(name)

    def _is_window(self, name: str, view: View) -> bool:
        if self._is_plain(name):
            return False
        limit = self._known.find(name, view).limit
        return isinstance(limit, (FixedWindow, SlidingWindow))

    def _limit_of(self, name: str, view: View, force: bool, kind: str | None = None) -> Meant:
        if kind is None and self._is_plain(name):
            raise BadOptionError(
                f"expected a limit of ours, got the task {name!r:.80}, which has none but Celery's "
                "own per worker; that can only be adjusted. Limit it, for example by ratekit_rules"
            )
        return self._known.find(name, view, force=force, kind=kind)

    def _limits_of(self, name: str | None, view: View, force: bool) -> list[Meant]:
        if name is None:
            return [Meant("")]
        self._limit_of(name, view, force)
        by_name = {one.name: one for one in reversed(self._known.find_all(name, view, force=force))}
        return list(by_name.values())

    def _to_freeze(self, name: str, key: Key | None, force: bool, kind: str | None) -> Limit:
        meant = self._limit_of(name, self._view(), force, kind)
        # A freeze concerns the name, whatever the kind of limit.
        limit = meant.limit or TokenBucket(meant.name, 1)
        return limit.with_cost(0).with_key("" if key is None else key)

    def _change(
        self, view: View, changes: Sequence[Change], meant: Meant, author: Author
    ) -> Adjusted:
        """Writes the changes of one limit and tells of them."""
        self._limiter.overrides.write(changes)
        return self._told(view, self._limiter.override_book.refresh(), meant, author)

    def _told(self, before: View, after: View, meant: Meant, author: Author) -> Adjusted:
        old, new = _shown(before, meant), _shown(after, meant)
        adjusted = Adjusted(meant.name, str(meant.key), old, new)
        rate_adjusted.send(
            sender=self.app,
            name=adjusted.name,
            key=adjusted.key,
            old=old,
            new=new,
            by=author.by,
            reason=author.reason,
        )
        return adjusted

    def _reduce(
        self, view: View, factor: float, author: Author
    ) -> tuple[list[Adjusted], list[Change]]:
        rates = {
            name: reduced_text(rate, factor, is_window=self._is_window(name, view))
            for name, rate in self.defaults.items()
        }
        return self._set_many(view, rates, author, self._changes.reduction)

    def _set_many(
        self, view: View, rates: Mapping[str, str], author: Author, make: MakeChanges
    ) -> tuple[list[Adjusted], list[Change]]:
        """Sets the rates of many names at once, and tells workers of those of plain tasks."""
        plain = [name for name in rates if self._is_plain(name)]
        found = {name: self._known.find(name, view) for name in rates if name not in plain}
        changes: list[Change] = []
        for name, meant in found.items():
            _check_not_fixed(meant)
            changes += make(meant, rate_text(meant, rates[name]), author)
        self._limiter.overrides.write(changes)
        after = self._limiter.override_book.refresh()
        adjusted = [self._told(view, after, meant, author) for meant in found.values()]
        if author.seconds is None:
            adjusted += [self._adjust_plain(name, rates[name]) for name in plain]
        elif plain:
            logger.warning("rate limits: workers would not change %s back, so they stay", plain)
        return adjusted, changes

    def _adjust_plain(
        self,
        name: str,
        new_rate: NewRate,
        workers: Sequence[str] | None = None,
        *,
        waits: bool = False,
    ) -> Adjusted:
        text = celerys_text(Rate.parse(new_rate), name)
        replies = broadcast_rate(self.app, name, text, workers, waits=waits)
        return Adjusted(name, "", "", text, replies)


def _shown(view: View, meant: Meant) -> str:
    """What counts for a limit; of one that nobody declares, as far as it was set."""
    limit = meant.limit or declared_by_others(view, meant)
    if limit is not None:
        return rate_now(view, limit.with_cost(0).with_key(meant.key))
    # A rate that nobody would declare: what is not set shows as empty.
    stand_in = stand_in_for(meant)
    is_set = bool(view.records_of(stand_in)) if meant.name else view.disabling(stand_in) is not None
    return rate_now(view, stand_in) if is_set else ""


def _check_not_fixed(meant: Meant) -> None:
    if meant.is_fixed:
        raise BadOptionError(
            f"the rate of {meant.name!r:.80} is fixed in code by a StaticRateLimitTask; it can be "
            "paused, frozen and disabled. Make it a DynamicRateLimitTask to change it at run time"
        )
