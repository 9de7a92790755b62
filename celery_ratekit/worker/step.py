"""The bootstep that puts the gate between a worker's consumer and its pool."""

from __future__ import annotations

from typing import Any

from billiard.einfo import ExceptionInfo
from celery import bootsteps
from celery.utils.log import get_logger

from ..tasks.call import Call
from ..tasks.grant import GRANT_HEADER, make_key
from ..tasks.limit_book import LIMITS_HEADER
from ..tasks.runtime import Runtime, runtime_of
from .building import make_gate
from .control import extend_celerys_commands
from .naps import Naps

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
        if self._runtime.settings.gate:
            make_key()  # before the pool starts its processes, which get it from here
            self.gate, self._watch = make_gate(consumer, self._runtime)
            consumer.ratekit_gate = self.gate
            consumer.on_task_request = self._receive
            self._naps = Naps(consumer, lambda: len(self.gate.room) > 0)
            extend_celerys_commands()
            self._watches_all = self.gate.watches_all
            self._plan = self._runtime.book.plan

    def include_if(self, consumer: Any) -> bool:
        return consumer.ratekit_gate is not None

    def start(self, consumer: Any) -> None:
        self._naps.start()
        self.gate.open()

    def stop(self, consumer: Any) -> None:
        """On a lost connection and at the end: what waits comes again from the broker."""
        self._naps.stop()
        self.gate.close()

    def shutdown(self, consumer: Any) -> None:
        self._watch.end()
        self.gate.close()
        self.gate.abandon()

    def _receive(self, request: Any) -> None:
        headers = request.request_dict
        headers.pop(GRANT_HEADER, None)
        task = request.task
        chosen = headers.get(LIMITS_HEADER)
        try:
            plan = self._plan(task)
        except Exception:  # noqa: BLE001 - of a task that came after the worker's start, say
            _fail(request, ExceptionInfo())
            return
        if not plan.is_limited and (chosen is None or plan.is_switched_off):
            self._start_unlimited(request)
            return
        try:
            call = Call(task.name, task.run, request.args, request.kwargs, request.id)
            limits = plan.limits(call, chosen)
        except Exception:  # noqa: BLE001 - a function of the user's may raise anything
            _fail(request, ExceptionInfo())
            return
        if limits.enforced or limits.shadow:
            self.gate.enter(request, limits)
        else:
            self._start_unlimited(request)

    def _start_unlimited(self, request: Any) -> None:
        if self._watches_all:
            self.gate.pass_on(request)
        else:
            self._pass_on(request)


def _fail(request: Any, einfo: ExceptionInfo) -> None:
    """Ends a task whose limits cannot be worked out: it must not run without them."""
    try:
        if not request.task.acks_late:
            request.acknowledge()
        request.on_failure(einfo, return_ok=False)
    except Exception:
        logger.exception("rate limits: the failure of %s was not stored", request.id)
