"""The lines on stderr about losses, slow tasks and failures after retries."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from mpirdd.observe.notices import of_slow_task
from mpirdd.protocol.errors import Failure, TaskError
from mpirdd.scheduler.events import TaskSlow

FAILURE = Failure("ValueError: seventeen", "Traceback", 3, "c", "map at job.py:12", 7, None)


@pytest.mark.parametrize(("usual_s", "text"), [(2.0, "2.0 s"), (0.1, "0.1 s"), (0.0004, "less than 0.1 s")])
def test_a_slow_task_is_told_beside_what_its_siblings_took(usual_s: float, text: str) -> None:
    slow = TaskSlow(2, 1, "sum at job.py:3", 5, 12.3, usual_s, None)
    assert of_slow_task(slow, {2: "b"}) == (
        "mpirdd: task 5 of sum at job.py:3 has been running for 12.3 s on rank 2 (host b), "
        f"where its siblings took {text}\n")


def test_an_error_after_retries_says_where_the_task_was_tried() -> None:
    error = TaskError(replace(FAILURE, tried=("rank 1 (a)", "rank 2 (b)", "rank 3 (c)")))
    assert str(error).splitlines() == [
        "ValueError: seventeen",
        "  in map at job.py:12, partition 7, on rank 3 (c)",
        "  tried 3 times, on rank 1 (a), rank 2 (b), rank 3 (c); this is the last failure",
        "Traceback",
    ]
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_an_error_without_retries_says_nothing_of_them() -> None:
    assert "tried" not in str(TaskError(FAILURE))
