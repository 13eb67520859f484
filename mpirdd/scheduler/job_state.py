"""A job: the outputs that it lacks, and the order in which they can be made.

Planning a job visits all its lineage back to existing data. So the scheduler plans it once, and again after a loss. In between it
works off the plan: when something ends, it looks at each output that waits for no shuffle, and a complete output releases those
that waited for it. Planning everything at each event took 1.2 s for 300 shuffles in a row; this takes 0.04 s.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from mpirdd.protocol.ids import JobId, NodeId
from mpirdd.protocol.stage import Output
from mpirdd.protocol.values import dataclass, field
from mpirdd.scheduler.lineage import Node, Shuffled
from mpirdd.scheduler.locations import BlockLocations
from mpirdd.scheduler.partition_set import PartitionSet
from mpirdd.scheduler.planner import missing, unwritten_maps
from mpirdd.scheduler.stage_plan import StagePlan, Target


@dataclass(slots=True)
class PendingOutput:
    """An output that a job lacks."""

    node: Node
    label: str
    waits: set[NodeId] = field(default_factory=set)
    """Shuffles whose map outputs must exist first."""
    followers: list[Output] = field(default_factory=list)
    """The outputs that wait for this one."""


@dataclass(slots=True)
class JobState:
    id: JobId
    node: Node
    label: str
    undone: PartitionSet
    """Partitions still wanted."""
    pending: dict[Output, PendingOutput] = field(default_factory=dict)
    """The outputs that the job lacked when it was last planned, less those completed since."""
    ready: dict[Output, None] = field(default_factory=dict)
    """The pending outputs that wait for no shuffle."""
    asked: Sequence[int] = ()
    """The partitions that the job asked for."""
    stale: bool = True
    """The job must be planned anew: something was lost, or need not be computed after all."""

    @property
    def result(self) -> Output:
        return Output("result", self.id)

    def plan(
        self,
        locations: BlockLocations,
        kept: Container[NodeId],
        under_way: Callable[[Output], PartitionSet],
    ) -> dict[Output, StagePlan]:
        """Plan the job: find its pending outputs, leaving out partitions that tasks already compute. Return the plans."""
        self.stale = False
        self.pending = {self.result: PendingOutput(self.node, self.label)}
        target = self.target(self.result, under_way(self.result).others(self.undone.members()))
        plans = {plan.target.output: plan for plan in missing(target, locations, kept, under_way)}
        for plan in plans.values():
            for shuffle_id in plan.unwritten:
                shuffle = plan.nodes[shuffle_id]
                assert isinstance(shuffle, Shuffled)
                before = self.pending.setdefault(
                    Output("map", shuffle_id), PendingOutput(shuffle.from_node, shuffle.label))
                before.followers.append(plan.target.output)
            self.pending[plan.target.output].waits = set(plan.unwritten)
        self.ready = {output: None for output, pending in self.pending.items() if not pending.waits}
        return plans

    def target(self, output: Output, partitions: Sequence[int]) -> Target:
        pending = self.pending[output]
        return Target(pending.node, partitions, output, pending.label)

    def lacking(self, output: Output, locations: BlockLocations) -> Sequence[int]:
        """The partitions of a pending output that do not exist yet."""
        if output == self.result:
            return self.undone.members()
        return unwritten_maps(output.of, self.pending[output].node.num_partitions, locations)

    def release(self, output: Output) -> list[Output]:
        """The output is complete: return the outputs that waited only for it."""
        del self.ready[output]
        released = []
        for follower in self.pending.pop(output).followers:
            waits = self.pending[follower].waits
            waits.discard(output.of)
            if not waits:
                self.ready[follower] = None
                released.append(follower)
        return released

    def needs_maps(self, shuffle: NodeId, locations: BlockLocations, kept: Container[NodeId]) -> bool:
        """Does the job, as things are now, need map outputs of the shuffle that do not exist? Cost: a whole plan."""
        target = Target(self.node, self.undone.members(), self.result, self.label)
        return any(shuffle in plan.unwritten for plan in missing(target, locations, kept))
