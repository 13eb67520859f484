"""MapReduce for those who think in it, over RDDs: in memory or through files, as the mode says.

Two families with the same shape: Python functions over (key, value) pairs, and commands over lines (Hadoop Streaming).
Map, then sort by key within each map task where there is a combiner, which sees whole groups; move to the reducers'
partitions and sort by key there; reduce group by group. Sorting is external and groups are streams: a group may be larger
than memory. Keys must have an order (``<``), as Hadoop's have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby, starmap
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from mpirdd.storage import text
from mpirdd.storage.commands import check_command, stream_lines
from mpirdd.user import steps
from mpirdd.user.rdd import RDD
from mpirdd.words.errors import InvalidType, UsageError

if TYPE_CHECKING:
    from mpirdd.user.context import Context

Mapper = Callable[[Any, Any], Iterable[tuple[Any, Any]]]
"""mapper(key, value) -> pairs."""
Reducer = Callable[[Any, Iterator[Any]], Iterable[tuple[Any, Any]]]
"""reducer(key, values) -> pairs; the values are an iterator, to be used once."""

_key = itemgetter(0)


def map_reduce(
    context: Context,
    input: str | RDD,
    mapper: Mapper,
    reducer: Reducer,
    combiner: Reducer | None = None,
    partitioner: Callable[[Any], int] | None = None,
    *,
    num_reducers: int | None = None,
    min_partitions: int | None = None,
    errors: str = "strict",
) -> RDD:
    """The reducers' pairs; see ``mpirdd.mapreduce.run``. Runs nothing yet."""
    if not isinstance(input, str | RDD):
        raise InvalidType(
            f"mapreduce.run needs a path or an RDD of pairs as its input, not {type(input).__name__}; "
            "sc.parallelize makes an RDD of a list"
        )
    pairs = numbered_lines(context, input, min_partitions, errors) if isinstance(input, str) else input
    mapped = pairs.mapPartitions(partial(_map, mapper))
    if combiner is not None:
        mapped = _sorted(mapped).mapPartitions(partial(_reduce, combiner))
    count = num_reducers or context.defaultParallelism
    moved = mapped._moved_and_sorted(count, partitioner, operation="mapreduce")
    return moved.mapPartitions(partial(_reduce, reducer))._written()


def numbered_lines(context: Context, path: str, min_partitions: int | None = None, errors: str = "strict") -> RDD:
    """(byte offset in its file, line) of text files, as Hadoop's TextInputFormat gives them; ``errors`` as in ``textFile``."""
    splits = text.plan_splits(text.find_inputs(path), min_partitions or context.defaultMinPartitions)
    reader = partial(steps.read_lines_at, errors=errors)
    return context._source(f"lines of {path}", reader, [split for split in splits if split.length])


def save(pairs: RDD, output: str) -> None:
    """Write ``key TAB value`` lines, a part file a partition, then ``_SUCCESS``; a None is left out, with its tab."""
    pairs.mapPartitions(partial(starmap, _line)).saveAsTextFile(output)


def stream(
    context: Context, input: str, mapper: str, reducer: str | None, combiner: str | None = None, *,
    num_reducers: int | None = None,
) -> RDD:
    """The lines (bytes) that the reducers write, or the mappers where ``num_reducers`` is 0. Runs nothing yet.

    Lines of the input end as ``textFile`` and Hadoop have it, with ``\\n``, ``\\r\\n`` or a lone ``\\r``, and reach the
    mapper with ``\\n``. They reach the reducer as the mapper wrote them: to one without a tab none is added, where Hadoop
    adds one.

    Raises:
        CommandError: a command is empty, a quote has no end, or it is for a shell.
        UsageError: there is no reducer, but there are to be reducers.
    """
    for role, command in ("mapper", mapper), ("combiner", combiner), ("reducer", reducer):
        if command is not None:
            check_command(command, role)
    lines = context.textFile(input, context.defaultParallelism, use_unicode=False)
    mapped = lines.mapPartitions(partial(stream_lines, mapper, "mapper"))
    if num_reducers == 0:
        return mapped
    if reducer is None:
        raise UsageError("a job with reducers needs a command for them")
    pairs = mapped.mapPartitions(_split)
    if combiner is not None:
        pairs = _sorted(pairs).mapPartitions(partial(_through, combiner, "combiner"))
        pairs = pairs.mapPartitions(_split)
    moved = pairs._moved_and_sorted(num_reducers or context.defaultParallelism, None, operation="mapreduce")
    return moved.mapPartitions(partial(_through, reducer, "reducer"))._written()


def _sorted(pairs: RDD) -> RDD:
    return pairs._narrow("sort for the combiner", partial(steps.sort_records, _key, False))


# --- on executors -----------------------------------------------------------------------------------------------------


def _map(mapper: Mapper, records: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    for record in records:
        key, value = steps.pair(record, "mapreduce")
        yield from mapper(key, value)


def _reduce(reducer: Reducer, records: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    for key, group in groupby(records, _key):
        yield from reducer(key, map(itemgetter(1), group))


def _line(key: Any, value: Any) -> str:
    return "\t".join(str(part) for part in (key, value) if part is not None)


def _split(lines: Iterator[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
    """(key, value); None where there is no tab."""
    for line in lines:
        key, tab, value = line.partition(b"\t")
        yield key, value if tab else None


def _through(command: str, role: str, pairs: Iterator[tuple[bytes, bytes | None]]) -> Iterator[bytes]:
    joined = (key if value is None else b"%b\t%b" % (key, value) for key, value in pairs)
    return stream_lines(command, role, joined)
