"""A stage as it travels from the driver to the executors: a flat description, with functions by name only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

from mpirdd.protocol.ids import NodeId, StageId
from mpirdd.protocol.value import Value
from mpirdd.protocol.values import dataclass


class ClosureId(NamedTuple):
    """A function that executors keep: a node's step (or reader, or shuffle read), a shuffle's write, a job's action."""

    kind: Literal["step", "write", "action"]
    of: int


VariableId = int | ClosureId
"""A broadcast variable of the program; or a large function, which travels like one."""


class Level(NamedTuple):
    """The place of a persisted node's partitions."""

    memory: bool = True
    disk: bool = False
    """With ``memory``: for partitions that do not fit in memory, or are evicted. Alone: for all."""
    encoded: bool = False
    """In memory as bytes, not as objects."""
    committed: bool = False
    """Each partition has a file of its own on disk, forced to the disk (fsync) and renamed when it is
    whole."""


class Output(NamedTuple):
    """The destination of a stage's records: the buckets of shuffle ``of``, or the action of job
    ``of``."""

    kind: Literal["map", "result"]
    of: int

    def closure(self) -> ClosureId:
        return ClosureId("write" if self.kind == "map" else "action", self.of)


class Inputs(Protocol):
    """The parent partitions of each partition of a narrow node. Small, picklable, pure."""

    def of(self, partition: int) -> tuple[tuple[int, int], ...]:
        """(place of the parent, partition of that parent), in the order of the step's arguments."""


@dataclass(frozen=True, slots=True)
class Pipe(Value):
    """A head (a source, a shuffle to read, or a narrow node over other pipes) and the steps behind it."""

    node: NodeId
    """The last node of the run: the pipe's records are that node's records."""
    kind: Literal["source", "shuffle", "narrow"]
    head: NodeId
    steps: tuple[NodeId, ...]
    """Nodes whose steps follow the head, in order; each takes the records of the one before."""
    inputs: Inputs | None
    """Narrow heads only: the partitions of ``parents`` that make a partition."""
    parents: tuple[NodeId, ...]
    """Narrow heads only: the pipes (by their ``node``) that it reads."""
    keep: bool
    """The node is persisted: look for its block first, and store one after computing it."""


@dataclass(frozen=True, slots=True)
class Stage(Value):
    """All that executors need for the tasks of a stage; the driver sends it once to each."""

    id: StageId
    label: str
    target: NodeId
    output: Output
    pipes: dict[NodeId, Pipe]

    def closures(self) -> Iterator[ClosureId]:
        """All functions that a task of this stage may call."""
        yield self.output.closure()
        for pipe in self.pipes.values():
            yield ClosureId("step", pipe.head)
            for step in pipe.steps:
                yield ClosureId("step", step)
