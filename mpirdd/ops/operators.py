"""The functions that run on executors: one for each kind of narrow step and action.

They are module-level, so they travel by name. Only the user's own function travels by value, inside a ``partial``. A step takes
(partition, records) and returns records, lazily; ``map``, ``filter`` and ``chain`` loop in C. An action takes (partition,
records) and returns the partition's result. Every executor imports this module at its first task, so each function imports the
modules that only it needs: formats, combining, grouping and sorting are 50 modules.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from itertools import chain, count, islice, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from mpirdd.ops.current_task import check_iterable, current_task
from mpirdd.ops.watched import UserFunction, steps_over
from mpirdd.protocol.errors import InternalError
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.pairs import NOTHING, check_pair, pair
from mpirdd.protocol.shown import short_repr
from mpirdd.store.chunks import Chunks, lists_of
from mpirdd.store.codec import decode
from mpirdd.store.task_memory import TaskMemory

if TYPE_CHECKING:
    from mpirdd.formats import outputs, text
    from mpirdd.formats.lineends import TextOptions
    from mpirdd.formats.splits import FileSplit
    from mpirdd.ops.combine import Combiner
    from mpirdd.ops.skewed_keys import Values

# --- sources: (split) -> records --------------------------------------------------------------------------------------


def read_lines(split: FileSplit, *, use_unicode: bool, options: TextOptions) -> text.Lines:
    """The lines of a text split. The seconds of reading count among the task's costs."""
    from mpirdd.formats import text

    task = current_task()
    return text.read_lines(
        split, use_unicode=use_unicode, options=options, costs=task.memory.costs if task else None)


def read_lines_at(split: FileSplit, *, options: TextOptions) -> Iterator[tuple[int, str]]:
    """(byte offset, line) for each line of a text split."""
    from mpirdd.formats import text

    task = current_task()
    return text.read_lines_at(split, options=options, costs=task.memory.costs if task else None)


# --- narrow steps -----------------------------------------------------------------------------------------------------


def map_records(function: UserFunction, partition: int, records: Iterable[Any]) -> Iterable[Any]:
    before = steps_over(records)
    return before.then(map(function, before.made), function)


def flat_map(where: str, function: UserFunction, partition: int, records: Iterable[Any]) -> Iterable[Any]:
    """``where`` names the operation and its line, in messages."""
    before = steps_over(records)
    task = current_task()
    if task is not None:
        task.flat_maps.append((where, function))
    return before.then(chain.from_iterable(map(function, before.made)), function)


def filter_records(function: UserFunction, partition: int, records: Iterable[Any]) -> Iterable[Any]:
    before = steps_over(records)
    return before.then(filter(function, before.made), function)


def map_partition(function: UserFunction, partition: int, records: Iterable[Any]) -> Iterable[Any]:
    return _iterable("mapPartitions", function(iter(records)), function)


def map_partition_with_index(function: UserFunction, partition: int, records: Iterable[Any]) -> Iterable[Any]:
    return _iterable("mapPartitionsWithIndex", function(partition, iter(records)), function)


