"""Small programs, the same for PySpark and for mpirdd: ``python programs.py OUTPUT MASTER...``.

Each function below that takes ``sc`` is one. It returns plain values in an order that the API
promises (sorted where it promises none). Only the kind of an error counts. Keys are numbers
wherever it matters in which partition they end up: both engines put a whole number n into partition
n modulo the number of partitions, and agree on nothing else.
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from collections.abc import Callable
from operator import add, mul
from pathlib import Path
from typing import Any

from pyspark import SparkContext, StorageLevel, TaskContext
from pyspark.resultiterable import ResultIterable
from pyspark.statcounter import StatCounter

NUMBERS = [5, 3, 8, 1, 9, 2, 7, 4, 6, 0]
PAIRS = [(1, 10), (2, 20), (1, 11), (3, 30), (2, 21), (4, 40)]
OTHERS = [(1, "a"), (3, "c"), (3, "d"), (5, "e")]


def shape(rdd: Any) -> Any:
    """The partitions, each sorted."""
    return [sorted(part) for part in rdd.glom().collect()]


# --- sources ----------------------------------------------------------------------------------------------------------


def parallelize_cuts_like_this(sc):
    return [sc.parallelize(NUMBERS, n).glom().collect() for n in (1, 2, 3, 5, 6, 7, 12)]


def parallelize_cuts_evenly(sc):
    return sc.parallelize(NUMBERS, 4).glom().collect()


def parallelize_takes_iterators_sets_and_dicts(sc):
    return [
        sc.parallelize(iter("abc"), 2).collect(),
        sorted(sc.parallelize({1, 2}).collect()),
        sc.parallelize({3: 4}).collect(),
    ]


def parallelize_by_default(sc):
    return [sc.parallelize(NUMBERS).glom().collect(), sc.defaultParallelism, sc.defaultMinPartitions]


def parallelize_nothing(sc):
    return [sc.parallelize([]).getNumPartitions(), sc.parallelize([], 3).glom().collect()]


def range_like_pythons(sc):
    return [
        sc.range(5).collect(),
        sc.range(2, 9, 3).collect(),
        sc.range(9, 2, -2, 3).glom().collect(),
        sc.range(3, 3).collect(),
    ]


def range_cuts_like_this(sc):
    return [sc.range(0, 17, 1, n).glom().collect() for n in (1, 4, 5)]


def empty_has_no_partitions(sc):
    empty = sc.emptyRDD()
    return [
        empty.getNumPartitions(),
        empty.collect(),
        empty.isEmpty(),
        empty.count(),
        empty.union(sc.parallelize([1], 1)).collect(),
    ]


def text_lines_and_partitions(sc):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "lines.txt")
        with open(path, "w", newline="") as file:
            file.write("".join(f"line {number * number}\n" for number in range(200)) + "an é\r\n\nlast")
        read = [sc.textFile(path, least) for least in (1, 2, 3, 7)]
        return [[rdd.getNumPartitions(), rdd.glom().map(len).collect(), rdd.collect()[-3:]] for rdd in read]


def text_out_and_in(sc):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "out")
        sc.parallelize(["a", 1, (2, "b"), None, 2.5], 3).saveAsTextFile(path)
        names = sorted(name for name in os.listdir(path) if not name.startswith("."))
        return [names, Path(path, "part-00001").read_text(), sorted(sc.textFile(path).collect())]


def text_of_a_folder_and_of_globs(sc):
    with tempfile.TemporaryDirectory() as folder:
        for name in "cab":
            Path(folder, name).write_text(f"{name}\n" * 3)
        return [
            sorted(sc.textFile(folder).collect()),
            sc.textFile(folder, 1).getNumPartitions(),
            sc.textFile(f"{folder}/a,{folder}/c").collect(),
            sc.textFile(f"{folder}/[ab]").collect(),
        ]


def pickles_out_and_in(sc):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "out")
        sc.parallelize([1, "a", (2, [3]), {"b": None}], 2).saveAsPickleFile(path, 3)
        return sorted(map(repr, sc.pickleFile(path).collect()))


def whole_files(sc):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("x", "y"):
            Path(folder, name).write_text(f"{name}\nend")
        texts = sorted((os.path.basename(path), text) for path, text in sc.wholeTextFiles(folder).collect())
        data = sorted(
            (os.path.basename(path), bytes(text)) for path, text in sc.binaryFiles(folder).collect()
        )
        return [texts, data]


def records_of_fixed_length(sc):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "x").write_bytes(bytes(range(12)))
        return sc.binaryRecords(os.path.join(folder, "x"), 3).map(bytes).collect()


# --- records by themselves --------------------------------------------------------------------------------------------


def maps_and_filters(sc):
    rdd = sc.parallelize(NUMBERS, 3)
    return [
        rdd.map(lambda x: x * x).glom().collect(),
        rdd.flatMap(range).collect(),
        rdd.filter(lambda x: x % 2).glom().collect(),
        rdd.keyBy(lambda x: x % 3).collect(),
    ]


def map_partitions(sc):
    rdd = sc.parallelize(NUMBERS, 3)
    return [
        rdd.mapPartitions(lambda part: [sum(part)]).collect(),
        rdd.mapPartitionsWithIndex(lambda place, part: (place for _ in part)).collect(),
    ]


def task_context(sc):
    return (
        sc.parallelize(range(3), 3)
        .map(lambda x: (TaskContext.get().partitionId(), TaskContext.get().attemptNumber()))
        .collect()
    )


def union_side_by_side(sc):
    first, second = sc.parallelize([1, 2, 3], 2), sc.parallelize([4, 5], 2)
    return [
        first.union(second).glom().collect(),
        (first + second + first).getNumPartitions(),
        sc.union([first, second, second]).collect(),
    ]


def union_of_alike_partitioned(sc):
    first, second = (sc.parallelize(pairs).partitionBy(3) for pairs in (PAIRS, OTHERS))
    both = first.union(second)
    return [both.getNumPartitions(), [len(part) for part in both.glom().collect()]]


def union_then_reduce(sc):
    alike = sc.parallelize(PAIRS, 2).partitionBy(3)
    return [
        alike.union(alike).reduceByKey(add).getNumPartitions(),
        shape(alike.union(alike).reduceByKey(add)),
    ]


def distinct_values(sc):
    rdd = sc.parallelize([1, 2, 2, 3, 3, 3, 7], 3)
    return [shape(rdd.distinct()), shape(rdd.distinct(2))]


def sets(sc):
    first, second = sc.parallelize([1, 1, 2, 3, 4], 2), sc.parallelize([3, 4, 4, 5], 3)
    return [
        shape(first.intersection(second)),
        shape(first.subtract(second)),
        shape(first.subtract(second, 2)),
    ]


def cartesian(sc):
    return sc.parallelize([1, 2, 3], 2).cartesian(sc.parallelize("ab", 2)).glom().collect()


def coalesce_and_repartition(sc):
    rdd = sc.parallelize(range(20), 6)
    return [rdd.coalesce(n).getNumPartitions() for n in (1, 2, 4, 6, 9)] + [
        rdd.coalesce(9, shuffle=True).getNumPartitions(),
        sorted(rdd.repartition(4).collect()),
        rdd.coalesce(1).glom().collect(),
        rdd.coalesce(3).map(lambda x: x).getNumPartitions(),
    ]


def coalesce_in_what_groups(sc):
    return [sc.parallelize(range(20), 6).coalesce(n).glom().collect() for n in (2, 3, 4)]


def zips(sc):
    rdd = sc.parallelize("abcde", 3)
    return [
        rdd.zip(sc.parallelize(range(5), 3)).glom().collect(),
        rdd.zipWithIndex().collect(),
        rdd.zipWithUniqueId().collect(),
    ]


def zip_of_unlike_partitions(sc):
    return sc.parallelize([1, 2], 1).zip(sc.parallelize([1, 2], 2))


def pipe_through_a_command(sc):
    return sc.parallelize(["b", "a", "c"], 2).pipe("sort -r").collect()


def pipe_with_environment(sc):
    return sc.parallelize([1], 1).pipe("printenv OF_THE_PIPE", {"OF_THE_PIPE": "yes"}).collect()


def glom_of_empty_partitions(sc):
    return sc.parallelize([1], 3).glom().collect()


# --- unusual arguments --------------------------------------------------------------------------------------------------


def no_partitions_stay_none(sc):
    empty = sc.emptyRDD()
    pairs = empty.map(lambda x: (x, x))
    made = [
        empty.distinct(), pairs.reduceByKey(add), pairs.groupByKey(), pairs.join(pairs), empty.groupBy(str), empty.sortBy(str),
        empty.distinct().union(sc.parallelize([1], 2)), pairs.join(sc.parallelize([(1, 1)], 2)), pairs.partitionBy(3),
        empty.subtract(empty), empty.intersection(empty), empty.cartesian(empty), empty.zipWithIndex(),
    ]
    return [[rdd.getNumPartitions(), rdd.collect()] for rdd in made]


def taking_fewer_than_none(sc):
    return sc.parallelize([1, 2], 2).take(-1)


def taking_text(sc):
    return sc.parallelize([1, 2], 2).take("a")


def a_dict_of_words(sc):
    return sc.parallelize(["abc"], 2).collectAsMap()


def a_level_that_is_text(sc):
    return sc.parallelize([1]).persist("MEMORY_ONLY")


def a_level_after_a_local_checkpoint(sc):
    results = []
    for level in (StorageLevel.MEMORY_ONLY, StorageLevel.MEMORY_AND_DISK):
        rdd = sc.parallelize([1, 2], 2).map(str)
        rdd.localCheckpoint()
        rdd.count()
        results += [rdd.persist(level).collect(), rdd.getStorageLevel().useDisk]
    return results


def partitions_as_a_float(sc):
    return sc.parallelize([1, 2, 3, 4], 2.0).glom().collect()


def names_of_files(sc):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "x").write_text("x")
        path = os.path.join(folder, "x")
        return [sc.textFile(path).name() == path, sc.wholeTextFiles(path).name() == path]


def a_second_context(sc):
    return SparkContext()


# --- when functions and data are taken ---------------------------------------------------------------------------------

ON_TOP: dict[str, Callable[[Any, Any], Any]] = {
    "union": lambda rdd, number: rdd.union(rdd),
    "union of many": lambda rdd, number: rdd.context.union([rdd, rdd, rdd]),
    "+": lambda rdd, number: rdd + rdd,
    "zip": lambda rdd, number: rdd.zip(rdd),
    "cartesian": lambda rdd, number: rdd.cartesian(rdd),
    "coalesce": lambda rdd, number: rdd.coalesce(1),
    "repartition": lambda rdd, number: rdd.repartition(3),
    "partitionBy": lambda rdd, number: rdd.partitionBy(3),
    "reduceByKey": lambda rdd, number: rdd.reduceByKey(lambda a, b: max(a, b)),
    "groupByKey": lambda rdd, number: rdd.groupByKey().mapValues(sorted),
    "combineByKey": lambda rdd, number: rdd.combineByKey(lambda v: v * number[0], max, max),
    "aggregateByKey": lambda rdd, number: rdd.aggregateByKey(0, lambda a, b: a + b * number[0], add),
    "foldByKey": lambda rdd, number: rdd.foldByKey(0, add),
    "groupBy": lambda rdd, number: rdd.groupBy(lambda pair: pair[1] % 3 * number[0]).mapValues(sorted),
    "distinct": lambda rdd, number: rdd.distinct(),
    "join": lambda rdd, number: rdd.join(rdd),
    "leftOuterJoin": lambda rdd, number: rdd.leftOuterJoin(rdd),
    "cogroup": lambda rdd, number: rdd.cogroup(rdd).mapValues(lambda both: list(map(sorted, both))),
    "subtract": lambda rdd, number: rdd.subtract(rdd.context.parallelize([(0, 0)])),
    "subtractByKey": lambda rdd, number: rdd.subtractByKey(rdd.context.parallelize([(0, 0)])),
    "intersection": lambda rdd, number: rdd.intersection(rdd),
    "sortBy": lambda rdd, number: rdd.sortBy(lambda pair: pair[1]),
    "sortByKey": lambda rdd, number: rdd.sortByKey(),
    "repartitionAndSort": lambda rdd, number: rdd.repartitionAndSortWithinPartitions(2),
    "cache": lambda rdd, number: rdd.cache(),
    "cache, then map": lambda rdd, number: rdd.cache().map(lambda pair: pair),
    "persist": lambda rdd, number: rdd.persist(StorageLevel.DISK_ONLY),
    "toLocalIterator": lambda rdd, number: rdd.toLocalIterator(),
}
CHAINS: dict[str, Callable[[Any], Any]] = {
    "map": lambda rdd: rdd.map(lambda pair: pair),
    "filter": lambda rdd: rdd.filter(lambda pair: True),
    "mapPartitions": lambda rdd: rdd.mapPartitions(lambda part: part),
    "mapValues": lambda rdd: rdd.mapValues(lambda value: value),
    "glom": lambda rdd: rdd.glom(),
    "keyBy": lambda rdd: rdd.keyBy(lambda pair: 0),
}


def _multiplied(context, number):
    return context.parallelize([(1, 1), (2, 2), (1, 3), (3, 4)], 2).mapValues(lambda value: value * number[0])


def functions_are_taken_when_something_is_put_on_top(sc):
    results = {}
    for name, put_on_top in ON_TOP.items():
        number = [1]
        made = put_on_top(_multiplied(sc, number), number)
        number[0] = 1000
        results[name] = sorted(made if name == "toLocalIterator" else made.collect())
    return results


def functions_of_a_chain_are_taken_late(sc):
    results = {}
    for name, put_on_top in CHAINS.items():
        number = [1]
        made = put_on_top(_multiplied(sc, number))
        number[0] = 1000
        results[name] = made.collect()
    return results


def the_key_of_a_sort_is_taken_when_it_is_asked_for(sc):
    sign = [1]
    made = sc.parallelize(NUMBERS, 3).sortBy(lambda value: sign[0] * value)
    sign[0] = -1
    return made.collect()


def functions_are_taken_by_checkpoints(sc):
    results = []
    with tempfile.TemporaryDirectory() as folder:
        sc.setCheckpointDir(folder)
        for how in ("checkpoint", "localCheckpoint"):
            number = [1]
            rdd = _multiplied(sc, number)
            getattr(rdd, how)()
            number[0] = 1000
            results.append(rdd.collect())
    return results


def a_loop_that_unites_keeps_the_variable_of_each_turn(sc):
    base, seen = sc.parallelize(range(6), 3), sc.emptyRDD()
    for k in (1, 2, 3):
        seen = seen.union(base.filter(lambda v: v == k).map(lambda v: (k, v)))  # noqa: B023
    return seen.collect()


def data_are_taken_by_parallelize(sc):
    records, inner = [[0], [1], {"a": 2}, ([3],)], [7]
    made, nested = sc.parallelize(records, 2), sc.parallelize([(1, (2, inner))], 1)
    records[0][0] = records[2]["a"] = 100
    records[3][0].append(100)
    records.append([4])
    inner[0] = 100
    return [made.collect(), nested.collect()]


def arrays_are_taken_by_parallelize(sc):
    import numpy

    numbers, row = numpy.arange(6), numpy.arange(2000)
    made, rows = sc.parallelize(numbers, 2).map(int), sc.parallelize([row, row[10:]], 2).map(lambda part: int(part[0]))
    numbers[:] = 100
    row[:] = 100
    return [made.collect(), rows.collect()]


def broadcast_values_are_taken_at_once(sc):
    table, large = {"a": 1, "b": [2]}, {str(number): number for number in range(20_000)}
    variables = [sc.broadcast(table), sc.broadcast(large)]
    table["a"], table["b"][0], large["7"] = 100, 100, 100
    on_tasks = sc.parallelize([0], 1).map(lambda _: [variables[0].value, variables[1].value["7"]]).collect()
    return [variables[0].value, variables[1].value["7"], on_tasks]

# --- actions ----------------------------------------------------------------------------------------------------------


def counts(sc):
    rdd = sc.parallelize([*NUMBERS, 5, 5], 4)
    return [
        rdd.count(),
        sorted(rdd.countByValue().items()),
        rdd.isEmpty(),
        rdd.sum(),
        rdd.max(),
        rdd.min(),
        rdd.max(key=str),
    ]


def takes(sc):
    rdd = sc.parallelize(NUMBERS, 4)
    return [
        rdd.take(0),
        rdd.take(3),
        rdd.take(100),
        rdd.first(),
        rdd.top(3),
        rdd.takeOrdered(3),
        rdd.takeOrdered(3, lambda x: -x),
    ]


def top_of_equals_keeps_this_order(sc):
    rdd = sc.parallelize([(1, "a"), (1, "b"), (0, "c"), (1, "d")], 2)
    return [rdd.top(2, key=lambda pair: pair[0]), rdd.takeOrdered(3, key=lambda pair: pair[0])]


def folds_use_zero_once_a_partition_and_once_more(sc):
    rdd = sc.parallelize([1, 2, 3, 4], 3)
    return [
        rdd.fold(10, add),
        rdd.aggregate(10, add, add),
        rdd.reduce(add),
        rdd.aggregate([], lambda a, x: [*a, x], add),
        sc.parallelize([], 2).fold(10, add),
    ]


def trees(sc):
    rdd = sc.parallelize(range(1, 30), 10)
    return [rdd.treeReduce(add, depth) for depth in (1, 2, 5)] + [
        rdd.treeAggregate(0, add, add, depth) for depth in (1, 2, 4)
    ]


def reduce_of_nothing(sc):
    return sc.parallelize([]).reduce(add)


def first_of_nothing(sc):
    return sc.parallelize([]).first()


def max_of_nothing(sc):
    return sc.parallelize([]).max()


def sum_of_nothing(sc):
    return sc.parallelize([]).sum()


def statistics(sc):
    stats = sc.parallelize([1.0, 2.0, 3.0, 4.5], 2).stats()
    rdd = sc.parallelize([1, 2, 3, 4], 3)
    return [
        stats.count(),
        round(stats.mean(), 9),
        round(stats.stdev(), 9),
        stats.max(),
        rdd.mean(),
        rdd.variance(),
        round(rdd.sampleStdev(), 9),
        round(rdd.sampleVariance(), 9),
        rdd.stdev(),
        StatCounter([1, 2]).mergeStats(StatCounter([3])).sum(),
    ]


def histograms(sc):
    rdd = sc.parallelize(range(51), 3)
    return [
        rdd.histogram(2),
        rdd.histogram([0, 5, 25, 50]),
        rdd.histogram([0, 15, 30, 45, 60]),
        rdd.histogram((0.5, 10.5)),
        sc.parallelize(["ab", "ac", "b", "bd", "ef"]).histogram(("a", "b", "c")),
        sc.parallelize([2, 2]).histogram(3),
    ]


def histogram_of_nothing(sc):
    return sc.parallelize([], 1).histogram(2)


def histogram_of_unsorted_buckets(sc):
    return sc.parallelize([1]).histogram([3, 1])


def local_iterator(sc):
    return [list(sc.parallelize(NUMBERS, 4).toLocalIterator(ahead)) for ahead in (False, True)]


def job_on_some_partitions(sc):
    return sc.runJob(sc.parallelize(range(9), 3), lambda part: [sum(part)], [2, 0])


def sample_sizes(sc):
    rdd = sc.parallelize(range(100), 4)
    return [
        len(rdd.takeSample(False, 20, 1)),
        len(rdd.takeSample(True, 150, 1)),
        len(set(rdd.takeSample(False, 500, 1))),
        rdd.sample(False, 0.3, 5).collect() == rdd.sample(False, 0.3, 5).collect(),
        sorted(x for part in rdd.randomSplit([1, 2], 3) for x in part.collect()) == list(range(100)),
    ]


def sample_without_replacement_keeps_order(sc):
    found = sc.parallelize(range(1000), 4).sample(False, 0.5, 2).collect()
    return [found == sorted(set(found)), 400 < len(found) < 600]


def take_too_many_samples(sc):
    return sc.parallelize([1]).takeSample(False, -1)


def effects(sc):
    total, words = sc.accumulator(0), sc.accumulator(1.5)
    sc.parallelize(range(10), 3).foreach(lambda x: total.add(x))
    sc.parallelize(range(4), 2).foreachPartition(lambda part: words.add(len(list(part))))
    return [total.value, words.value]


def accumulator_of_a_list(sc):
    return sc.accumulator([])


# --- pairs ------------------------------------------------------------------------------------------------------------


def keys_and_values(sc):
    rdd = sc.parallelize(PAIRS, 2)
    return [
        rdd.keys().collect(),
        rdd.values().collect(),
        rdd.mapValues(str).collect(),
        rdd.flatMapValues(lambda x: [x, -x]).collect(),
        rdd.collectAsMap(),
        sorted(rdd.countByKey().items()),
        sorted(rdd.lookup(1)),
        sorted(rdd.partitionBy(3).lookup(2)),
    ]


def reduces(sc):
    rdd = sc.parallelize(PAIRS, 3)
    return [
        shape(rdd.reduceByKey(add)),
        shape(rdd.reduceByKey(add, 2)),
        sorted(rdd.reduceByKeyLocally(mul).items()),
        shape(rdd.foldByKey(1, add, 2)),
        shape(rdd.combineByKey(str, lambda a, v: a + str(v), add, 2).mapValues(len)),
        shape(
            rdd.aggregateByKey(
                (0, 0), lambda a, v: (a[0] + v, a[1] + 1), lambda a, b: (a[0] + b[0], a[1] + b[1]), 2
            )
        ),
    ]


def reduce_where_partitioned_already(sc):
    rdd = sc.parallelize(PAIRS, 2).partitionBy(5)
    return [
        rdd.reduceByKey(add).getNumPartitions(),
        rdd.reduceByKey(add, 5).getNumPartitions(),
        rdd.mapValues(str).groupByKey().getNumPartitions(),
        rdd.map(lambda pair: pair).reduceByKey(add).getNumPartitions(),
        shape(rdd.reduceByKey(add)),
    ]


def groups(sc):
    rdd = sc.parallelize(PAIRS, 2)
    return [
        shape(rdd.groupByKey().mapValues(sorted)),
        shape(rdd.groupByKey(3).mapValues(len)),
        shape(rdd.groupBy(lambda pair: pair[0] % 2).mapValues(sorted)),
        type(rdd.groupByKey().first()[1]) is ResultIterable,
    ]


def joins(sc):
    first, second = sc.parallelize(PAIRS, 2), sc.parallelize(OTHERS, 2)
    return [
        [
            kind,
            shape(getattr(first, kind)(second).mapValues(repr)),
            getattr(first, kind)(second, 3).getNumPartitions(),
        ]
        for kind in ("join", "leftOuterJoin", "rightOuterJoin", "fullOuterJoin")
    ]


def joins_of_alike_partitioned(sc):
    first, second = sc.parallelize(PAIRS, 2).partitionBy(3), sc.parallelize(OTHERS, 2).partitionBy(3)
    return [
        shape(first.join(second)),
        first.join(second.mapValues(str)).getNumPartitions(),
        first.cogroup(second).getNumPartitions(),
        first.join(sc.parallelize(OTHERS, 4)).getNumPartitions(),
        sc.parallelize(PAIRS, 2).join(second).getNumPartitions(),
    ]


def join_of_a_join(sc):
    first, second = sc.parallelize(PAIRS, 2), sc.parallelize(OTHERS, 2)
    both = first.join(second)
    return [
        both.join(first).getNumPartitions(),
        both.mapValues(repr).reduceByKey(add).getNumPartitions(),
        shape(both.join(first)),
    ]


def cogroups(sc):
    first, second = sc.parallelize(PAIRS, 2), sc.parallelize(OTHERS, 1)

    def plain(groups):
        return [sorted(map(repr, group)) for group in groups]

    return [
        shape(first.cogroup(second).mapValues(plain)),
        shape(first.groupWith(second, first).mapValues(plain)),
        first.cogroup(second, 4).getNumPartitions(),
    ]


def subtract_by_key(sc):
    first, second = sc.parallelize(PAIRS, 2), sc.parallelize(OTHERS, 3)
    return [shape(first.subtractByKey(second)), first.subtractByKey(second, 2).getNumPartitions()]


def partition_by(sc):
    rdd = sc.parallelize([(key, key * key) for key in range(-4, 8)], 3)
    return [
        shape(rdd.partitionBy(4)),
        shape(rdd.partitionBy(3, lambda key: key // 2)),
        shape(rdd.partitionBy(2).partitionBy(2)),
        shape(rdd.map(lambda pair: ((pair[0], 1), None)).partitionBy(3)),
    ]


def partition_by_keeps_the_order_within_a_key(sc):
    return (
        sc.parallelize(PAIRS, 1)
        .partitionBy(2)
        .glom()
        .map(lambda part: [value for key, value in part if key == 1])
        .collect()
    )


def sample_by_key(sc):
    rdd = sc.parallelize([(key, number) for key in range(2) for number in range(500)], 3)
    found = rdd.sampleByKey(False, {0: 0.2, 1: 0.9}, 4).countByKey()
    return [60 < found[0] < 150, 400 < found[1] < 500]


# --- order ------------------------------------------------------------------------------------------------------------


def sorts(sc):
    rdd = sc.parallelize(NUMBERS, 3)
    return [
        rdd.sortBy(lambda x: x).collect(),
        rdd.sortBy(lambda x: -x).collect(),
        rdd.sortBy(lambda x: x, False).collect(),
        rdd.sortBy(lambda x: x, True, 2).getNumPartitions(),
        sc.parallelize(PAIRS, 2).sortByKey().keys().collect(),
        sc.parallelize(["b", "A", "c"])
        .map(lambda x: (x, 1))
        .sortByKey(True, None, str.lower)
        .keys()
        .collect(),
    ]


def sort_is_stable_in_one_partition(sc):
    return (
        sc.parallelize([(number % 3, number) for number in range(12)], 1).sortByKey(numPartitions=1).collect()
    )


def sort_has_as_many_partitions(sc):
    rdd = sc.parallelize([(number, None) for number in range(100)], 5)
    return [
        rdd.sortByKey().getNumPartitions(),
        rdd.sortByKey(False, 7).getNumPartitions(),
        sc.parallelize([(1, 1)] * 9, 3).sortByKey().getNumPartitions(),
    ]


def sort_of_nothing(sc):
    return [
        sc.parallelize([]).sortBy(id).collect(),
        sc.parallelize([], 2).map(lambda x: (x, x)).sortByKey(numPartitions=3).collect(),
    ]


def sort_within_partitions(sc):
    rdd = sc.parallelize([(0, 5), (3, 8), (2, 6), (0, 8), (3, 8), (1, 3)], 2)
    return [
        [[key for key, _ in part] for part in found.glom().collect()]
        for found in (
            rdd.repartitionAndSortWithinPartitions(2, lambda x: x % 2, True),
            rdd.repartitionAndSortWithinPartitions(3, ascending=False),
            rdd.repartitionAndSortWithinPartitions(2, keyfunc=lambda key: -key),
        )
    ]


# --- what is kept -----------------------------------------------------------------------------------------------------


def storage_levels(sc):
    rdd = sc.parallelize([1, 2])
    before = str(rdd.getStorageLevel())
    kept = rdd.map(lambda x: x).persist(StorageLevel.MEMORY_AND_DISK)
    return [
        before,
        str(kept.getStorageLevel()),
        kept.is_cached,
        kept.sum(),
        kept.unpersist().is_cached,
        str(rdd.cache().getStorageLevel()),
    ]


def checkpoints(sc):
    with tempfile.TemporaryDirectory() as folder:
        sc.setCheckpointDir(folder)
        rdd = sc.parallelize(range(6), 3).map(lambda x: x * x)
        rdd.checkpoint()
        before = rdd.isCheckpointed()
        return [before, rdd.collect(), rdd.isCheckpointed(), rdd.sum(), rdd.getNumPartitions()]


def names(sc):
    rdd = sc.parallelize([1]).setName("numbers")
    return [rdd.name(), sc.parallelize([1]).name(), rdd.map(str).name(), b"numbers" in rdd.toDebugString()]


def broadcasts(sc):
    table = sc.broadcast({1: "one"})
    found = sc.parallelize([1, 2]).map(lambda x: table.value.get(x)).collect()
    table.unpersist()
    return [found, sc.parallelize([1]).map(lambda x: table.value[x]).collect(), table.value]


def approximate(sc):
    rdd = sc.parallelize(range(1000), 4)
    return [
        rdd.countApprox(60000),
        float(rdd.sumApprox(60000)),
        float(rdd.meanApprox(60000)),
        900 < rdd.countApproxDistinct() < 1100,
    ]


# --- errors -----------------------------------------------------------------------------------------------------------


def failing_function(sc):
    return sc.parallelize([1, 0]).map(lambda x: 1 // x).collect()


def missing_file(sc):
    return sc.textFile("/no/such/file/of/ours").collect()


def existing_folder(sc):
    with tempfile.TemporaryDirectory() as folder:
        sc.parallelize([1]).saveAsTextFile(folder)


def sum_of_an_rdd_and_a_list(sc):
    return add(sc.parallelize([1]), [1])


def rdd_inside_a_function(sc):
    other = sc.parallelize([1])
    return sc.parallelize([1]).map(lambda x: other.count()).collect()


def second_context(sc):
    return SparkContext("local", "another")


def destroyed_broadcast(sc):
    value = sc.broadcast(1)
    value.destroy()
    return sc.parallelize([1]).map(lambda x: value.value).collect()


def other_level(sc):
    return sc.parallelize([1]).cache().persist(StorageLevel.DISK_ONLY)


def distinct_of_lists(sc):
    return sc.parallelize([[1]]).distinct().collect()


PROGRAMS: dict[str, Callable[[Any], Any]] = {
    name: value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__code__", None) and value.__code__.co_varnames[:1] == ("sc",)
}


def result_of(program: Callable[[Any], Any], sc: Any) -> tuple[str, Any]:
    """("value", value), or ("error", the kind of error that a program would catch)."""
    try:
        return "value", program(sc)
    except Exception as error:
        for kind in (ValueError, TypeError, AssertionError, AttributeError):
            if isinstance(error, kind):
                return "error", kind.__name__
        return "error", "another"


def main(output: str, masters: list[str]) -> None:
    found = {}
    for master in masters:
        with SparkContext(master, "small programs") as sc:
            sc.setLogLevel("OFF")
            found[master] = {name: result_of(program, sc) for name, program in PROGRAMS.items()}
    with open(output, "wb") as file:
        pickle.dump(found, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
