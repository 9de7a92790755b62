"""Sends messages of the backlog on to the broker, and knows that it has them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeVar

from ...worker.backlog.parcel import Parcel
from ...worker.backlog.republishing import publish

__all__ = ["Outbox"]

AnOutbox = TypeVar("AnOutbox", bound="Outbox")


class Outbox:
    """One connection to the broker, made anew where it is lost."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._connection: Any = None
        self._producer: Any = None

    def __enter__(self: AnOutbox) -> AnOutbox:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()

    def send(self, queue: str, parcel: Parcel) -> None:
        """Returns once the broker has the message; raises what kombu raises."""
        if self._producer is None:
            self._connect()
        try:
            self._publish(queue, parcel)
        except Exception:
            self._drop()
            raise

    def _publish(self, queue: str, parcel: Parcel) -> None:
        app = self._app
        publish(
            self._producer,
            queue,
            parcel,
            declare=[app.amqp.queues[queue]],
            retry_policy=dict(app.conf.task_publish_retry_policy or {}),
        )

    def _connect(self) -> None:
        # Without it RabbitMQ may lose what is under way.
        options = {**(self._app.conf.broker_transport_options or {}), "confirm_publish": True}
        self._connection = self._app.connection_for_write(transport_options=options)
        self._producer = self._connection.Producer(auto_declare=False)

    def _drop(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            with suppress(Exception):  # It may be what failed.
                connection.release()
