"""Each documented line of throttled queues' commands, as people type it, on a real deployment."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.journal import not_yet
from support.lines import Running, run, start
from support.program import BIN
from support.throttled import documented_environment, wait_for_stats, whole_environment

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import wait_for
from celery_ratekit.throttle import CeleryThrottle

pytestmark = [pytest.mark.redis, pytest.mark.workers]

HOSTILE = "\x1b[31m[bold]evil[/]\u202e" + "x" * 150


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tcp=True) as server:
        yield server


@pytest.fixture
def environment(server: EmbeddedRedis) -> dict[str, str]:
    return whole_environment(server)


@pytest.fixture(autouse=True)
def ours(server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in documented_environment(server).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def throttle(ours: None) -> Iterator[CeleryThrottle]:
    throttle = CeleryThrottle()
    yield throttle
    # Results say good-bye to their Redis when they go, which may be long after it has.
    throttle.app.backend.remove_pending_result = lambda result: result
    throttle.app.close()


@contextmanager
def going_on(line: str, environment: dict[str, str]) -> Iterator[Running]:
    """A line that runs meanwhile, and ends in order."""
    running = start(line, environment)
    try:
        yield running
        assert running.end(signal.SIGTERM) == 0
    finally:
        running.kill()


def wait_for_queues(throttle: CeleryThrottle, *queues: str) -> None:
    """Until the workers consume these of Celery's queues, and no others."""

    def check() -> None:
        info = throttle.get_worker_info()
        consumed = sorted(name for one in info.values() for name in one.queue_sizes)
        not_yet(consumed != sorted(queues), f"{consumed}")

    wait_for("workers that consume the queues", check, timeout=60)


def table(shown: str) -> dict[str, list[str]]:
    """The rows of a table by their first cells."""
    return {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.strip()}


@pytest.mark.parametrize(
    ("line", "queues"),
    [
        ("celery-throttle worker", ["celery", "throttle_rate_limited"]),
        ("celery-throttle worker --queues=my_queue", ["my_queue"]),
        ("celery-throttle worker --queues=celery", ["celery"]),
        ("celery-throttle dedicated-worker", ["throttle_rate_limited"]),
        (
            "celery-throttle --target-queue=my_queue --queue-prefix=my_app dedicated-worker",
            ["my_queue"],
        ),
        (
            "celery-ratekit --target-queue=a worker --queues a,b --concurrency 2 --loglevel info",
            ["a", "b"],
        ),
    ],
)
def test_a_workers_line_starts_one_that_consumes_what_it_says(
    line: str, queues: list[str], throttle: CeleryThrottle, environment: dict[str, str]
) -> None:
    with going_on(line, environment):
        wait_for_queues(throttle, *queues)


def test_a_workers_options_reach_it(throttle: CeleryThrottle, environment: dict[str, str]) -> None:
    line = "celery-ratekit worker --concurrency 2 --prefetch-multiplier 3 --loglevel debug"
    with going_on(line, environment) as running:
        running.read_until("DEBUG")
        wait_for_queues(throttle, "celery", "throttle_rate_limited")
        (stats,) = throttle.app.control.inspect().stats().values()

    assert (stats["pool"]["max-concurrency"], stats["prefetch_count"]) == (2, 6)


def test_the_lines_that_manage_queues_do_so_and_a_worker_serves_them(
    throttle: CeleryThrottle, environment: dict[str, str]
) -> None:
    created = run('celery-throttle queue create "10/1m"', environment)
    name = created.stdout.strip()
    with going_on("celery-throttle worker", environment):
        wait_for_queues(throttle, "celery", "throttle_rate_limited")
        tested = run(f"celery-throttle queue test {name} 5", environment)
        wait_for_stats(throttle, name, lambda one: one.tasks_completed == 1)
        listed = run("celery-throttle queue list", environment)
        shown = run(f"celery-throttle queue show {name}", environment)
        status = run("celery-throttle worker-status", environment)
        detailed = run("celery-throttle worker-status --detailed", environment)
    cleaned = run("celery-throttle queue cleanup-empty", environment)

    assert (created.returncode, created.stderr) == (0, "")
    assert tested.stdout == "1 sent now, 4 wait\n"
    rate, state, *counts = table(listed.stdout)[name]
    assert (rate, state, sum(map(int, counts))) == ("10/1m", "active", 5)
    # One more starts each 6 s.
    assert 1 <= int(table(shown.stdout)["waiting"][0]) <= 4
    assert len(table(status.stdout)) == 2
    assert int(table(detailed.stdout)["throttle_rate_limited"][0]) <= 4
    assert cleaned.stdout == "0 removed\n"
    assert [one.returncode for one in (listed, shown, status, detailed)] == [0, 0, 0, 0]


