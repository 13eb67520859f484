"""A stage as it travels from the driver to the executors: a flat description, with functions by name only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from mpirdd.words.ids import NodeId, StageId


class ClosureId(NamedTuple):
    """A function that executors keep: a node's step (or reader, or gather), a shuffle's scatter, a job's action."""

    kind: Literal["step", "scatter", "action"]
    of: int


class Level(NamedTuple):
    """Where the partitions of a persisted node are kept."""

    memory: bool = True
    disk: bool = False
    """Beside ``memory``: what does not fit there, or is pushed out of it. Alone: everything."""
    encoded: bool = False
    """In memory as bytes, not as objects."""
    committed: bool = False
    """On disk in a file of the partition's own, forced to the disk (fsync) and renamed when it is whole."""


class Output(NamedTuple):
    """Where a stage's records go: into the buckets of shuffle ``of``, or through the action of job ``of``."""

    kind: Literal["map", "result"]
    of: int

    def closure(self) -> ClosureId:
        return ClosureId("scatter" if self.kind == "map" else "action", self.of)


class Inputs(Protocol):
    """Which parent partitions a partition of a narrow node is made from. Small, picklable, pure."""

    def of(self, partition: int) -> tuple[tuple[int, int], ...]:
        """(place of the parent, partition of that parent), in the order in which the step wants them."""


@dataclass(frozen=True, slots=True)
class Pipe:
    """A head (a source, a shuffle to read, or a narrow node over other pipes) and the steps behind it."""

    node: NodeId
    """The last node of the run: the pipe's records are that node's records."""
    kind: Literal["source", "shuffle", "narrow"]
    head: NodeId
    steps: tuple[NodeId, ...]
    """Nodes whose steps follow the head, in order; each takes the records of the one before."""
    inputs: Inputs | None
    """Narrow heads only: which partitions of ``parents`` make a partition."""
    parents: tuple[NodeId, ...]
    """Narrow heads only: the pipes (by their ``node``) that it reads."""
    keep: bool
    """The node is persisted: look for its block first, and store one when it had to be computed."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What executors need to run tasks of a stage; sent once to each of them."""

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
