"""An app that forgot to say where its limits are to be kept."""

from __future__ import annotations

from celery import Celery

from celery_ratekit import TokenBucketTask

app = Celery("without_redis", broker="amqp://127.0.0.1:1//")


@app.task(base=TokenBucketTask)
def limited() -> None:
    pass
