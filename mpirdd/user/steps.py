"""The functions that run on executors: one for each kind of narrow step and action.

They are module-level so that they travel by name, with only the user's own function by value inside a
``partial``. A step takes (partition, records) and gives records, lazily; ``map``, ``filter`` and ``chain`` do
the looping in C. An action takes (partition, records) and gives the partition's result.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from itertools import chain, islice
from typing import Any
from uuid import uuid4

from mpirdd.decisions.partitioners import sample_keys
from mpirdd.roles.current import current_task
from mpirdd.storage import outputs, picklefile, sequencefile, text
from mpirdd.storage.combine import NOTHING, Combiner, blame, combine
from mpirdd.storage.commands import pipe_lines
from mpirdd.storage.grouping import Values, cogroup
from mpirdd.storage.joining import join
from mpirdd.storage.sorting import sort
from mpirdd.storage.workspace import Workspace

Function = Callable[..., Any]

# --- sources: (split) -> records --------------------------------------------------------------------------------------


def read_lines(split: text.TextSplit, *, use_unicode: bool, errors: str) -> Iterator[Any]:
    """The lines of a text split; what reading them takes is counted where the task's other costs are."""
    task = current_task()
    return text.read_lines(split, use_unicode=use_unicode, errors=errors, costs=task.workspace.costs if task else None)


def read_lines_at(split: text.TextSplit, *, errors: str) -> Iterator[tuple[int, str]]:
    """Those with their byte offsets."""
    task = current_task()
    return text.read_lines_at(split, errors=errors, costs=task.workspace.costs if task else None)


# --- narrow steps -----------------------------------------------------------------------------------------------------


