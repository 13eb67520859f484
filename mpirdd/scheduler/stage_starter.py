"""Advances a job: starts the stages, exchanges and copies that can start now, or ends the job."""

from __future__ import annotations

from collections import deque

from mpirdd.protocol.errors import Failure
from mpirdd.protocol.ids import BlockId, Rank
from mpirdd.scheduler.barriers import in_the_way
from mpirdd.scheduler.events import Command, DropBlocks
from mpirdd.scheduler.job_state import JobState
from mpirdd.scheduler.partition_set import PartitionSet
from mpirdd.scheduler.placement import lacking, places_of
from mpirdd.scheduler.planner import plan_stage
from mpirdd.scheduler.stage_plan import StagePlan
from mpirdd.scheduler.state import SchedulerState


class StageStarter:
    def __init__(self, state: SchedulerState) -> None:
        self._state = state

    def advance(self, job: JobState) -> list[Command]:
        """Start whatever can start for the job, or end it. Cost: the outputs that wait for no shuffle, unless the job is
        stale."""
        state = self._state
        if job.id not in state.jobs:
            return []  # it ended together with another job
        if not job.undone:
            return state.end_job(job.id, None)
        plans = job.plan(state.locations, state.kept, state.task_sets.partitions) if job.stale else {}
        commands: list[Command] = []
        ready = deque(job.ready)
        while ready and job.id in state.jobs:
            output = ready.popleft()
            lack = job.lacking(output, state.locations)
            if not lack:
                ready.extend(job.release(output))
                state.forget_failures(output)
                continue
            left = state.task_sets.partitions(output).others(lack)
            if not left:
                continue
            plan = plans.pop(output, None) or plan_stage(job.target(output, left), state.locations, state.kept)
            if plan.barrier and not self._barrier_waits():
                plan, drops = self._all_to_barrier(job, plan)
                commands += drops
            if plan.unwritten:  # data that existed when the job was planned is gone
                plans = job.plan(state.locations, state.kept, state.task_sets.partitions)
                ready = deque(job.ready)
                continue
            commands += self._start(plan)
        return commands

    def _start(self, plan: StagePlan) -> list[Command]:
        """Start the stage, or what it needs first: an exchange, or copies of blocks that its tasks read."""
        state = self._state
        plan = plan.without(state.task_sets.making(plan))
        if not plan.tasks:
            return []
        if plan.barrier:
            if len(plan.tasks) > len(state.executors):
                return self._refuse_barrier(plan)
            if self._barrier_waits():
                return []
        places = places_of(plan, state.locations, state.executors)
        if plan.absent:
            return state.exchanges.bring(plan, places, state.executors) if state.can_exchange() else []
        plan = plan if plan.barrier else plan.of_first_makers()
        copies = lacking(plan, places, state.locations)
        if not copies:
            return state.task_sets.begin(plan, places)
        return state.exchanges.copy(copies, state.executors) if state.can_exchange() else []

    def _barrier_waits(self) -> bool:
        """Is anything under way? A barrier stage starts only when nothing else is."""
        state = self._state
        return state.exchanges.under_way() or any(task_set.running for task_set in state.task_sets)

    def _all_to_barrier(self, job: JobState, plan: StagePlan) -> tuple[StagePlan, list[Command]]:
        """If only a part of the barrier stage is missing, plan all its tasks, and drop the existing part."""
        locations, output, unwanted = self._state.locations, plan.target.output, set[BlockId]()
        if output.kind == "map":
            unwanted.update(BlockId("map", output.of, index) for index in locations.indexes("map", output.of))
        else:
            job.undone = PartitionSet(job.node.num_partitions, job.asked)
        drops: dict[Rank, list[BlockId]] = {}
        while True:
            for block in sorted(unwanted):
                for executor in list(locations.holders(block)):
                    locations.discard(block, executor)
                    drops.setdefault(executor, []).append(block)
            plan = plan_stage(job.target(output, job.lacking(output, locations)), locations, self._state.kept)
            unwanted = in_the_way(plan, locations)
            if not unwanted:
                return plan, [DropBlocks(executor, tuple(blocks)) for executor, blocks in drops.items()]

    def _refuse_barrier(self, plan: StagePlan) -> list[Command]:
        """Fail the jobs of a barrier stage that can never start all its tasks at once."""
        state = self._state
        summary = (f"a barrier stage needs an executor for each of its {len(plan.tasks)} tasks, but there are "
                   f"{len(state.executors)}. Run with -n {len(plan.tasks) + 1}, or use fewer partitions.")
        failure = Failure(f"UsageError: {summary}", "", 0, "driver", plan.target.label, 0, None)
        return [command for job in state.jobs_wanting(plan.target.output) for command in state.end_job(job, failure)]
