"""A job: what it still lacks, and in which order that can be made.

Planning a job looks at all its lineage back to what exists, so it is done once, and again when something was lost. In
between, the plan is worked off: of what waits for no shuffle, each output is looked at when something has ended, and
one that is complete releases what waited for it. Planning all of it at each event took 1.2 s for 300 shuffles in a
row; this takes 0.04 s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Sequence
from dataclasses import dataclass, field

from mpirdd.decisions.lineage import Node, Shuffled
from mpirdd.decisions.plan import Goal, Have, Need, missing, unwritten_maps
from mpirdd.words.ids import JobId, NodeId
from mpirdd.words.stage import Output


@dataclass(slots=True)
class Pending:
    """An output that a job lacks."""

    node: Node
    label: str
    waits: set[NodeId] = field(default_factory=set)
    """Shuffles whose map outputs come first."""
    followers: list[Output] = field(default_factory=list)
    """What waits for this one."""


@dataclass(slots=True)
class Job:
    id: JobId
    node: Node
    label: str
    undone: dict[int, None]
    """Partitions still wanted, in order."""
    pending: dict[Output, Pending] = field(default_factory=dict)
    """What the job lacked when it was last planned, less what has been completed since."""
    ready: dict[Output, None] = field(default_factory=dict)
    """The pending ones that wait for no shuffle."""
    asked: Sequence[int] = ()
    """The partitions that were wanted when it came."""
    stale: bool = True
    """The plan must be made anew: something was lost, or need not be computed after all."""

    @property
    def result(self) -> Output:
        return Output("result", self.id)

    def plan(
        self, have: Have, kept: Container[NodeId], under_way: Callable[[Output], Container[int]]
    ) -> dict[Output, Need]:
        """Find out what is pending, leaving alone what tasks are making already; what was found on the way."""
        self.stale = False
        self.pending = {self.result: Pending(self.node, self.label)}
        taken = under_way(self.result)
        goal = self.goal(self.result, [partition for partition in self.undone if partition not in taken])
        needs = {need.goal.output: need for need in missing(goal, have, kept, under_way)}
        for need in needs.values():
            for shuffle_id in need.unwritten:
                shuffle = need.nodes[shuffle_id]
                assert isinstance(shuffle, Shuffled)
                before = self.pending.setdefault(Output("map", shuffle_id), Pending(shuffle.from_node, shuffle.label))
                before.followers.append(need.goal.output)
            self.pending[need.goal.output].waits = set(need.unwritten)
        self.ready = {output: None for output, pending in self.pending.items() if not pending.waits}
        return needs

    def goal(self, output: Output, partitions: Iterable[int]) -> Goal:
        pending = self.pending[output]
        return Goal(pending.node, partitions, output, pending.label)

    def lacking(self, output: Output, have: Have) -> Collection[int]:
        """The partitions of a pending output that do not exist."""
        if output == self.result:
            return self.undone
        return unwritten_maps(output.of, self.pending[output].node.num_partitions, have)

    def release(self, output: Output) -> list[Output]:
        """The output is complete: what waits for nothing else now."""
        del self.ready[output]
        released = []
        for follower in self.pending.pop(output).followers:
            waits = self.pending[follower].waits
            waits.discard(output.of)
            if not waits:
                self.ready[follower] = None
                released.append(follower)
        return released

    def needs_maps(self, shuffle: NodeId, have: Have, kept: Container[NodeId]) -> bool:
        """Does the job need map outputs of the shuffle that do not exist, as things are now? Cost: a whole plan."""
        goal = Goal(self.node, list(self.undone), self.result, self.label)
        return any(shuffle in need.unwritten for need in missing(goal, have, kept))