def test_the_forerunner_s_lines_manage_queues(
    throttle: CeleryThrottle, environment: dict[str, str]
) -> None:
    lines = [f'celery-throttle queue create "{rate}"' for rate in ("10/60s", "1/300s", "50/10s")]
    name, *others = [run(line, environment).stdout.strip() for line in lines]
    updated = run(f'celery-throttle queue update {name} "20/60s"', environment)
    off = run(f"celery-throttle queue deactivate {name}", environment)
    tested = run(f"celery-throttle queue test {name} 10", environment)
    listed = table(run("celery-throttle queue list", environment).stdout)
    refused = run(f"celery-throttle queue remove {name}", environment)
    removed = run(f"celery-throttle queue remove {name} --yes", environment)

    assert (updated.stdout, off.returncode) == (f"{name}: its rate is 20/60s\n", 0)
    assert tested.stdout == "0 sent now, 10 wait\n"
    assert listed[name] == ["20/60s", "inactive", "10", "0", "0", "0"]
    assert [listed[other][:2] for other in others] == [["1/300s", "active"], ["50/10s", "active"]]
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "and the 10 tasks that wait in it?" in refused.stderr
    assert removed.stdout == f"{name}: it is removed\n"
    assert {one.name for one in throttle.list_queues()} == set(others)


@pytest.mark.parametrize(
    "line",
    [
        "celery-throttle dispatcher",
        "celery-throttle dispatcher --interval 0.1",
        "celery-throttle --redis-host={host} --redis-port={port} dispatcher",
    ],
)
def test_a_dispatchers_line_starts_one_that_sends_what_waits(
    line: str, throttle: CeleryThrottle, server: EmbeddedRedis, environment: dict[str, str]
) -> None:
    parts = urlsplit(server.url)
    if "{port}" in line:  # Then the environment does not say it.
        del environment["CELERY_THROTTLE_REDIS_HOST"], environment["CELERY_THROTTLE_REDIS_PORT"]
    queue = throttle.create_queue("50/s")
    throttle.submit_multiple_tasks(queue, [{"n": n} for n in range(20)])
    target, line = throttle.config.target_queue, line.format(host=parts.hostname, port=parts.port)
    with going_on(line, environment), server.client() as client:
        wait_for("all in the broker", lambda: not_yet(int(client.llen(target)) < 20), timeout=30)
    assert throttle.get_queue_stats(queue).tasks_waiting == 0


@pytest.mark.parametrize("seconds", ["", " 5.0", " --interval 0.5"])
def test_the_monitors_line_goes_on_until_it_is_interrupted(
    seconds: str, throttle: CeleryThrottle, environment: dict[str, str]
) -> None:
    throttle.create_queue("5/1m", "stripe")
    running = start(f"celery-throttle monitor{seconds}", environment)
    try:
        read = running.read_until("stripe")
        assert running.end() == 0
    finally:
        running.kill()
    assert "queues: 1 active of 1" in read
    assert "connected" in read


def test_a_single_report_of_the_monitor_tells_all_of_a_queue(
    throttle: CeleryThrottle, environment: dict[str, str]
) -> None:
    throttle.create_queue("6/1m:3", "stripe")
    throttle.submit_multiple_tasks("stripe", [{"n": n} for n in range(5)])
    wide = run("celery-throttle monitor --once", {**environment, "COLUMNS": "140"})
    (queue,) = json.loads(run("celery-throttle monitor --once --json", environment).stdout)[
        "queues"
    ]

    row = table(wide.stdout)["stripe"]
    assert (row[:5], row[6]) == (["6/1m:3", "2", "3", "0", "0"], "0.1/s")
    told = queue["queue"]
    assert (told["waiting"], told["processing"], told["completed"]) == (2, 3, 0)
    assert (told["capacity"], told["refill_per_second"], told["active"]) == (3, 0.1, True)
    assert 0 < told["next_token_seconds"] <= 10


