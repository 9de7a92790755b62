"""The app's broker, asked by commands that would rather say that it is away than wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.exceptions import OperationalError

from ..errors import BrokerUnavailableError

__all__ = ["broker_connection", "broker_kind"]

TIMEOUT_SECONDS = 2.0


def broker_kind(app: Any) -> str:
    """Kombu's name of the transport, such as "redis" or "amqp"; connects to nothing."""
    with app.connection_for_write() as connection:
        return str(connection.transport.driver_type)


@contextmanager
def broker_connection(app: Any) -> Iterator[Any]:
    """A connection that works; raises BrokerUnavailableError where it does not, or breaks."""
    with app.connection_for_write() as connection:
        errors = (*connection.connection_errors, *connection.channel_errors)
        try:
            connection.ensure_connection(max_retries=1, timeout=TIMEOUT_SECONDS)
            yield connection
        except (OperationalError, OSError, *errors) as error:
            raise BrokerUnavailableError(str(error) or type(error).__name__) from error
