"""Names of things that cross ranks: small values that compare, hash and sort the same everywhere."""

from __future__ import annotations

from typing import Literal, NamedTuple

NodeId = int
"""A lineage node, unique within a Context; a shuffle goes by the id of its node."""
JobId = int
StageId = int
Rank = int
"""A world rank. Executors go by theirs; it never changes, whatever is lost."""


class BlockId(NamedTuple):
    """A piece of data that executors hold and the driver keeps account of.

    * ``rdd``: partition ``part``, persisted, of node ``of``;
    * ``map``: the buckets that map task ``part`` of shuffle ``of`` wrote;
    * ``in``: what all map tasks wrote for reduce partition ``part`` of shuffle ``of``, gathered in one place.
    """

    kind: Literal["rdd", "map", "in"]
    of: NodeId
    part: int
