"""Lines of event logs for tests, made by hand."""

from __future__ import annotations

from typing import Any

from mpirdd.observe.run_state import RunState

Line = dict[str, Any]


class Log:
    """Puts a run together line by line. Times are those of the tasks, one after the other."""

    def __init__(self, executors: int = 4, **run: Any) -> None:
        self.lines: list[Line] = []
        self._t = 0.0
        self._stages = self._jobs = 0
        self.add("run", version=1, app="job", program=["/home/ann/job.py"], mode="memory", ranks=executors + 1, **run)
        for rank in range(1, executors + 1):
            self.add("executor", executor=rank, host="node1", pid=100 + rank, memory=1 << 30)

    def add(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, "t": self._t, **fields})

    def node(self, node: int, label: str, kind: str = "narrow", parents: tuple[int, ...] = (), partitions: int = 8,
             **fields: Any) -> None:
        self.add("node", node=node, label=label, kind=kind, parents=list(parents), partitions=partitions, **fields)

    def stage(self, label: str, seconds: list[float], *, kind: str = "result", of: int = 0, nodes: tuple[int, ...] = (),
              shuffles: tuple[int, ...] = (), each: Line | None = None, **of_task: Line) -> None:
        """A job of one stage, with a task for each of ``seconds``. ``each``: what all tasks have; ``of_task``: what
        single ones have, as ``task3={...}``."""
        self._jobs += 1
        self._stages += 1
        stage, job = self._stages, self._jobs
        self.add("job", job=job, label=label, node=max(nodes, default=0), partitions=len(seconds), group=None)
        self.add("stage", stage=stage, label=label, kind=kind, of=of or job, tasks=len(seconds), jobs=[job],
                 target=max(nodes, default=0), nodes=list(nodes), shuffles=list(shuffles), keeps=[], closure_bytes=100)
        for partition, took in enumerate(seconds):
            task = {"stage": stage, "partition": partition, "executor": 1, "start": self._t, "seconds": took}
            self.add("task", **{**task, **(each or {}), **of_task.get(f"task{partition}", {})})
        self._t += max(seconds)
        self.add("stage_end", stage=stage, done=len(seconds), failed=0, seconds=max(seconds))
        self.add("job_end", job=job, status="SUCCEEDED", seconds=max(seconds), driver_cpu_s=0.01)

    def state(self) -> RunState:
        state = RunState()
        for line in self.lines:
            state.take(line)
        return state
