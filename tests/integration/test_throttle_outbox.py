"""What a dispatcher sends is in the broker when it says so, whatever became of the connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from celery import Celery
from kombu.exceptions import OperationalError
from support.proxy import Proxy

from celery_ratekit.embedded import EmbeddedRabbitMQ
from celery_ratekit.embedded.ports import LOOPBACK
from celery_ratekit.throttle.dispatch.outbox import Outbox
from celery_ratekit.worker.backlog.parcel import Parcel

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def proxy(rabbitmq: EmbeddedRabbitMQ) -> Iterator[Proxy]:
    with Proxy(rabbitmq.port) as proxy:
        yield proxy


@pytest.fixture
def app(rabbitmq: EmbeddedRabbitMQ, proxy: Proxy) -> Iterator[Celery]:
    """Reaches the broker through a proxy."""
    url = f"amqp://{rabbitmq.user}:{rabbitmq.password}@{LOOPBACK}:{proxy.port}//"
    app = Celery("outbox", broker=url, set_as_current=False)
    yield app
    app.close()


@pytest.fixture
def outbox(app: Celery) -> Iterator[Outbox]:
    with Outbox(app) as outbox:
        yield outbox


@pytest.fixture
def queue() -> str:
    return uuid4().hex


@pytest.fixture
def bodies(rabbitmq: EmbeddedRabbitMQ, queue: str) -> Callable[[], list[str]]:
    """Takes what is in the queue, past the proxy."""

    def take() -> list[str]:
        found = []
        with (
            Celery(broker=rabbitmq.url, set_as_current=False) as app,
            app.connection_for_read() as connection,
        ):
            channel = connection.channel()
            while (message := channel.basic_get(queue, no_ack=True)) is not None:
                found.append(message.body)
        return found

    return take


def parcel(body: str) -> Parcel:
    headers = {"id": uuid4().hex, "task": "a"}
    return Parcel(body, "application/json", "utf-8", headers, {"delivery_mode": 2}, "", "")


def test_what_was_sent_is_in_the_queue(
    outbox: Outbox, queue: str, bodies: Callable[[], list[str]]
) -> None:
    for number in range(3):
        outbox.send(queue, parcel(str(number)))
    assert bodies() == ["0", "1", "2"]


def test_a_connection_that_was_lost_meanwhile_is_made_anew(
    outbox: Outbox, proxy: Proxy, queue: str, bodies: Callable[[], list[str]]
) -> None:
    outbox.send(queue, parcel("before"))
    assert proxy.drop() == 1
    outbox.send(queue, parcel("after"))
    assert bodies() == ["before", "after"]


def test_it_says_so_where_the_broker_is_away_and_goes_on_when_it_is_back(
    outbox: Outbox, proxy: Proxy, queue: str, bodies: Callable[[], list[str]]
) -> None:
    outbox.send(queue, parcel("before"))
    proxy.cut()
    with pytest.raises((OperationalError, OSError)):
        outbox.send(queue, parcel("meanwhile"))
    proxy.mend()
    outbox.send(queue, parcel("after"))
    assert bodies() == ["before", "after"]
