"""The judge of the chaos runs finds what must not be, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chaos.book import Book, Line
from benchmarks.chaos.broker_trace import Traces, read_traces
from benchmarks.chaos.verdict import Verdict, judge

PER_SECOND = 10
QUEUE = "chaos"


def line(word: str, more: str = "-", *, worker: str = "w0", at: float = 1.0, pid: int = 1) -> Line:
    return Line(at, worker, pid, word, "-" if word.startswith("kill:") else "a", more)


def begin(at: float = 1.0, worker: str = "w0") -> Line:
    return line("begin", f"{int(at * 1e6)} u0", worker=worker, at=at)


def verdict(*lines: Line, traces: Traces | None = None) -> Verdict:
    return judge(lines, ["a"], traces, PER_SECOND)


def test_a_task_that_ran_once_is_fine() -> None:
    assert verdict(line("got", "message"), begin(), line("over", "message")).faults == []


def test_a_task_that_never_ran_is_lost() -> None:
    assert verdict(line("got", "message"), line("over", "message")).lost == ["a"]


@pytest.mark.parametrize("word", ["kill:worker", "kill:parent"])
def test_a_second_run_is_explained_where_the_first_was_in_flight(word: str) -> None:
    first = [line("got", "claim"), begin(1)]
    again = begin(2, "w1")

    assert verdict(*first, line(word, "step"), again).faults == []
    assert verdict(*first, line(word, "step", worker="w1"), again).unexplained == ["a"]
    assert verdict(*first, again).unexplained == ["a"]


def test_what_was_over_before_a_kill_may_not_run_again() -> None:
    lines = [line("got", "claim"), begin(1), line("over", "claim"), line("kill:worker", at=2)]

    assert verdict(*lines, begin(3), traces=Traces(QUEUE)).unexplained == ["a"]


def test_one_kill_explains_one_more_run_only() -> None:
    lines = [line("got", "claim"), begin(1), line("kill:worker"), begin(2), begin(3)]

    assert verdict(*lines).unexplained == ["a"]


def test_a_killed_child_explains_its_own_task_alone() -> None:
    lines = [line("got", "message"), begin(1)]

    assert verdict(*lines, line("kill:child", pid=1), begin(2)).faults == []
    assert verdict(*lines, line("kill:child", pid=2), begin(2)).unexplained == ["a"]


def test_a_grant_too_early_is_found() -> None:
    lines = [line("got", "claim"), begin(1), line("kill:worker"), begin(1.09)]

    assert verdict(*lines).beyond["u0"] == pytest.approx(1.1)
    assert len(verdict(*lines).faults) == 1


def test_a_grant_counts_once_where_the_pool_ran_its_task_again_by_itself() -> None:
    first = [line("got", "claim"), line("handed"), begin(1), line("kill:child", pid=1)]
    again = begin(1)._replace(pid=2)

    by_pool = verdict(*first, again)
    assert (by_pool.faults, by_pool.by_pool) == ([], 1)
    # The gate handed it over once more, under a grant that was used.
    assert verdict(*first, line("handed"), again).beyond["u0"] == 2


def test_only_what_nobody_noted_is_put_down_to_the_broker(tmp_path: Path) -> None:
    push = command("LPUSH", QUEUE, message("a"))
    pop = command("RPOP", QUEUE)
    note = command("HSET", "unacked", "tag", message("a"))
    acknowledge = command("HDEL", "unacked", "tag")

    taken = verdict(traces=traces_of(tmp_path, push, pop))
    assert (taken.lost, taken.not_noted) == ([], ["a"])
    assert verdict(traces=traces_of(tmp_path, push, pop, note)).lost == ["a"]
    assert verdict(traces=traces_of(tmp_path, push, pop, note, acknowledge)).lost == ["a"]
    # Delivered again, and taken from the queue by somebody who did not note it.
    again = traces_of(tmp_path, push, pop, note, acknowledge, push, pop)
    assert verdict(traces=again).not_noted == ["a"]
    # It is gone from the queue, but nobody took it.
    assert verdict(traces=traces_of(tmp_path, push)).lost == ["a"]


def test_what_redis_was_writing_when_it_was_killed_is_left_out(tmp_path: Path) -> None:
    whole = command("LPUSH", QUEUE, message("a"))

    assert traces_of(tmp_path, whole, command("RPOP", QUEUE)[:-4]).not_noted == 0


def test_a_book_is_read_as_it_was_written(tmp_path: Path) -> None:
    book = Book(tmp_path, "w0")
    book.note("begin", "a", "1 u0")
    book.note("kill:child", more="while a body runs", worker="w1", pid=7)
    first, second = book.lines()
    book.close()

    assert first[1:] == ("w0", first.pid, "begin", "a", "1 u0")
    assert second[1:] == ("w1", 7, "kill:child", "-", "while a body runs")


def command(*words: str) -> bytes:
    parts = [f"${len(word)}\r\n{word}\r\n" for word in words]
    return f"*{len(words)}\r\n{''.join(parts)}".encode()


def message(task_id: str) -> str:
    return f'{{"properties": {{"correlation_id": "{task_id}"}}}}'


def traces_of(folder: Path, *commands: bytes) -> Traces:
    path = folder / "append-only"
    path.write_bytes(b"".join(commands))
    return read_traces([path], QUEUE)
