"""The bootstep that puts the gate between a worker's consumer and its pool."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import bootsteps
from celery.utils.log import get_logger

from ..errors import BadOptionError
from ..queues import QUEUE_HEADER
from ..queues.places import OBEYS_NONE
from ..tasks.call import Call
from ..tasks.call_limits import NO_LIMITS, CallLimits
from ..tasks.grant import GRANT_HEADER, make_key
from ..tasks.limit_book import LIMITS_HEADER
from ..tasks.queue_ends import count_ends_in_parent
from ..tasks.runtime import Runtime, runtime_of
from .building import make_gate
from .naps import Naps
from .remote.control import extend_celerys_commands
from .throttled import Throttled

__all__ = ["GateStep"]

logger = get_logger(__name__)


class GateStep(bootsteps.StartStopStep):
    """Wraps ``on_task_request``, through which every received task reaches the pool."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._runtime: Runtime = runtime_of(consumer.app)
        consumer.ratekit_gate = None
        self._pass_on = consumer.on_task_request
        self._throttled = Throttled(self._runtime, consumer.hostname)
        count_ends_in_parent()
        if self._runtime.settings.gate:
            make_key()  # before the pool starts its processes, which get it from here
            self.gate, self._watch, self._doorbell = make_gate(consumer, self._runtime)
            consumer.ratekit_gate = self.gate
            consumer.on_task_request = self._receive
            self._naps = Naps(consumer, lambda: len(self.gate.room) > 0)
            extend_celerys_commands()
            self._watches_all = self.gate.watches_all
            self._plan = self._runtime.book.plan
        else:
            consumer.on_task_request = self._receive_without_gate

    def include_if(self, consumer: Any) -> bool:
        return consumer.ratekit_gate is not None

    def start(self, consumer: Any) -> None:
        self._naps.start()
        self.gate.open()

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """Celery calls it with each connection, where an event loop runs."""
        if consumer.ratekit_gate is not None:
            self._doorbell.hang(hub)

    def stop(self, consumer: Any) -> None:
        """On a lost connection and at the end: what waits comes again from the broker."""
        self._naps.stop()
        self.gate.close()

    def shutdown(self, consumer: Any) -> None:
        self._watch.end()
        self._doorbell.close()
        self.gate.close()
        self.gate.abandon()
        self._throttled.end()

    def _receive(self, request: Any) -> None:
        headers = request.request_dict
        headers.pop(GRANT_HEADER, None)
        task = request.task
        chosen = headers.get(LIMITS_HEADER)
        queue = _queue_of(request) if QUEUE_HEADER in headers else None
        try:
            plan = self._plan(task)
        except Exception:  # noqa: BLE001 - of a task that came after the worker's start, say
            self._fail(request, queue, ExceptionInfo())
            return
        is_free = not plan.is_limited and chosen is None and queue is None
        if is_free or (plan.is_switched_off and queue is None):
            self._start_unlimited(request)
            return
        try:
            if queue is not None:
                self._throttled.follow(request, queue)
            call = Call(task.name, task.run, request.args, request.kwargs, request.id)
            limits = plan.limits(call, chosen, queue)
        except Exception:  # noqa: BLE001 - a function of the user's may raise anything
            self._fail(request, queue, ExceptionInfo())
            return
        if queue is not None and not self.gate.is_pulled(request):
            self._enter_as_sent(request, queue, limits)
        else:
            self._enter(request, limits)

    def _enter(self, request: Any, limits: CallLimits) -> None:
        if limits.enforced or limits.shadow:
            self.gate.enter(request, limits)
        else:
            self._start_unlimited(request)

    def _enter_as_sent(self, request: Any, queue: object, limits: CallLimits) -> None:
        """A message of a throttled queue, with what its sending was charged, if it was."""
        charge = self._throttled.charge_of(request, queue, limits)
        if charge is None:
            self._enter(request, limits)
        elif charge.is_final:
            self._enter(request, CallLimits((), limits.shadow))
        else:
            self.gate.enter_granted(request, limits, charge.decision, charge.age_seconds)

    def _receive_without_gate(self, request: Any) -> None:
        queue = _queue_of(request)
        if queue is not None:
            with suppress(BadOptionError):  # It belongs to no queue.
                self._throttled.follow(request, queue)
                self._throttled.charge_of(request, queue, NO_LIMITS)
        self._pass_on(request)

    def _start_unlimited(self, request: Any) -> None:
        if self._watches_all:
            self.gate.pass_on(request)
        else:
            self._pass_on(request)

    def _fail(self, request: Any, queue: object, einfo: ExceptionInfo) -> None:
        """Ends a task whose limits cannot be worked out: it must not run without them."""
        try:
            if not request.task.acks_late:
                request.acknowledge()
            request.on_failure(einfo, return_ok=False)
        except Exception:
            logger.exception("rate limits: the failure of %s was not stored", request.id)
        if queue is not None:
            with suppress(BadOptionError):  # It belongs to no queue.
                self._throttled.failed(request, queue)


def _queue_of(request: Any) -> object:
    """What a message says of its throttled queue; None where it belongs to none."""
    headers = request.request_dict
    if request.task.name == OBEYS_NONE:
        headers.pop(QUEUE_HEADER, None)
    return headers.get(QUEUE_HEADER)
