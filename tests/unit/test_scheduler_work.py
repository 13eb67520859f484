"""How the scheduler's work grows: counted in lines of its code that run, not in time."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from lineages import Lineage
from simulator import finished

from mpirdd.scheduler import scheduler as module
from mpirdd.scheduler.events import (
    Command,
    ExchangeFinished,
    ExecutorLost,
    JobEnded,
    JobSubmitted,
    StartExchange,
    StartTasks,
)
from mpirdd.scheduler.lineage import Node
from mpirdd.scheduler.scheduler import Scheduler

FOLDER = str(Path(module.__file__).parent)
EXECUTORS = (1, 2)


def lines_of(act: Callable[[], object]) -> int:
    """How many lines of the scheduler's code run, each turn of a loop counted, those in one line too."""
    counted = 0

    def count(frame: FrameType, what: str, argument: object) -> Any:
        nonlocal counted
        counted += what == "line"
        return count

    def enter(frame: FrameType, what: str, argument: object) -> Any:
        return count if frame.f_code.co_filename.startswith(FOLDER) else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        act()
    finally:
        sys.settrace(before)
    return counted


def run(
    scheduler: Scheduler, commands: list[Command], living: tuple[int, ...] = EXECUTORS, *, most: int = sys.maxsize
) -> int:
    """Answer commands until there are none, or so many tasks have run, and leave the others; return how many jobs have
    ended."""
    waiting, ended = deque(commands), 0
    while waiting and most > 0:
        command = waiting.popleft()
        if isinstance(command, StartTasks):
            for event in finished(command):
                waiting.extend(scheduler.handle(event))
                most -= 1
        elif isinstance(command, StartExchange):
            for rank in living:
                waiting.extend(scheduler.handle(ExchangeFinished(rank, command.exchange)))
        elif isinstance(command, JobEnded):
            assert command.failure is None
            ended += 1
    commands[:] = [command for command in waiting if isinstance(command, StartTasks) and command.executor in living]
    return ended


def chain(lineage: Lineage, shuffles: int) -> Node:
    node = lineage.source(2)
    for _ in range(shuffles):
        node = lineage.shuffle(node, 2)
    return node


def in_one_job(shuffles: int) -> None:
    """As one job over all of them."""
    node = chain(Lineage(), shuffles)
    scheduler = Scheduler(EXECUTORS)
    assert run(scheduler, scheduler.handle(JobSubmitted(1, node, range(2), ""))) == 1


def job_by_job(shuffles: int) -> None:
    """As a loop of a program that runs a job over each."""
    lineage, scheduler = Lineage(), Scheduler(EXECUTORS)
    node = lineage.source(2)
    for job in range(shuffles):
        node = lineage.shuffle(node, 2)
        assert run(scheduler, scheduler.handle(JobSubmitted(job, node, range(2), ""))) == 1


def after_a_loss(shuffles: int) -> None:
    """As one job, of which an executor is lost half way: half of all that was made is made again."""
    node = chain(Lineage(), shuffles)
    scheduler = Scheduler(EXECUTORS)
    commands = scheduler.handle(JobSubmitted(1, node, range(2), ""))
    run(scheduler, commands, most=shuffles)
    left = [command for command in commands if isinstance(command, StartTasks) and command.executor == 1]
    assert run(scheduler, [*left, *scheduler.handle(ExecutorLost(2))], living=(1,)) == 1


@pytest.mark.parametrize("program", [in_one_job, job_by_job, after_a_loss])
def test_a_thousand_shuffles_in_a_row_cost_no_more_each_than_a_hundred(program: Callable[[int], None]) -> None:
    few, many = (lines_of(lambda shuffles=shuffles: program(shuffles)) / shuffles for shuffles in (100, 1_000))  # type: ignore[misc]
    assert many < 1.05 * few


@pytest.mark.parametrize("executors", [10, 100])
def test_a_task_costs_few_lines(executors: int) -> None:
    """Also where many executors share many tasks."""
    node, scheduler = Lineage().source(100 * executors), Scheduler(range(1, executors + 1))

    def program() -> None:
        run(scheduler, scheduler.handle(JobSubmitted(1, node, range(100 * executors), "")))

    assert lines_of(program) < 100 * executors * 60
