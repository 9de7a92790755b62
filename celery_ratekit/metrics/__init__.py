"""What limits do, as Prometheus' metrics; importing this module begins to count.

Counted in the process that imports it, from the signals of `celery_ratekit.signals`. A worker whose
setting ``ratekit_metrics_port`` is given serves them, and so does ``celery-ratekit exporter`` with
what Redis alone can tell. docs/metrics.md names them all.
"""

from .counted import rate_limit_hits, rate_limit_retries
from .receivers import connect, on_task_retry

__all__ = ["on_task_retry", "rate_limit_hits", "rate_limit_retries"]

connect()
