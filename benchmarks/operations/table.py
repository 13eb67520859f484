"""All operations, in the order in which they are measured."""

from __future__ import annotations

from benchmarks.operations import Operation
from benchmarks.operations.actions import ACTIONS
from benchmarks.operations.joined import JOINED
from benchmarks.operations.narrow import NARROW
from benchmarks.operations.wide import WIDE

OPERATIONS = (*NARROW, *ACTIONS, *WIDE, *JOINED)
BY_NAME = {operation.name: operation for operation in OPERATIONS}


def chosen(only: str) -> list[Operation]:
    """Those that ``only`` names, separated by semicolons: operations (all their records) or names in full; all if it
    is empty."""
    if not only:
        return list(OPERATIONS)
    wanted = [name.strip() for name in only.split(";")]
    return [operation for operation in OPERATIONS if operation.name in wanted or operation.method in wanted]
