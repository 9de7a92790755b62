"""Messages of throttled queues as they reach a worker, and the ends of those that its pool lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.utils.log import get_logger
from celery.worker.request import Request

from ..errors import RatekitError
from ..limiter import Decision
from ..limiter.prepared import random_id
from ..limits import Limit
from ..queues import QueuePlace, Runner, place_of
from ..tasks.admission import LATE_SECONDS
from ..tasks.call_limits import CallLimits
from ..tasks.queue_ends import COMES_AGAIN, FAILED, close_task, run_counted
from ..tasks.runtime import Runtime
from .backlog.liveness import Liveness

__all__ = ["Charge", "Throttled"]

logger = get_logger(__name__)


class Charge(NamedTuple):
    """What the sending of a message was charged, ``age_seconds`` before it came here.

    ``is_final``: a dispatcher limits the sending alone, so it is not charged again, however late
    it starts.
    """

    decision: Decision
    age_seconds: float
    is_final: bool


class Throttled:
    """What a worker does with a message of a throttled queue before it enters the gate."""

    def __init__(self, runtime: Runtime, hostname: str) -> None:
        self._runtime = runtime
        self._name = f"{hostname}:{random_id()}"
        self._liveness: Liveness | None = None

    def end(self) -> None:
        """Says that the worker is gone, with all that it runs."""
        if self._liveness is not None:
            self._liveness.end()

    # -- its charge -------------------------------------------------------------------------

    def charge_of(self, request: Any, header: object, limits: CallLimits) -> Charge | None:
        """What a message that came from the broker brings along; None if it was charged nothing.

        Its task counts as one of the queue's from here on, as one that nobody has submitted, such
        as a later task of a chain. Raises BadOptionError for a header that names no queue.
        """
        place = place_of(header)
        try:
            found = self._runtime.queues.view(place.prefix).store.redeem(place.name, request.id)
        except RatekitError as error:
            logger.warning("rate limits: the charge of %s stays: %s", request.id, error)
            return None
        limit = _limit_of(place, limits)
        if found is None or limit is None:
            return None
        charged_us, age_us = found
        decision = Decision(True, (limit,), start_us=charged_us, asked_us=charged_us)
        if age_us < 0:
            is_only = len(limits.enforced) == 1
            return Charge(decision, 0.0, is_final=True) if is_only else None
        age_seconds = age_us / 1e6
        if len(limits.enforced) > 1 or limit.is_paused:
            age_seconds += 2 * LATE_SECONDS  # It has to be asked for anew, as what is late.
        return Charge(decision, age_seconds, is_final=False)

    # -- its end ----------------------------------------------------------------------------

    def follow(self, request: Any, header: object) -> None:
        """Counts the end of a task, also of one that its process does not live to tell.

        Raises BadOptionError for a header that names no queue.
        """
        place = place_of(header)
        _count_in_its_process(request)
        _follow(
            request,
            on_start=lambda: self._note_start(request, place),
            on_kill=lambda: self.failed(request, header),
        )

    @staticmethod
    def failed(request: Any, header: object) -> None:
        """Counts a task as failed that did not come to run, or did not come to its end."""
        close_task(request.task.app, place_of(header), request.id, FAILED)

    def _note_start(self, request: Any, place: QueuePlace) -> None:
        """Before its message is acknowledged: if this worker dies it does not come again."""
        if request.task.acks_late:
            return
        note = Runner(self._name, place.name, str(request.id)).packed()
        try:
            self._say_alive()
            self._runtime.queues.view(place.prefix).store.begin(place.name, request.id, note)
        except RatekitError as error:
            logger.warning("rate limits: the start of %s was not noted: %s", request.id, error)

    def _say_alive(self) -> None:
        if self._liveness is None:
            self._liveness = Liveness(self._runtime.backlog, self._name)
        self._liveness.begin()


def _limit_of(place: QueuePlace, limits: CallLimits) -> Limit | None:
    return next((one for one in limits.enforced if one.name == place.limit_name), None)


def _follow(request: Any, *, on_start: Callable[[], object], on_kill: Callable[[], object]) -> None:
    """Calls back where a task begins, and where it ends though its body does not.

    Set on the request itself, before its pool gets it: it lasts as long as the request.
    """
    requeued: list[bool] = []

    def on_accepted(pid: int, time_accepted: float) -> Any:
        on_start()
        return type(request).on_accepted(request, pid, time_accepted)

    def reject(requeue: bool = False) -> Any:
        requeued.append(requeue)
        return type(request).reject(request, requeue)

    def comes_again() -> bool:
        is_retried = getattr(request._context, COMES_AGAIN, False)
        return any(requeued) or is_retried or request._already_cancelled

    def on_failure(exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return type(request).on_failure(request, exc_info, *args, **kwargs)
        finally:
            if _was_killed(exc_info) and not comes_again():
                on_kill()

    def on_timeout(soft: bool, timeout: float) -> Any:
        try:
            return type(request).on_timeout(request, soft, timeout)
        finally:
            if not soft and not comes_again() and _is_over_at_timeout(request):
                on_kill()

    request.on_accepted, request.reject = on_accepted, reject
    request.on_failure, request.on_timeout = on_failure, on_timeout


def _count_in_its_process(request: Any) -> None:
    """Has the process that runs a request count how it ends."""

    def execute_using_pool(pool: Any, **options: Any) -> Any:
        # Celery's own class for the task would go around the pool that it is given.
        return Request.execute_using_pool(request, _CountingPool(pool), **options)

    request.execute_using_pool = execute_using_pool


class _CountingPool:
    """Hands a task to a pool, in a process that counts how it ends.

    Each process of a pool begins with the first such task: to listen to the ends of all tasks costs
    those of no queue a percent of what a worker does for them.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def apply_async(self, target: Callable[..., Any], args: Any = (), **options: Any) -> Any:
        return self._pool.apply_async(run_counted, (target, *args), **options)


def _was_killed(exc_info: Any) -> bool:
    """Whether its process did not live to tell of the end. One that was revoked is told of."""
    error = exc_info.exception
    return isinstance(
        getattr(error, "exc", error), (TimeLimitExceeded, WorkerLostError, SystemExit)
    )


def _is_over_at_timeout(request: Any) -> bool:
    """Before Celery 5.7 a message that is to come again is rejected a moment later only."""
    return bool(request.acknowledged or not request.task.acks_late)