def map_values(function: UserFunction, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    record = NOTHING
    try:
        for record in records:
            key, value = record
            yield key, function(value)
    except (TypeError, ValueError) as error:
        check_pair(record, "mapValues", error)
        raise


def flat_map_values(
    where: str, function: UserFunction, partition: int, records: Iterable[Any]
) -> Iterator[Any]:
    """``where`` names the operation and its line, in messages."""
    record = NOTHING
    try:
        for record in records:
            key, value = record
            for item in function(value):
                yield key, item
    except (TypeError, ValueError) as error:
        check_pair(record, "flatMapValues", error)
        if isinstance(error, TypeError):
            check_iterable([(where, function)], error)
        raise


def key_by(function: UserFunction, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    return ((function(record), record) for record in records)


def as_list(partition: int, records: Iterable[Any]) -> Iterator[list[Any]]:
    """The whole partition in one list in memory, as the user asked."""
    if isinstance(records, Chunks):
        whole: list[Any] = []
        for part in records.lists:
            whole += part
        yield whole
    else:
        yield list(records)


def pipe_records(
    command: str, environment: dict[str, str], check_code: bool, partition: int, records: Iterable[Any]
) -> Iterator[str]:
    from mpirdd.ops.commands import pipe_lines

    return pipe_lines(command, environment, check_code, records)


def concatenate(partition: int, *parts: Iterable[Any]) -> Iterable[Any]:
    lists = [lists_of(part) for part in parts]
    known = [one for one in lists if one is not None]
    return Chunks(chain(*known)) if len(known) == len(lists) else chain(*parts)


def sort_records(key: UserFunction, reverse: bool, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    from mpirdd.ops.sort import sort

    return sort(records, key, reverse, task_memory())


def cogroup_parts(operation: str, partition: int, *parts: Iterable[Any]) -> Iterator[tuple[Any, tuple[Values, ...]]]:
    """(key, (values in the first part, values in the second, ...)), keys in the order of their first records while memory
    lasts."""
    from mpirdd.ops.group import cogroup

    return cogroup(operation, parts, task_memory())


def join_parts(
    operation: str, all_of_left: bool, all_of_right: bool, partition: int, left: Iterable[Any], right: Iterable[Any]
) -> Iterator[tuple[Any, tuple[Any, Any]]]:
    from mpirdd.ops.join import join

    return join(operation, left, right, task_memory(), all_of_left=all_of_left, all_of_right=all_of_right)


def task_memory() -> TaskMemory:
    """The memory of the running task.

    Raises:
        InternalError: no task runs in this thread, so nothing would bound the memory.
    """
    task = current_task()
    if task is None:
        raise InternalError("an operator that gathers records runs outside a task, where nothing bounds its memory")
    return task.memory


def identity(value: Any) -> Any:
    return value


class EncodedSplit(NamedTuple):
    """Records of the program, encoded. The task decodes them, not the message that brings them, so an error fails the task."""

    frames: Frames


def read_split(split: Any) -> Any:
    """The records of a split of ``parallelize``, new objects for each task."""
    return decode(split.frames) if isinstance(split, EncodedSplit) else split


def key_of(function: UserFunction, record: Any) -> Any:
    """``function`` of a pair's key."""
    return function(pair(record, "sortByKey")[0])


def keys_alone(partition: int, records: Iterable[Any]) -> Iterator[tuple[Any, None]]:
    """Each record as the key of a pair."""
    return zip(records, repeat(None))


def _iterable(operation: str, result: Any, function: UserFunction) -> Iterable[Any]:
    if not hasattr(result, "__iter__"):
        name, code = getattr(function, "__qualname__", repr(function)), getattr(function, "__code__", None)
        where = f" at {os.path.basename(code.co_filename)}:{code.co_firstlineno}" if code is not None else ""
        raise TypeError(
            f"{operation}: {name}{where} must return an iterable of records, not {type(result).__name__} {short_repr(result)}")
    return result  # type: ignore[no-any-return]


# --- actions ----------------------------------------------------------------------------------------------------------


def collect_records(partition: int, records: Iterable[Any]) -> list[Any]:
    return next(as_list(partition, records))


def count_records(partition: int, records: Iterable[Any]) -> int:
    if isinstance(records, list):
        return len(records)
    from mpirdd.formats.splits import Countable

    if isinstance(records, Chunks | Countable):
        return records.count()
    counter = count()
    deque(zip(records, counter, strict=False), maxlen=0)  # takes half as long as a sum of ones
    return next(counter)


def take_records(number: int, partition: int, records: Iterable[Any]) -> list[Any]:
    return list(islice(records, number))


def reduce_records(function: UserFunction, partition: int, records: Iterable[Any]) -> list[Any]:
    """The reduced value in a list, which is empty when there are no records."""
    iterator = iter(records)
    result = next(iterator, NOTHING)
    for record in iterator:
        result = function(result, record)
    return [] if result is NOTHING else [result]


def fold_records(zero: Any, function: UserFunction, partition: int, records: Iterable[Any]) -> Any:
    result = deepcopy(zero)  # the function may change it, and other tasks on this executor start from the same ``zero``
    for record in records:  # from Python 3.11 on a third faster than reduce(): the interpreter inlines calls of Python functions
        result = function(result, record)
    return result


def sample_sort_keys(key: UserFunction, size: int, partition: int, records: Iterable[Any]) -> tuple[int, list[Any]]:
    """The number of records, and the sort keys of a sample of them."""
    from mpirdd.ops.range_bounds import sample_keys

    return sample_keys(records, size, seed=partition, key=key)


def write_text(
    codec: str | None, where: tuple[str, str], partition: int, records: Iterable[Any]
) -> outputs.Part:
    from mpirdd.formats import outputs
    from mpirdd.formats.compression import codec_named

    return outputs.write_text_part(
        *where, partition, _own_name(), records, codec=None if codec is None else codec_named(codec))


def write_pickles(batch_size: int, where: tuple[str, str], partition: int, records: Iterable[Any]) -> outputs.Part:
    from mpirdd.formats import outputs, picklefile

    return outputs.write_part(*where, partition, _own_name(), picklefile.write_pickles(records, batch_size))


def write_sequence(
    key_class: str, value_class: str, codec: str | None, where: tuple[str, str], partition: int, records: Iterable[Any]
) -> outputs.Part:
    from mpirdd.formats import outputs, sequencefile

    form = sequencefile.format_of(key_class, value_class, codec)
    return outputs.write_part(*where, partition, _own_name(), sequencefile.write_records(records, form))


def write_records(
    write: Callable[[Iterable[Any]], Iterable[bytes]], suffix: str, codec: str | None, where: tuple[str, str],
    partition: int, records: Iterable[Any],
) -> outputs.Part:
    """``write`` makes the bytes of a file of all records."""
    from mpirdd.formats import outputs
    from mpirdd.formats.compression import codec_named

    packed = None if codec is None else codec_named(codec)
    return outputs.write_part(*where, partition, _own_name(), write(records), suffix=suffix, codec=packed)


def _own_name() -> str:
    """A unique name for the file of one attempt."""
    return os.urandom(16).hex()


def run_for_each(function: UserFunction, partition: int, records: Iterable[Any]) -> None:
    for record in records:
        function(record)


def run_for_partition(function: UserFunction, partition: int, records: Iterable[Any]) -> None:
    result = function(iter(records))
    if hasattr(result, "__next__"):  # a generator function runs only when it is iterated
        for _ in result:
            pass


def largest(number: int, key: UserFunction | None, partition: int, records: Iterable[Any]) -> list[Any]:
    import heapq

    return heapq.nlargest(number, records, key)


def smallest(number: int, key: UserFunction | None, partition: int, records: Iterable[Any]) -> list[Any]:
    import heapq

    return heapq.nsmallest(number, records, key)


def last_by_key(partition: int, records: Iterable[Any]) -> dict[Any, Any]:
    from mpirdd.ops.combine import Combiner, combine

    return combine(Combiner(None, keep_second, keep_second, "collectAsMap"), records)


def combine_records(combiner: Combiner, partition: int, records: Iterable[Any]) -> dict[Any, Any]:
    from mpirdd.ops.combine import combine

    return combine(combiner, records)


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


def start_from(zero: Any, function: UserFunction, value: Any) -> Any:
    """A new combiner: ``function(copy of zero, value)``."""
    return function(deepcopy(zero), value)

