"""Messages of throttled queues as they reach a worker, and the ends of those that its pool lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.utils.log import get_logger

from ..errors import RatekitError
from ..limiter import Decision
from ..queues import QueuePlace, QueueRecord, place_of
from ..tasks.admission import LATE_SECONDS
from ..tasks.queue_ends import FAILED, close_task
from ..tasks.runtime import Runtime

__all__ = ["Throttled"]

logger = get_logger(__name__)


class Throttled:
    """What a worker does with a message of a throttled queue before it enters the gate."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @staticmethod
    def hear_of_kills(request: Any, header: object) -> None:
        """Counts the end of a task that its process does not live to tell.

        Raises BadOptionError for a header that names no queue.
        """
        place = place_of(header)
        _hear_of_kills(request, lambda: close_task(request.task.app, place, request.id, FAILED))

    def starts_as_sent(
        self, request: Any, header: object, *, is_only_limit: bool, has_slot: bool
    ) -> bool:
        """Whether a message may start on what its sending was charged.

        It may where a dispatcher has limited its sending; else only a moment later, into a slot
        that is free. What may not is charged at its start, and the former charge is given back as
        long as nobody can have had the room that it took.
        """
        try:
            return self._uses_charge(place_of(header), request.id, is_only_limit, has_slot)
        except RatekitError as error:
            logger.warning("rate limits: the charge of %s stays: %s", request.id, error)
            return False

    def _uses_charge(
        self, place: QueuePlace, task_id: str, is_only_limit: bool, has_slot: bool
    ) -> bool:
        view = self._runtime.queues.view(place.prefix)
        found = view.store.redeem(place.name, task_id)
        if found is None:
            return False
        charged_us, age_us = found
        if age_us < 0 and is_only_limit:
            return True
        record = view.get(place.name)
        if record is None or record.limit.is_paused or record.limit.is_unlimited:
            return False
        could_start = is_only_limit and has_slot
        if could_start and age_us <= LATE_SECONDS * 1e6:
            return True
        # A bucket is full again after one token's time at the soonest; what is given back to one
        # that was full meanwhile would be a token more than the rate allows.
        if 0 <= age_us < record.limit.rate.microseconds_per_token:
            return self._charge_anew(record, charged_us, could_start)
        return False

    def _charge_anew(self, record: QueueRecord, charged_us: int, could_start: bool) -> bool:
        """Gives a charge back, and charges the start in its place where it can be now."""
        limit, limiter = record.limit, self._runtime.limiter
        limiter.refund(Decision(True, (limit,), start_us=charged_us, asked_us=charged_us))
        if could_start and limiter.acquire(limit).granted:
            return True
        # Those who wait were told to wait for longer than that.
        self._runtime.backlog.wake(record.target, limit_name=limit.name)
        return False


def _hear_of_kills(request: Any, on_kill: Callable[[], object]) -> None:
    """Calls back where a task ends without its body coming to an end: nobody else would hear.

    Set on the request itself, before its pool gets it: it lasts as long as the request.
    """

    def on_failure(exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return type(request).on_failure(request, exc_info, *args, **kwargs)
        finally:
            if _is_lost(request, exc_info):
                on_kill()

    def on_timeout(soft: bool, timeout: float) -> Any:
        try:
            return type(request).on_timeout(request, soft, timeout)
        finally:
            if not soft:
                on_kill()

    request.on_failure = on_failure
    request.on_timeout = on_timeout


def _is_lost(request: Any, exc_info: Any) -> bool:
    """Whether the process was lost and Celery has not put the message back."""
    error = exc_info.exception
    error = getattr(error, "exc", error)
    if isinstance(error, (Terminated, TimeLimitExceeded)):
        return not getattr(request, "_already_cancelled", False)
    if not isinstance(error, (WorkerLostError, SystemExit)):
        return False
    task = request.task
    return not (task.acks_late and task.reject_on_worker_lost)
