"""Sends 25 orders to a partner that allows ten a minute, and shows when each was placed.

    python examples/django/run.py [--seconds SECONDS]

It starts a private Redis and a Celery worker, and stops both at the end.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.home import Home
from celery_ratekit.embedded.process import ServerProcess

PROJECT = Path(__file__).parent
ORDERS = 25
GRACE_SECONDS = 10.0


@contextmanager
def running_worker() -> Iterator[None]:
    """A worker of the project, which stops at the end with what it has begun."""
    home = Home()
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "celery", "-A", "shop", "worker", "--concurrency", "4"]
    worker = ServerProcess(
        home,
        [*command, "--without-gossip", "--without-mingle", "--without-heartbeat"],
        log=home.path / "worker.log",
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        yield
    finally:
        if worker.alive:
            os.kill(worker.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while worker.alive and time.monotonic() < deadline:
            time.sleep(0.05)
        worker.kill()
        home.close()


def send_orders(seconds: float) -> None:
    """Sends the orders and prints each as it is placed, for at most so many seconds."""
    import django  # noqa: PLC0415 - the address of Redis is known only now

    django.setup()
    from shop.tasks import place_order, send_mail  # noqa: PLC0415 - needs Django

    deadline = time.monotonic() + seconds
    orders = [place_order.delay(number).id for number in range(1, ORDERS + 1)]
    mail = send_mail.delay(1).id
    print(f"{datetime.now().astimezone():%H:%M:%S} sent {ORDERS} orders, and a mail behind them")
    show("mail", result_of(send_mail, mail, deadline))
    for number, order in enumerate(orders, 1):
        moment = result_of(place_order, order, deadline)
        if moment is None:
            print(f"{ORDERS + 1 - number} orders wait for the next minutes")
            break
        show(f"order {number}", moment)


def result_of(task: Any, task_id: str, deadline: float) -> float | None:
    """What a call returned; None where it has not until a moment of the monotonic clock."""
    # Result objects would say good-bye to their Redis when they go, which may be after it has.
    while (known := task.backend.get_task_meta(task_id))["status"] != "SUCCESS":
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)
    moment: float = known["result"]
    return moment


def show(what: str, moment: float | None) -> None:
    """Prints when something was done."""
    if moment is not None:
        print(f"{datetime.fromtimestamp(moment).astimezone():%H:%M:%S.%f} {what}", flush=True)


def main() -> None:
    """Runs the project until all orders are placed, or for so long as is asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=150.0, help="how long to wait for them")
    seconds = parser.parse_args().seconds
    sys.path.insert(0, str(PROJECT))
    with EmbeddedRedis() as server:
        os.environ.update(SHOP_REDIS_URL=server.celery_url, DJANGO_SETTINGS_MODULE="shop.settings")
        with running_worker():
            send_orders(seconds)


if __name__ == "__main__":
    main()
