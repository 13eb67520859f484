"""``mpirdd.mapreduce``: MapReduce as one call.

    from mpirdd import mapreduce

    def mapper(offset, line):
        for word in line.split():
            yield word, 1

    def reducer(word, counts):
        yield word, sum(counts)

    mapreduce.run("jobs/data/state_union", mapper, reducer, combiner=reducer, output="counts", errors="replace")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mpirdd.api.mapreduce import Mapper, Reducer, map_reduce, save
from mpirdd.api.rdd import RDD
from mpirdd.launch.session import Context, active_context
from mpirdd.protocol.errors import UsageError


def run(
    input: str | RDD,
    mapper: Mapper,
    reducer: Reducer,
    combiner: Reducer | None = None,
    partitioner: Callable[[Any], int] | None = None,
    output: str | None = None,
    *,
    num_reducers: int | None = None,
    min_partitions: int | None = None,
    errors: str = "strict",
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> RDD | None:
    """Map, sort by key, reduce.

    Runs in the program's Context if there is one, else in a Context of its own, which ends with the job.

    Args:
        input: text files (a path as for ``textFile``), whose records are (byte offset in its file, line); or an RDD of pairs.
        mapper: (key, value) -> pairs.
        reducer: (key, iterator over its values) -> pairs. Keys come in order within a partition; the values of a key in
            the order of the input.
        combiner: like the reducer, over the output of one map task; its pairs go on to the reducers.
        partitioner: key -> int; the key goes to that number modulo the reducers. By default the engine's stable hash.
        output: a new folder, which gets a part file of ``key TAB value`` lines from each reducer, and ``_SUCCESS``.
        num_reducers: by default one for each executor.
        min_partitions: at least this many map tasks, if the files are large enough.
        errors: how to treat bytes of the files that are not UTF-8: ``strict`` fails, ``replace`` and ``ignore`` go on.
        overwrite: replace an older output.
        storage_options: how to reach the file systems of URLs, for input and output, as in ``Context.textFile``.

    Returns:
        None when there is an ``output``; else the pairs as an RDD, and nothing has run yet.

    Raises:
        UsageError: the output exists already; there is neither an output nor a Context; or the input is of another type.
        TaskError: mapper, reducer or combiner raised, keys cannot be compared, or a byte is not UTF-8.
    """
    active = active_context()
    if active is None:
        if output is None:
            raise UsageError("mapreduce.run needs an output, or a Context in which its result can be used")
        with Context("mapreduce"):
            return run(input, mapper, reducer, combiner, partitioner, output, num_reducers=num_reducers,
                       min_partitions=min_partitions, errors=errors, overwrite=overwrite, storage_options=storage_options)
    pairs = map_reduce(active, input, mapper, reducer, combiner, partitioner, num_reducers=num_reducers,
                       min_partitions=min_partitions, errors=errors, storage_options=storage_options)
    if output is None:
        return pairs
    save(pairs, output, overwrite=overwrite, storage_options=storage_options)
    return None
