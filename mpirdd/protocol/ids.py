"""Names of things that cross ranks: small values that compare, hash and sort the same everywhere."""

from __future__ import annotations

from typing import Literal, NamedTuple

NodeId = int
"""A lineage node, unique within a Context; a shuffle has the id of its node."""
JobId = int
StageId = int
Rank = int
"""A world rank. It names an executor and never changes, even when others are lost."""
DRIVER: Rank = 0
"""The rank that runs the program and schedules."""


class BlockId(NamedTuple):
    """A piece of data that executors hold and the driver keeps account of.

    * ``rdd``: partition ``part``, persisted, of node ``of``;
    * ``map``: the buckets that map task ``part`` of shuffle ``of`` wrote;
    * ``in``: the records of all map tasks for reduce partition ``part`` of shuffle ``of``, in one place.
    """

    kind: Literal["rdd", "map", "in"]
    of: NodeId
    part: int
