"""Measures tasks: the growth of the rank's costs while a task runs.

Every task is timed. The costs of a single task are computed only if it took long enough (``detail_s``), because that takes some
10 us; the driver gets the sums of the others. The rest is as short as possible, because it counts for tasks that do nothing.
"""

from __future__ import annotations

from time import perf_counter, process_time

from mpirdd.executor.process import HostedProcess
from mpirdd.store.costs import Costs
from mpirdd.store.memory import resident_bytes
from mpirdd.store.task_memory import TaskMemory


class Meter:
    """For one task; made when it begins."""

    __slots__ = ("_before", "_costs", "_counted_s", "_cpu_s", "_detail_s", "began")

    def __init__(self, costs: Costs, memory: TaskMemory, detail_s: float, process: HostedProcess) -> None:
        """``detail_s``: shorter tasks are not reported alone."""
        self._costs, self._detail_s = costs, detail_s
        if before_s := process.take_collecting_s():  # since the last task, such as during imports
            costs.note("gc_s", before_s)
        memory.peak_bytes = 0
        self._before = costs.sums()
        self._cpu_s = -1.0 if detail_s else process_time()  # 0.3 us, too much for many short tasks
        self._counted_s = costs.counted_s
        self.began = perf_counter()

    def end(
        self, memory: TaskMemory, process: HostedProcess, attempt: int
    ) -> tuple[float, dict[str, float] | None]:
        """The task has ended: return its run time in seconds, and its costs; None for these if it was short.

        Args:
            attempt: the number of earlier attempts at it.
        """
        seconds = perf_counter() - self.began
        costs, before = self._costs, self._before
        costs.add_task(seconds, self._counted_s)
        if seconds < self._detail_s:
            return seconds, None
        costs.note("gc_s", process.take_collecting_s())
        figures = {name: value - before.get(name, 0) for name, value in costs.sums().items()}
        if self._cpu_s >= 0:
            figures["cpu_s"] = process_time() - self._cpu_s
        figures.update(start=self.began, attempt=attempt, peak_memory=memory.peak_bytes, rss=resident_bytes())
        return seconds, figures
