"""The loss of an executor.

Its blocks and tasks are lost with it, and the group is broken: every exchange under way is void, and later exchanges are among
the living, in the next *epoch*. Tasks on survivors go on. A lost task starts again where all its input is; if nobody has the
input, the task is given up and planned anew, with everything else that is missing.

If a spare waits, it takes the place of the lost executor in the next epoch. It gets free tasks at once, and planned ones later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from mpirdd.protocol.errors import Failure
from mpirdd.protocol.ids import BlockId, Rank
from mpirdd.protocol.stage import Output
from mpirdd.scheduler.events import Command, ExecutorLost, NewEpoch, Recovering, SpareGone, SpareJoins, SpareStarted
from mpirdd.scheduler.state import SchedulerState, nobody_left
from mpirdd.scheduler.task_set import TaskSet

_UNREPORTED_S = 0.02
"""Executors report finished tasks every 5 ms, so a task that began within this time may be unknown to the driver."""
_DOUBT = 2
"""If several tasks may have run on a lost executor, this many more losses count as proof."""


class LostExecutors:
    """Handles the loss of executors.

    Args:
        most_losses: a task fails its job once this many executors have died while it ran there, because it probably kills them;
            0 for no limit.
    """

    def __init__(self, state: SchedulerState, *, most_losses: int) -> None:
        self._state = state
        self._most_losses = most_losses

    def executor_lost(self, event: ExecutorLost) -> list[Command]:
        state, lost = self._state, event.executor
        if state.spares.lost(lost):
            return [SpareGone(lost, len(state.spares), event.why)]
        if lost not in state.task_sets.load:
            return []
        deadly = self._deadly_task(event)
        state.spares.vacate(lost, state.host_of(lost), state.places.pop(lost))
        state.executors.remove(lost)
        state.began.pop(lost, None)
        state.silent.discard(lost)
        state.epoch += 1
        gone, copied = state.locations.lose(lost)
        blocks: dict[str, int] = dict(Counter(block.kind for block in gone))
        tasks, joining = state.task_sets.lose(lost), self._fill_places()
        recovering = Recovering(
            lost, blocks, tasks, len(state.executors), event.why, joining[-1].executor if joining else 0, len(state.spares))
        if not state.executors:
            return [recovering, *(state.fail(*deadly) if deadly else ()), *self._end_all()]
        for block in copied:
            state.exchanges.note_uncopied(block)
        self._count_tries(gone)
        epoch, *void = self._new_epoch()
        commands = [*joining, epoch, recovering, *void]
        if deadly:  # before another executor gets the task
            commands += state.fail(*deadly)
        for task_set in state.task_sets:
            if state.task_sets.get(task_set.stage.id):
                commands += self._lose_tasks(task_set, lost)
        return commands + self._share_with(joining)

    def spare_started(self, event: SpareStarted) -> list[Command]:
        """The spare waits; it joins at once if executors were lost before it started."""
        self._state.spares.started(event.executor, event.host)
        joining = self._fill_places()
        if not joining:
            return []
        self._state.epoch += 1
        return [*joining, *self._new_epoch(), *self._share_with(joining)]

    def _fill_places(self) -> list[SpareJoins]:
        """Let spares take the places of lost executors, while there are spares."""
        state = self._state
        joining = []
        while found := state.spares.take_place():
            spare, host, instead, place = found
            state.places[spare] = place
            state.executors.append(spare)
            state.executors.sort(key=state.places.__getitem__)
            state.hosts[spare] = host
            state.task_sets.join(spare)
            state.silent.add(spare)
            joining.append(SpareJoins(spare, instead))
        return joining

    def _new_epoch(self) -> list[Command]:
        """The group has changed: exchanges under way are void, and all jobs are planned anew."""
        state = self._state
        state.plan_anew()
        state.move_on = True
        return [NewEpoch(state.epoch, tuple(state.executors)), *state.exchanges.void(state.task_sets.load)]

    def _share_with(self, joining: Iterable[SpareJoins]) -> list[Command]:
        """Give new executors their part of the free tasks."""
        state, ranks = self._state, [each.executor for each in joining]
        commands: list[Command] = []
        for task_set in state.task_sets if ranks else ():
            if task_set.free:
                commands += state.task_sets.hand_out(task_set, ranks)
        return commands

    def _deadly_task(self, event: ExecutorLost) -> tuple[TaskSet, Failure] | None:
        """Count a death for the task that ran on the lost executor; return the task if it has too many.

        On the driver's host the task is known. An executor on another host runs its tasks in order, and tells the driver when it
        begins a suspect. So at the first loss its task is known only if it was the only one there; at the second loss it is
        known, if the message came. A spare that has said nothing since it joined may have been dead before, and has run no
        suspect.
        """
        state, lost = self._state, event.executor
        if not self._most_losses or lost in state.silent:
            return None
        began = state.began.get(lost)
        running = state.task_sets.of_attempt(*began, lost) if began else None
        if event.ran and (seen := self._seen(lost, *event.ran)):
            suspects, sure = seen, len(seen) == 1
        elif began and running:
            suspects, sure = [(running, began[1])], True
        else:
            suspects = [(task_set, partition) for task_set in state.task_sets
                        for partition in _may_have_run(task_set, lost)]
            sure = state.task_sets.load[lost] == 1
        deadly = None
        for task_set, partition in suspects:
            output, label = task_set.stage.output, task_set.stage.label
            of_output = state.deaths.setdefault(output, {})
            deaths = of_output[partition] = of_output.get(partition, 0) + 1
            if self._most_losses <= deaths - (0 if sure else _DOUBT):
                summary = (f"ClusterError: {deaths} executors died while this task ran there; of the last: {event.why}. Does the "
                           "task end its process, or take all the memory there is? See the lines above, and the logs of the "
                           "hosts.")
                deadly = task_set, Failure(summary, "", lost, state.host_of(lost), label, partition, None)
        return deadly

    def _seen(self, executor: Rank, label: str, partition: int) -> list[tuple[TaskSet, int]]:
        """The tasks of this partition that the executor had, of stages whose label begins so (a very long one is cut)."""
        return [(task_set, partition) for task_set in self._state.task_sets
                if task_set.stage.label.startswith(label) and partition in task_set.of_executor(executor)]

    def _count_tries(self, gone: Iterable[BlockId]) -> None:
        """Lost map outputs are written again if they are needed: count a try. (Barrier stages count their own.)"""
        state = self._state
        for block in gone:
            output = Output("map", block.of)
            if block.kind == "map" and not any(
                    task_set.plan.barrier for task_set in state.task_sets.of_output(output).values()):
                state.count_try(output, block.part)

    def _lose_tasks(self, task_set: TaskSet, lost: Rank) -> list[Command]:
        state = self._state
        if task_set.plan.barrier:  # even if its tasks live: a task that waits at the barrier cannot join the new group
            return state.restart_barrier(task_set)
        if lost not in task_set.load:
            return []
        for partition in task_set.of_executor(lost):
            if task_set.alone(partition):
                state.count_try(task_set.stage.output, partition)
        again = state.task_sets.lose_tasks(task_set, lost, state.locations)
        return again + state.go_on(task_set, *(state.executors if task_set.free else ()))

    def _end_all(self) -> list[Command]:
        state = self._state
        commands: list[Command] = [state.task_sets.close(task_set) for task_set in state.task_sets]
        commands += [nobody_left(job) for job in state.jobs.values()]
        state.jobs.clear()
        state.failures.clear()
        state.exchanges.void(())
        return commands


def _may_have_run(task_set: TaskSet, lost: Rank) -> list[int]:
    """The tasks of the set that may have run on the executor when it died: the first in its queue, and those that it may have
    reached since its last report."""
    queued = task_set.of_executor(lost)
    quick = int(_UNREPORTED_S * task_set.finished / task_set.seconds) if task_set.seconds else len(queued)
    return queued[: 1 + quick]