def test_without_an_app_all_other_commands_are_about_the_throttle_s(
    throttle: CeleryThrottle, environment: dict[str, str]
) -> None:
    throttle.create_queue("1/1h", "stripe")
    throttle.submit_multiple_tasks("stripe", [{"n": n} for n in range(4)])
    listed = run("celery-throttle backlog list", environment)
    peeked = run("celery-throttle backlog peek throttle_rate_limited --json", environment)
    (first, *_) = json.loads(peeked.stdout)
    explained = run(f"celery-throttle explain {first['task_id']}", environment)
    checked = run("celery-throttle doctor", environment)

    assert table(listed.stdout)["throttle_rate_limited"][0] == "3"
    assert "waits for the limit 'throttle/stripe'" in explained.stdout
    assert (checked.returncode, "see that a dispatcher runs" in checked.stdout) == (0, True)


def test_purged_tasks_of_a_queue_have_failed_for_its_counts(
    throttle: CeleryThrottle, environment: dict[str, str]
) -> None:
    for name in ("stripe", "webhooks"):
        throttle.create_queue("1/1h", name)
        throttle.submit_multiple_tasks(name, [{"n": n} for n in range(4)])
    purge = "celery-throttle backlog purge throttle_rate_limited --yes"
    purged = run(f"{purge} --limit throttle/stripe", environment)
    listed = table(run("celery-throttle queue list", environment).stdout)

    assert purged.stdout == "3 deleted\n"
    assert listed["stripe"][2:] == ["0", "1", "0", "3"]
    assert listed["webhooks"][2:] == ["3", "1", "0", "0"]


def test_celerys_own_program_serves_the_queues_without_an_app(
    throttle: CeleryThrottle, environment: dict[str, str]
) -> None:
    throttle.create_queue("5/1m", "stripe")
    shown = subprocess.run(
        [str(BIN / "celery"), "ratekit", "queue", "list"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert table(shown.stdout)["stripe"][0] == "5/1m"


def test_hostile_names_of_queues_neither_colour_nor_break_what_is_shown(
    throttle: CeleryThrottle, environment: dict[str, str]
) -> None:
    printable = "[bold red]evil[/] " + "x" * 150
    throttle.create_queue("5/1m", printable)
    refused = run(f"celery-throttle queue create 5/1m --name '{HOSTILE}'", environment)
    unknown = run(f"celery-throttle queue show '{HOSTILE}'", environment)
    listed = run("celery-throttle queue list", environment).stdout
    shown = run(f"celery-throttle queue show '{printable}'", environment).stdout
    seen = run("celery-throttle monitor --once", {**environment, "COLUMNS": "80"}).stdout

    assert (refused.returncode, unknown.returncode) == (1, 1)
    for text in (refused.stderr, unknown.stderr, listed, shown, seen):
        assert not set(text) & {"\x1b", "\u202e"}
    assert printable in listed
    assert printable in shown
    assert "[bold red]" in seen
    assert max(map(len, seen.splitlines())) <= 80


@pytest.mark.parametrize(
    "line",
    [
        "queue list",
        "queue create 5/s",
        "queue test stripe 5",
        "queue remove stripe --yes",
        "worker-status",
        "worker-status --json",
        "monitor --once",
    ],
)
def test_without_a_redis_each_line_says_so_and_ends_with_1(
    line: str, server: EmbeddedRedis, environment: dict[str, str]
) -> None:
    server.kill()
    ended = run(f"celery-throttle {line}", environment)

    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "Error" in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "expected a JSON file as --config"),
        ("[]", "expected an object of fields"),
        ('{"queue_prefx": "a"}', "did you mean 'queue_prefix'?"),
        ('{"redis": "localhost"}', "expected the settings of CeleryThrottleConfig"),
        ('{"queue_prefix": "no spaces"}', "letters, digits"),
    ],
)
def test_a_wrong_configuration_file_is_told_with_what_is_wrong(
    text: str, words: str, environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "throttle.json"
    path.write_text(text)
    ended = run(f"celery-throttle --config={path} --redis-db=1 queue list", environment)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert words in ended.stderr


def test_a_configuration_file_says_which_queues_are_meant_and_options_come_before_it(
    throttle: CeleryThrottle, environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "throttle.json"
    path.write_text(json.dumps({"queue_prefix": "mine", "redis": {"db": 3}}))
    run(f"celery-throttle --config={path} queue create 1/s --name one", environment)
    run(f"celery-throttle --config={path} --redis-db=4 queue create 1/s --name two", environment)

    for database, name in ((3, "one"), (4, "two")):
        other = CeleryThrottle(queue_prefix="mine", redis={"db": database})
        assert [one.name for one in other.list_queues()] == [name]
    assert throttle.list_queues() == []