def map_records(function: Function, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    source = _watched(records)
    return _made_from(source, map(function, source), function)


def flat_map(function: Function, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    source = _watched(records)
    return _made_from(source, chain.from_iterable(map(function, source)), function)


def filter_records(function: Function, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    source = _watched(records)
    return _made_from(source, filter(function, source), function)


class _Watched(chain):  # type: ignore[type-arg]
    """Records of which is known whether somebody has asked beyond the last: ``over`` is not empty then.

    A StopIteration that escapes from the user's function looks like the end of its source to ``map``, and would silently drop
    the record and the rest of the partition. Then nobody has asked the source beyond its last record. Costs a record some 5 ns.
    """

    over: list[bool]


def _watched(records: Iterable[Any]) -> _Watched:
    if isinstance(records, _Watched):  # of the step before
        return records
    over: list[bool] = []
    watched = _Watched(records, _note_end(over))
    watched.over = over
    return watched


def _made_from(source: _Watched, made: Iterable[Any], function: Function) -> _Watched:
    over: list[bool] = []
    watched = _Watched(made, _check_end(source, function), _note_end(over))
    watched.over = over
    return watched


def _note_end(over: list[bool]) -> Iterator[Any]:
    over.append(True)
    yield from ()


def _check_end(source: _Watched, function: Function) -> Iterator[Any]:
    if not source.over:
        name = getattr(function, "__qualname__", repr(function))
        raise RuntimeError(
            f"{name} raised StopIteration, which would have ended the partition before its end; "
            "give next() a default, or catch it")
    yield from ()


def map_partition(function: Function, partition: int, records: Iterable[Any]) -> Iterable[Any]:
    return _iterable(function(iter(records)), function)


def map_partition_with_index(function: Function, partition: int, records: Iterable[Any]) -> Iterable[Any]:
    return _iterable(function(partition, iter(records)), function)


def map_values(function: Function, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    record = NOTHING
    try:
        for record in records:
            key, value = record
            yield key, function(value)
    except (TypeError, ValueError) as error:
        _blame_shape(record, "mapValues", error)
        raise


def flat_map_values(function: Function, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    record = NOTHING
    try:
        for record in records:
            key, value = record
            for item in function(value):
                yield key, item
    except (TypeError, ValueError) as error:
        _blame_shape(record, "flatMapValues", error)
        raise


def key_by(function: Function, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    return ((function(record), record) for record in records)


def pick(place: int, operation: str, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    """Item ``place`` of each record (keys, values)."""
    return (pair(record, operation)[place] for record in records)


def as_list(partition: int, records: Iterable[Any]) -> Iterator[list[Any]]:
    """The whole partition in memory, as that is what was asked for."""
    yield list(records)


def pipe_records(
    command: str, environment: dict[str, str], check_code: bool, partition: int, records: Iterable[Any]
) -> Iterator[str]:
    return pipe_lines(command, environment, check_code, records)


def concatenate(partition: int, *parts: Iterable[Any]) -> Iterator[Any]:
    return chain(*parts)


def sort_records(key: Function, reverse: bool, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    return sort(records, key, reverse, workspace())


def cogroup_parts(operation: str, partition: int, *parts: Iterable[Any]) -> Iterator[tuple[Any, tuple[Values, ...]]]:
    """(key, (values in the first part, values in the second, ...)), keys in the order in which they come up while
    memory lasts."""
    return cogroup(operation, parts, workspace())


def join_parts(
    operation: str, all_of_left: bool, all_of_right: bool, partition: int, left: Iterable[Any], right: Iterable[Any]
) -> Iterator[tuple[Any, tuple[Any, Any]]]:
    return join(operation, left, right, workspace(), all_of_left=all_of_left, all_of_right=all_of_right)


def check_pairs(operation: str, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    return (pair(record, operation) for record in records)


def workspace() -> Workspace:
    """Of the running task."""
    task = current_task()
    return Workspace.unbounded() if task is None else task.workspace


def identity(value: Any) -> Any:
    return value


def key_of(function: Function, record: Any) -> Any:
    """``function`` of a pair's key."""
    return function(pair(record, "sortByKey")[0])


def distinct_pair(record: Any) -> tuple[Any, None]:
    return record, None


def pair(record: Any, operation: str) -> Any:
    """The record, if it is a pair; a RecordError that says what it is otherwise."""
    try:
        _, _ = record
    except (TypeError, ValueError) as error:
        blame(record, operation, error)
        raise
    return record


def _blame_shape(record: Any, operation: str, error: Exception) -> None:
    """Raise RecordError from ``error`` if the record is no pair; what the user's function raises is its own affair."""
    if record is not NOTHING:
        pair(record, operation)


def _iterable(result: Any, function: Function) -> Iterable[Any]:
    if not hasattr(result, "__iter__"):
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(f"{name} must return an iterable of records, not {type(result).__name__} {result!r}")
    return result  # type: ignore[no-any-return]


# --- actions ----------------------------------------------------------------------------------------------------------


def collect_records(partition: int, records: Iterable[Any]) -> list[Any]:
    return list(records)


def count_records(partition: int, records: Iterable[Any]) -> int:
    return len(records) if isinstance(records, list) else sum(1 for _ in records)


def take_records(number: int, partition: int, records: Iterable[Any]) -> list[Any]:
    return list(islice(records, number))


def reduce_records(function: Function, partition: int, records: Iterable[Any]) -> list[Any]:
    """The reduced value in a list, which is empty when there are no records."""
    iterator = iter(records)
    for result in iterator:
        for record in iterator:
            result = function(result, record)
        return [result]
    return []


def fold_records(zero: Any, function: Function, partition: int, records: Iterable[Any]) -> Any:
    result = deepcopy(zero)  # the function may change it, and other tasks on this executor start from it too
    for record in records:
        result = function(result, record)
    return result


def sum_records(partition: int, records: Iterable[Any]) -> Any:
    return sum(records)


def larger(key: Function | None, first: Any, second: Any) -> Any:
    return max(first, second, key=key)


def smaller(key: Function | None, first: Any, second: Any) -> Any:
    return min(first, second, key=key)


def sample_sort_keys(key: Function, size: int, partition: int, records: Iterable[Any]) -> tuple[int, list[Any]]:
    """How many records, and the sort keys of some of them."""
    count, sample = sample_keys(records, size, seed=partition)
    return count, list(map(key, sample))


def write_text(
    compression: outputs.Compression | None, where: tuple[str, str], partition: int, records: Iterable[Any]
) -> str:
    return outputs.write_text_part(*where, partition, uuid4().hex, records, compression=compression)


def write_pickles(batch_size: int, where: tuple[str, str], partition: int, records: Iterable[Any]) -> str:
    return outputs.write_part(*where, partition, uuid4().hex, picklefile.write_pickles(records, batch_size))


def write_sequence(
    key_class: str, value_class: str, codec: str | None, where: tuple[str, str], partition: int, records: Iterable[Any]
) -> str:
    form = sequencefile.format_of(key_class, value_class, codec)
    return outputs.write_part(*where, partition, uuid4().hex, sequencefile.write_records(records, form))


def run_for_each(function: Function, partition: int, records: Iterable[Any]) -> None:
    for record in records:
        function(record)


def run_for_partition(function: Function, partition: int, records: Iterable[Any]) -> None:
    result = function(iter(records))
    if hasattr(result, "__next__"):  # a generator function runs only when it is iterated
        for _ in result:
            pass


def largest(number: int, key: Function | None, partition: int, records: Iterable[Any]) -> list[Any]:
    return heapq.nlargest(number, records, key)


def smallest(number: int, key: Function | None, partition: int, records: Iterable[Any]) -> list[Any]:
    return heapq.nsmallest(number, records, key)


def count_each(operation: str, partition: int, records: Iterable[Any]) -> dict[Any, int]:
    counts: dict[Any, int] = defaultdict(int)
    record = NOTHING
    try:
        for record in records:
            counts[record] += 1
    except TypeError as error:
        if record is not NOTHING:
            blame((record, None), operation, error)
        raise
    return counts


def last_by_key(partition: int, records: Iterable[Any]) -> dict[Any, Any]:
    return combine(Combiner(None, keep_second, keep_second, "collectAsMap"), records)


def combine_records(combiner: Combiner, partition: int, records: Iterable[Any]) -> dict[Any, Any]:
    return combine(combiner, records)


def values_of(key: Any, partition: int, records: Iterable[Any]) -> list[Any]:
    return [value for found, value in records if found == key]


# --- parts of combiners -----------------------------------------------------------------------------------------------


def new_list(value: Any) -> list[Any]:
    return [value]


def append(values: list[Any], value: Any) -> list[Any]:
    values.append(value)
    return values


def extend(values: list[Any], more: list[Any]) -> list[Any]:
    values.extend(more)
    return values


def keep_first(first: Any, second: Any) -> Any:
    return first


def keep_second(first: Any, second: Any) -> Any:
    return second


def start_from(zero: Any, function: Function, value: Any) -> Any:
    """A new combiner: ``function(copy of zero, value)``."""
    return function(deepcopy(zero), value)

