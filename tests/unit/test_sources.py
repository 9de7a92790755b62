"""From which queue a message came, on kombu's own broker in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from kombu import Connection, Consumer, Exchange, Queue

from celery_ratekit.worker.backlog.sources import Sources


class Broker:
    """One connection with a consumer."""

    def __init__(self, connection: Any) -> None:
        self.channel = connection.channel()
        self._connection = connection
        self._got: list[Any] = []

    def consume(self, *queues: Queue) -> Consumer:
        consumer = Consumer(self.channel, queues=list(queues), on_message=self._got.append)
        consumer.consume()
        return consumer

    def deliver(self, exchange: str, routing_key: str) -> Any:
        """The message as a consumer gets it."""
        producer = self._connection.Producer(self.channel)
        producer.publish({}, exchange=exchange, routing_key=routing_key)
        with suppress(TimeoutError):
            while True:
                self._connection.drain_events(timeout=0)
        got, self._got[:] = list(self._got), []
        return got[-1]


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Connection("memory://") as connection:
        yield Broker(connection)


@pytest.fixture
def name() -> str:
    """Unlike any other: the broker in memory is one for the whole process."""
    return uuid4().hex


def test_a_direct_exchange_leads_to_its_queue(broker: Broker, name: str) -> None:
    exchange = Exchange(name, type="direct")
    queues = [Queue(f"{name} {key}", exchange, routing_key=key) for key in "ab"]
    sources = Sources(broker.consume(*queues))

    assert sources.queue_of(broker.deliver(name, "a")) == f"{name} a"
    assert sources.queue_of(broker.deliver(name, "b")) == f"{name} b"


def test_without_an_exchange_the_key_is_the_queue(broker: Broker, name: str) -> None:
    sources = Sources(broker.consume(Queue(name)))

    assert sources.queue_of(broker.deliver("", name)) == name


def test_a_topic_leads_to_the_queue_whose_pattern_it_fits(broker: Broker, name: str) -> None:
    exchange = Exchange(name, type="topic")
    queues = [
        Queue(f"{name} reports", exchange, routing_key="reports.#"),
        Queue(f"{name} mails", exchange, routing_key="mails.*"),
    ]
    sources = Sources(broker.consume(*queues))

    assert sources.queue_of(broker.deliver(name, "reports.daily.new")) == f"{name} reports"
    assert sources.queue_of(broker.deliver(name, "mails.new")) == f"{name} mails"


def test_what_fits_several_queues_could_have_come_from_any(broker: Broker, name: str) -> None:
    exchange = Exchange(name, type="topic")
    queues = [
        Queue(f"{name} all", exchange, routing_key="#"),
        Queue(f"{name} mails", exchange, routing_key="mails.*"),
    ]
    sources = Sources(broker.consume(*queues))

    assert sources.queue_of(broker.deliver(name, "mails.new")) is None
    assert sources.queue_of(broker.deliver(name, "reports")) == f"{name} all"


def test_a_queue_that_is_not_consumed_here_does_not_count(broker: Broker, name: str) -> None:
    exchange = Exchange(name, type="topic")
    Queue(f"{name} others", exchange, routing_key="#", channel=broker.channel).declare()
    sources = Sources(broker.consume(Queue(f"{name} mails", exchange, routing_key="mails.*")))

    assert sources.queue_of(broker.deliver(name, "mails.new")) == f"{name} mails"


@pytest.mark.parametrize("options", [{"auto_delete": True}, {"exclusive": True}], ids=str)
def test_what_goes_with_its_worker_may_wait_nowhere_else(
    broker: Broker, name: str, options: dict[str, bool]
) -> None:
    own = Queue(f"{name} own", Exchange(name), routing_key="own", **options)
    lasting = Queue(f"{name} lasting", Exchange(name), routing_key="lasting")
    sources = Sources(broker.consume(own, lasting))

    assert sources.lasting == [f"{name} lasting"]
    assert sources.queue_of(broker.deliver(name, "own")) is None
    assert sources.queue_of(broker.deliver(name, "lasting")) == f"{name} lasting"


def test_what_goes_to_all_workers_may_wait_nowhere_else(broker: Broker, name: str) -> None:
    queue = Queue(name, Exchange(name, type="fanout"))
    sources = Sources(broker.consume(queue))

    assert sources.lasting == []
    assert sources.queue_of(broker.deliver(name, "")) is None


def test_a_queue_that_is_added_at_run_time_counts(broker: Broker, name: str) -> None:
    exchange = Exchange(name, type="topic")
    consumer = broker.consume(Queue(f"{name} all", exchange, routing_key="#"))
    sources = Sources(consumer)
    assert sources.queue_of(broker.deliver(name, "mails")) == f"{name} all"

    consumer.add_queue(Queue(f"{name} mails", exchange, routing_key="mails"))
    consumer.consume()

    assert sources.lasting == [f"{name} all", f"{name} mails"]
    assert sources.queue_of(broker.deliver(name, "mails")) is None
    assert sources.queue_of(broker.deliver(name, "others")) == f"{name} all"


def test_a_consumer_tag_says_it_as_over_amqp(broker: Broker, name: str) -> None:
    queues = [Queue(f"{name} {key}") for key in "ab"] + [Queue(f"{name} own", auto_delete=True)]
    consumer = broker.consume(*queues)
    sources = Sources(consumer)

    def message(tag: str) -> Any:
        return SimpleNamespace(delivery_info={"consumer_tag": tag, "routing_key": f"{name} a"})

    tags = consumer._active_tags
    assert sources.queue_of(message(tags[f"{name} b"])) == f"{name} b"
    assert sources.queue_of(message(tags[f"{name} own"])) is None
    assert sources.queue_of(message("another")) is None


def test_what_says_nothing_of_where_it_came_from_may_not_be_parked(
    broker: Broker, name: str
) -> None:
    sources = Sources(broker.consume(Queue(name)))

    assert sources.queue_of(SimpleNamespace(delivery_info=None, channel=broker.channel)) is None
