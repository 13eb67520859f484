"""MapReduce over RDDs: in memory or through files, by mode.

Two families with the same shape: Python functions over (key, value) pairs, and commands over lines (Hadoop Streaming).
Map, then sort by key within each map task where there is a combiner, which sees whole groups; move to the reducers'
partitions and sort by key there; reduce group by group. Sorting is external and groups are streams: a group may be larger
than memory. Keys must have an order (``<``), as Hadoop's have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import groupby, starmap
from operator import itemgetter
from typing import Any

from mpirdd.api.rdd import RDD
from mpirdd.api.sources import Sources
from mpirdd.formats import text
from mpirdd.ops import operators as steps
from mpirdd.ops.commands import check_command, stream_lines
from mpirdd.protocol.errors import InvalidType, UsageError
from mpirdd.protocol.pairs import pair

Mapper = Callable[[Any, Any], Iterable[tuple[Any, Any]]]
"""mapper(key, value) -> pairs."""
Reducer = Callable[[Any, Iterator[Any]], Iterable[tuple[Any, Any]]]
"""reducer(key, values) -> pairs; the values are an iterator, to be used once."""

_key = itemgetter(0)


def map_reduce(
    context: Sources,
    input: str | RDD,
    mapper: Mapper,
    reducer: Reducer,
    combiner: Reducer | None = None,
    partitioner: Callable[[Any], int] | None = None,
    *,
    num_reducers: int | None = None,
    min_partitions: int | None = None,
    errors: str = "strict",
    storage_options: Mapping[str, Any] | None = None,
) -> RDD:
    """The reducers' pairs; see ``mpirdd.mapreduce.run``. Runs nothing yet."""
    if not isinstance(input, str | RDD):
        raise InvalidType(
            f"mapreduce.run needs a path or an RDD of pairs as its input, not {type(input).__name__}; "
            "sc.parallelize makes an RDD of a list"
        )
    pairs = input if isinstance(input, RDD) else numbered_lines(context, input, min_partitions, errors, storage_options)
    mapped = pairs.mapPartitions(partial(_map, mapper))
    if combiner is not None:
        mapped = _sorted(mapped).mapPartitions(partial(_reduce, combiner))
    count = num_reducers or context.defaultParallelism
    return mapped._moved_by_key("mapreduce", count, partitioner, partial(_sort_and, partial(_reduce, reducer)))


def numbered_lines(
    context: Sources,
    path: str,
    min_partitions: int | None = None,
    errors: str = "strict",
    storage_options: Mapping[str, Any] | None = None,
) -> RDD:
    """(byte offset in its file, line) of text files, as Hadoop's TextInputFormat gives them; ``errors`` as in ``textFile``."""
    splits = text.plan_splits(context._inputs(path, None, storage_options), min_partitions or context.defaultMinPartitions)
    reader = partial(steps.read_lines_at, options=context._text_options(errors=errors))
    return context._source(f"lines of {path}", reader, [split for split in splits if split.length])


def save(
    pairs: RDD, output: str, *, overwrite: bool = False, storage_options: Mapping[str, Any] | None = None
) -> None:
    """Write ``key TAB value`` lines, a part file a partition, then ``_SUCCESS``; a None is left out, with its tab."""
    lines = pairs.mapPartitions(partial(starmap, _line))
    lines.saveAsTextFile(output, overwrite=overwrite, storage_options=storage_options)


def stream(
    context: Sources, input: str, mapper: str, reducer: str | None, combiner: str | None = None, *,
    num_reducers: int | None = None,
) -> RDD:
    """The lines (bytes) that the reducers write, or the mappers where ``num_reducers`` is 0. Runs nothing yet.

    Lines of the input end as ``textFile`` and Hadoop have it, with ``\\n``, ``\\r\\n`` or a lone
    ``\\r``, and reach the mapper with ``\\n``. They reach the reducer as the mapper wrote them:
    mpirdd adds no tab to a line without one; Hadoop does.

    Raises:
        CommandError: a command is empty, a quote has no end, or it is for a shell.
        UsageError: there is no reducer, but ``num_reducers`` is not 0.
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
    finish = partial(_sort_and, partial(_through, reducer, "reducer"))
    return pairs._moved_by_key("mapreduce", num_reducers or context.defaultParallelism, None, finish)


def _sorted(pairs: RDD) -> RDD:
    return pairs._narrow("sort for the combiner", partial(steps.sort_records, _key, False))


# --- on executors -----------------------------------------------------------------------------------------------------


def _map(mapper: Mapper, records: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    for record in records:
        key, value = pair(record, "mapreduce")
        yield from mapper(key, value)


def _sort_and(reduce: Callable[[Iterator[Any]], Iterable[Any]], partition: int, records: Iterable[Any]) -> Iterable[Any]:
    return reduce(iter(steps.sort_records(partial(steps.key_of, steps.identity), False, partition, records)))


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
