"""Messages as Celery would publish them, kept instead of sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from kombu import Producer

from ..worker.backlog.parcel import pack
from ..worker.backlog.republishing import as_published

__all__ = ["Captured", "capturing"]


class Captured(NamedTuple):
    """One task's message, ready to be published or parked.

    ``content`` is the body before it was encoded: arguments, keyword arguments, and what is linked.
    """

    content: Any
    body: bytes | str
    content_type: str
    content_encoding: str
    headers: dict[str, Any]
    properties: dict[str, Any]
    exchange: str
    routing_key: str
    declare: Sequence[Any]

    @property
    def task(self) -> str:
        """The name of the task."""
        return str(self.headers["task"])

    @property
    def task_id(self) -> str:
        """The id of the task."""
        return str(self.headers["id"])

    @property
    def priority(self) -> int:
        """The priority, as the broker counts it."""
        return int(self.properties.get("priority") or 0)

    @property
    def delivery_info(self) -> dict[str, str]:
        """Where it is sent."""
        return {"exchange": self.exchange, "routing_key": self.routing_key}

    def packed(self) -> bytes:
        """The bytes that the backlog keeps."""
        return pack(self)

    def publish(self, producer: Producer, policy: dict[str, Any]) -> None:
        """Sends it; raises what kombu raises."""
        producer.publish(
            self.body,
            exchange=self.exchange,
            routing_key=self.routing_key,
            content_type=self.content_type,
            content_encoding=self.content_encoding,
            headers=dict(self.headers),
            declare=list(self.declare),
            retry=True,
            retry_policy=policy,
            **as_published(self.properties),
        )


@contextmanager
def capturing(app: Any) -> Iterator[list[Captured]]:
    """Inside of a ``with`` the app's tasks are not sent by this thread, but put into the list.

    Chains and chords publish with a producer of their own, so it is exchanged where all messages of
    tasks pass.
    """
    _exchange_producers(app.amqp)
    with app.connection_for_write() as connection:
        producer = _Capturing(connection)
        token = _current.set(producer)
        try:
            yield producer.captured
        finally:
            _current.reset(token)


def _exchange_producers(amqp: Any) -> None:
    """Has the app's sender look for a producer that captures; a second time is harmless."""
    send = amqp.send_task_message
    if getattr(send, "ratekit_captures", False):
        return

    def send_or_capture(producer: Any, *args: Any, **options: Any) -> Any:
        return send(_current.get() or producer, *args, **options)

    send_or_capture.ratekit_captures = True  # type: ignore[attr-defined]  # a function has any
    amqp.send_task_message = send_or_capture


class _Capturing(Producer):
    """Takes the place of the producer that Celery publishes with; it connects to nothing.

    What is no task, such as events, is sent.
    """

    def __init__(self, connection: Any) -> None:
        super().__init__(connection, auto_declare=False)
        self.captured: list[Captured] = []
        self._content: Any = None

    def publish(self, body: Any, *args: Any, **options: Any) -> Any:
        self._content = body
        if "task" in (options.get("headers") or {}):
            # The backlog keeps bodies as workers get them: unpacked. There is nothing to retry.
            options.update(compression="", retry=False)
        return super().publish(body, *args, **options)

    def _publish(  # noqa: PLR0917 - kombu calls it so
        self,
        body: Any,
        priority: int,
        content_type: str,
        content_encoding: str,
        headers: dict[str, Any],
        properties: dict[str, Any],
        routing_key: str,
        mandatory: bool,
        immediate: bool,
        exchange: str,
        declare: Sequence[Any],
        *args: Any,
        **options: Any,
    ) -> Any:
        if "task" not in headers:
            return super()._publish(
                body,
                priority,
                content_type,
                content_encoding,
                headers,
                properties,
                routing_key,
                mandatory,
                immediate,
                exchange,
                declare,
                *args,
                **options,
            )
        kept = {name: value for name, value in properties.items() if value is not None}
        self.captured.append(
            Captured(
                self._content,
                body,
                content_type,
                content_encoding,
                dict(headers),
                {**kept, "priority": priority or 0},
                exchange,
                routing_key,
                tuple(declare or ()),
            )
        )
        return None


_current: ContextVar[_Capturing | None] = ContextVar("ratekit_capturing", default=None)
