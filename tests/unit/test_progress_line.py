"""The progress line of runs without a terminal: once in a while, and never for short ones."""

from __future__ import annotations

from mpirdd.observe.bus import Bus
from mpirdd.observe.history import History
from mpirdd.observe.progress_line import ProgressLine
from mpirdd.observe.run_events import ExecutorJoined, ExecutorLost, TasksFinished


class Stages(History):
    """Says what the test wants."""

    shown: dict[int, tuple[str, int, int]]

    def open_stages(self) -> dict[int, tuple[str, int, int]]:
        return self.shown


def test_a_line_tells_stages_tasks_and_executors_once_in_a_while() -> None:
    history, lines, now, bus = Stages(), [], [100.0], Bus()
    ProgressLine(history, 60, lines.append, lambda: now[0]).subscribe_to(bus)
    for rank in (1, 2):
        bus.emit(ExecutorJoined(rank, "node", 1, 1))
    history.shown = {3: ("map at job.py:7", 10, 400)}
    for second in range(200):
        now[0] = 100.0 + second
        bus.emit(TasksFinished(3, 1, (second,)))
        if second == 100:
            history.shown = {3: ("map at job.py:7", 350, 400), 4: ("count at job.py:9", 0, 1)}
            bus.emit(ExecutorLost(1, "node", "it died", {}, 0, 1))
    assert lines == [
        "mpirdd: after 1 min 0 s: stage 3: map at job.py:7, 10 of 400 tasks, 2 executors\n",
        "mpirdd: after 2 min 0 s: stage 3: map at job.py:7, 350 of 400 tasks (340 since the last line); "
        "stage 4: count at job.py:9, 0 of 1 tasks, 1 executor\n",
        "mpirdd: after 3 min 0 s: stage 3: map at job.py:7, 350 of 400 tasks (0 since the last line); "
        "stage 4: count at job.py:9, 0 of 1 tasks (0 since the last line), 1 executor\n",
    ]


def test_of_many_stages_the_latest_are_shown_and_of_none_nothing() -> None:
    history, lines, now, bus = Stages(), [], [0.0], Bus()
    ProgressLine(history, 1, lines.append, lambda: now[0]).subscribe_to(bus)
    history.shown = dict.fromkeys(range(9), ("x", 0, 1))
    now[0] = 1.0
    bus.emit(TasksFinished(1, 1, (0,)))
    assert lines == ["mpirdd: after 1.0 s: stage 6: x, 0 of 1 tasks; stage 7: x, 0 of 1 tasks; stage 8: x, 0 of 1 tasks; "
                     "6 more stages, 0 executors\n"]
    history.shown = {}
    now[0] = 3.0
    bus.emit(TasksFinished(1, 1, (0,)))
    assert len(lines) == 1
