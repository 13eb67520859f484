"""All stages under way, and the load of each executor.

Executors get free tasks as they finish others. Guided self-scheduling: each time a share of the rest, so many small tasks cost
few messages and a few large ones still balance.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import count

from mpirdd.protocol.ids import BlockId, JobId, Rank, StageId
from mpirdd.protocol.stage import Output, Stage
from mpirdd.scheduler.events import CloseStage, Command, StartTasks, StopStage
from mpirdd.scheduler.locations import BlockLocations
from mpirdd.scheduler.partition_set import NO_PARTITIONS, PartitionSet
from mpirdd.scheduler.placement import ANYWHERE, FreeTasks, Places, able, preferred
from mpirdd.scheduler.stage_plan import StagePlan
from mpirdd.scheduler.task_set import TaskSet


class TaskSets:
    """All task sets of one scheduler.

    Args:
        jobs_wanting: the jobs that need an output now, oldest first.
        tried: by output and task, the number of earlier attempts, for tasks that had any.
        deaths: by output, the tasks that ran, or may have run, on executors when these died.
        hosts: of the executors.
    """

    def __init__(
        self,
        executors: Iterable[Rank],
        jobs_wanting: Callable[[Output], tuple[JobId, ...]],
        tried: Mapping[Output, Mapping[int, int]],
        deaths: Mapping[Output, Container[int]],
        hosts: Mapping[Rank, str],
    ) -> None:
        self.load: dict[Rank, int] = dict.fromkeys(executors, 0)
        """Attempts under way on each living executor."""
        self.idle: dict[Rank, None] = dict.fromkeys(self.load)
        """The executors without attempts, the longest idle first."""
        self._jobs_wanting, self._tried, self._deaths = jobs_wanting, tried, deaths
        self._hosts = hosts
        self._task_sets: dict[StageId, TaskSet] = {}
        self._outputs: dict[Output, dict[StageId, TaskSet]] = {}
        self._ids = count(1)

    def __iter__(self) -> Iterator[TaskSet]:
        """The task sets at this moment; they may end during the iteration."""
        return iter(list(self._task_sets.values()))

    # --- questions --------------------------------------------------------------------------------

    def get(self, stage: StageId | None) -> TaskSet | None:
        return self._task_sets.get(stage) if stage is not None else None

    def of_attempt(self, stage: StageId, partition: int, executor: Rank) -> TaskSet | None:
        """The task set of an attempt under way; None if the attempt is over, or never was."""
        task_set = self._task_sets.get(stage)
        if task_set is not None and (task_set.running.get(partition) == executor or task_set.runs(partition, executor)):
            return task_set
        return None

    def of_output(self, output: Output) -> Mapping[StageId, TaskSet]:
        """An output may have several task sets under way, each with its own partitions."""
        return self._outputs.get(output, {})

    def partitions(self, output: Output) -> PartitionSet:
        """The partitions of the output that tasks compute, or will compute when executors get them."""
        first, *others = [task_set.left for task_set in self.of_output(output).values()] or [NO_PARTITIONS]
        return first.union(others) if others else first

    def making(self, plan: StagePlan) -> set[BlockId]:
        """The kept partitions that tasks under way will make. Cost: the tasks of all stages that keep a node that the plan keeps
        too."""
        kept = plan.tasks.rule.kept
        return {block for task_set in self._task_sets.values() if not kept.isdisjoint(task_set.plan.tasks.rule.kept)
                for partition in task_set.left for block in task_set.plan.tasks[partition].makes}

    def at_barrier(self) -> bool:
        return any(task_set.plan.barrier for task_set in self._task_sets.values())

    # --- what happens to them ---------------------------------------------------------------------

    def begin(self, plan: StagePlan, places: Places) -> list[Command]:
        """Begin a stage: send each task that has a place there, and hand out the free ones."""
        target = plan.target
        stage = Stage(next(self._ids), target.label, target.node.id, target.output, plan.pipes)
        placed: dict[Rank, list[int]] = {}
        for partition in plan.tasks if places else ():
            placed.setdefault(places[partition], []).append(partition)
        free = placed.pop(ANYWHERE, []) if places else plan.tasks.partitions
        task_set = TaskSet(stage, plan, FreeTasks(free, preferred(plan)))
        if plan.barrier:
            task_set.barrier = tuple([places[partition] for partition in plan.tasks])
        self._task_sets[stage.id] = task_set
        self._outputs.setdefault(stage.output, {})[stage.id] = task_set
        commands: list[Command] = [
            self.send(task_set, executor, partitions) for executor, partitions in placed.items()]
        return commands + self.hand_out(task_set, self.load)

    def hand_out(self, task_set: TaskSet, executors: Iterable[Rank]) -> list[Command]:
        """Give free tasks to those executors that have no task of the set: first to each executor the tasks whose data is on its
        host."""
        commands: list[Command] = []
        free = task_set.free
        for only_near in (True, False) if free.choosy else (False,):
            for executor in executors:
                if not free:
                    break
                if executor not in task_set.load:
                    share = task_set.share(len(self.load))
                    if tasks := free.take(share, self._hosts.get(executor, ""), only_near=only_near):
                        commands.append(self.send(task_set, executor, tasks))
        return commands

    def send(self, task_set: TaskSet, executor: Rank, tasks: Sequence[int]) -> Command:
        partitions = tuple(tasks)
        task_set.send(partitions, executor)
        self.load[executor] += len(partitions)
        self.idle.pop(executor, None)
        stage, plan = task_set.stage, task_set.plan
        tried, suspects = self._tried.get(stage.output, {}), self._deaths.get(stage.output, ())
        return StartTasks(
            executor, stage, plan.nodes, partitions, plan.tasks.rule.splits(partitions),
            {partition: tried[partition] for partition in partitions if partition in tried} if tried else {},
            tuple([partition for partition in partitions if partition in suspects]) if suspects else (),
            task_set.total, self._jobs_wanting(stage.output), task_set.barrier)

    def settle(self, task_set: TaskSet, partition: int, executor: Rank) -> tuple[Rank, ...]:
        """An attempt is over; return the executor of the other attempt at the same task, if there is one."""
        self._unload(executor, 1)
        return task_set.settle(partition, executor)

    def finish(self, task_set: TaskSet, partition: int, executor: Rank, seconds: float) -> tuple[Rank, ...]:
        """An attempt has finished the task; return the executor of the other attempt, if there is one."""
        self._unload(executor, 1)
        return task_set.finish(partition, executor, seconds)

    def cancel(self, task_set: TaskSet) -> list[Command]:
        commands: list[Command] = [
            StopStage(executor, task_set.stage.id) for executor in task_set.load if executor in self.load]
        return [*commands, self.close(task_set)]

    def close(self, task_set: TaskSet) -> Command:
        del self._task_sets[task_set.stage.id]
        of_output = self._outputs[task_set.stage.output]
        del of_output[task_set.stage.id]
        if not of_output:
            del self._outputs[task_set.stage.output]
        for executor, tasks in task_set.load.items():
            self._unload(executor, tasks)
        return CloseStage(task_set.stage.id)

    def _unload(self, executor: Rank, tasks: int) -> None:
        if executor in self.load:
            left = self.load[executor] = self.load[executor] - tasks
            if not left:
                self.idle[executor] = None

    # --- losses -----------------------------------------------------------------------------------

    def join(self, executor: Rank) -> None:
        """A spare may get tasks from now on."""
        self.load[executor] = 0
        self.idle[executor] = None

    def lose(self, executor: Rank) -> int:
        """A lost executor gets no more tasks; return the number of tasks under way there."""
        self.idle.pop(executor, None)
        return self.load.pop(executor)

    def lose_tasks(self, task_set: TaskSet, lost: Rank, locations: BlockLocations) -> list[Command]:
        """Send the tasks that ran only on the lost executor elsewhere.

        Tasks that read only splits are free again. Others go to an executor that holds their input. If there is none, they leave
        the set, so a new plan includes them at once.
        """
        again: dict[Rank, list[int]] = {}
        for partition in task_set.of_executor(lost):
            inputs = task_set.plan.tasks[partition]
            if task_set.settle(partition, lost):
                continue  # the other attempt goes on
            if not inputs.reads:
                task_set.free.append(partition)
            elif holders := list(able(inputs, locations, ())):
                again.setdefault(holders[partition % len(holders)], []).append(partition)
            else:
                task_set.total -= 1
                task_set.left.discard(partition)
        return [self.send(task_set, executor, partitions) for executor, partitions in again.items()]
