"""Transformations of two RDDs whose records meet by key, beside loops that move both sides and fill a dict from one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.operations import Operation, Parts
from benchmarks.operations.functions import made, moved


def met(left: Parts, right: Parts) -> Iterator[tuple[list[Any], list[Any]]]:
    """The records of both sides with equal keys in the same partition."""
    return zip(moved(left, hash), moved(right, hash), strict=True)


def grouped(records: list[Any]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for key, value in records:
        if key in groups:
            groups[key].append(value)
        else:
            groups[key] = [value]
    return groups


def join(left: Parts, right: Parts) -> int:
    count = 0
    for mine, theirs in met(left, right):
        table = grouped(theirs)
        count += len([(key, (value, other)) for key, value in mine for other in table.get(key, ())])
    return count


def left_outer(left: Parts, right: Parts) -> int:
    count = 0
    for mine, theirs in met(left, right):
        table = grouped(theirs)
        count += len([(key, (value, other)) for key, value in mine for other in table.get(key, (None,))])
    return count


def right_outer(left: Parts, right: Parts) -> int:
    return left_outer(right, left)


def full_outer(left: Parts, right: Parts) -> int:
    count = 0
    for mine, theirs in met(left, right):
        table = grouped(theirs)
        result = [(key, (value, other)) for key, value in mine for other in table.get(key, (None,))]
        keys = {key for key, _ in mine}
        result += [(key, (None, other)) for key, others in table.items() if key not in keys for other in others]
        count += len(result)
    return count


def cogroup(left: Parts, right: Parts) -> int:
    count = 0
    for sides in met(left, right):
        groups: dict[Any, tuple[list[Any], list[Any]]] = {}
        for side, records in enumerate(sides):
            for key, value in records:
                if key not in groups:
                    groups[key] = ([], [])
                groups[key][side].append(value)
        count += len(list(groups.items()))
    return count


def subtract_by_key(left: Parts, right: Parts) -> int:
    count = 0
    for mine, theirs in met(left, right):
        keys = {key for key, _ in theirs}
        count += len([pair for pair in mine if pair[0] not in keys])
    return count


def as_keys(parts: Parts) -> Parts:
    return [[(x, None) for x in part] for part in parts]


def subtract(left: Parts, right: Parts) -> int:
    return subtract_by_key(as_keys(left), as_keys(right))


def intersection(left: Parts, right: Parts) -> int:
    count = 0
    once = [[(x, None) for x in set(part)] for part in left], [[(x, None) for x in set(part)] for part in right]
    for mine, theirs in met(*once):
        count += len({key for key, _ in mine} & {key for key, _ in theirs})
    return count


Sides = tuple[str, str]
PAIRS, VALUES = ("pairs", "table"), ("ints", "few ints")


def _operation(name: str, data: Sides, engine: Callable[[Any, Any], Any], loop: Callable[[Parts, Parts], int]) -> Operation:
    return Operation(name, data, lambda left, right: made(engine(left, right)), loop)


JOINED = (
    _operation("join", PAIRS, lambda left, right: left.join(right, 4), join),
    _operation("join, the smaller side first", ("table", "pairs"), lambda left, right: left.join(right, 4), join),
    _operation("leftOuterJoin", PAIRS, lambda left, right: left.leftOuterJoin(right, 4), left_outer),
    _operation("rightOuterJoin", PAIRS, lambda left, right: left.rightOuterJoin(right, 4), right_outer),
    _operation("fullOuterJoin", PAIRS, lambda left, right: left.fullOuterJoin(right, 4), full_outer),
    _operation("cogroup", PAIRS, lambda left, right: left.cogroup(right, 4), cogroup),
    _operation("groupWith", PAIRS, lambda left, right: left.groupWith(right), cogroup),
    _operation("subtractByKey", PAIRS, lambda left, right: left.subtractByKey(right, 4), subtract_by_key),
    _operation("subtract", VALUES, lambda left, right: left.subtract(right, 4), subtract),
    _operation("intersection", VALUES, lambda left, right: left.intersection(right), intersection),
)
