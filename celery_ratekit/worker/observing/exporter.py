"""Serves a worker's metrics while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.utils.log import get_logger

from ...settings import PREFIX
from ...tasks.runtime import runtime_of

if TYPE_CHECKING:
    from ...metrics.serving import MetricsServer

__all__ = ["Exporter"]

NOT_SERVED = (
    "rate limits: metrics cannot be served under %s port %s (%s); the worker runs on without. "
    "Expected a free port: give each worker of a machine a %smetrics_port of its own, or 0 for any"
)

logger = get_logger(__name__)


class Exporter(bootsteps.StartStopStep):
    """Opens the port of the settings, in the main process; without one it does nothing.

    What happens there cannot stop the worker: a port that is taken is an error in its log.
    """

    # After it, so that the children of a pool do not inherit the port from the start.
    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._settings = runtime_of(worker.app).settings
        self._server: MetricsServer | None = None

    def include_if(self, worker: Any) -> bool:
        return self._settings.metrics_port is not None

    def create(self, worker: Any) -> None:
        # Counting begins before the first task comes, and nothing is loaded where nobody counts.
        from ... import metrics  # noqa: F401, PLC0415

    def start(self, worker: Any) -> None:
        from ...metrics.exported import serve  # noqa: PLC0415

        host, port = self._settings.metrics_host, self._settings.metrics_port or 0
        try:
            self._server = serve(worker.app, host, port, held=lambda: _held(worker))
        except OSError as error:
            logger.error(NOT_SERVED, host, port, error, PREFIX)  # noqa: TRY400 - it says all
        except Exception:
            logger.exception("rate limits: metrics cannot be served; the worker runs on without")
        else:
            logger.info("rate limits: metrics under http://%s:%s/metrics", host, self._server.port)

    def stop(self, worker: Any) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    terminate = stop


def _held(worker: Any) -> int:
    """How many tasks wait in the worker's gate."""
    gate = getattr(getattr(worker, "consumer", None), "ratekit_gate", None)
    return 0 if gate is None else len(gate.room)
