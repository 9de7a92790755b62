"""A message that is published again is the one that came."""

from __future__ import annotations

from kombu import Connection

from celery_ratekit.worker.backlog.parcel import Parcel
from celery_ratekit.worker.backlog.republishing import publish


def test_a_message_that_is_published_again_lives_no_longer_than_before() -> None:
    properties = {"expiration": "60000", "priority": 3}
    parcel = Parcel("[]", "application/json", "utf-8", {"id": "a"}, properties, "", "")
    with Connection("memory://") as connection, connection.SimpleQueue("republished") as queue:
        publish(connection.Producer(auto_declare=False), "republished", parcel)
        message = queue.get(timeout=1)
        message.ack()

    assert message.properties["expiration"] == "60000"
    assert message.properties["priority"] == 3
    assert (message.headers["id"], message.content_type) == ("a", "application/json")
