"""Private servers for tests and trials: started by a program, gone with it.

They listen on a unix socket in a directory that only their user can enter, or on 127.0.0.1 with a
password. None of them is meant to hold data that matters.
"""

from __future__ import annotations

from .rabbitmq import EmbeddedRabbitMQ
from .redis_cluster import EmbeddedCluster
from .redis_sentinel import EmbeddedSentinel
from .redis_server import EmbeddedRedis

__all__ = ["EmbeddedCluster", "EmbeddedRabbitMQ", "EmbeddedRedis", "EmbeddedSentinel"]
