"""The operations of random programs: their text, and what is known of an RDD that they make.

Programs must not look at what no engine promises. So each RDD has two marks: ``order``, the order in which ``collect``
gives its records is known, and ``places``, it is known which records are in which partition. An operation says which
marks it needs, and which its result has.

There are three kinds of RDD: ``n`` has whole numbers from 0 to 99, ``p`` pairs of two such, and ``q`` pairs whose keys
are of ``MIXED``, so that nobody knows their places and they cannot be compared. Every operation comes back to these kinds,
so that any can follow any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MOST_RECORDS = 3000
MIXED = "[None, 'a', '', 'bc', (1, 'x'), (), 2.5, -3, b'y', 10**20, frozenset([1, 2]), ('a', (None, 0))]"


class Known(NamedTuple):
    """What is known of an RDD without running the program."""

    kind: str
    order: bool
    places: bool
    most: int
    """Records, at most."""
    keyed: bool = False
    """It may have a partitioner, which a union of two such takes notice of."""


Rule = Callable[[Sequence[Known]], tuple[bool, bool]]


def kept(given: Sequence[Known]) -> tuple[bool, bool]:
    return all(known.order for known in given), all(known.places for known in given)


def lost(given: Sequence[Known]) -> tuple[bool, bool]:
    return False, False


def hashed(given: Sequence[Known]) -> tuple[bool, bool]:
    return False, True


def sorted_(given: Sequence[Known]) -> tuple[bool, bool]:
    return True, False


def both(given: Sequence[Known]) -> tuple[bool, bool]:
    return True, True


@dataclass(frozen=True)
class Operation:
    """``text`` has {0}, {1} for its RDDs and {a}, {b} for two small numbers above 0. It is an expression, or statements
    that set {out}."""

    takes: str
    """The kind of each RDD; * is any."""
    gives: str
    """The kind of the result; * is that of the first RDD, and nothing for an action."""
    text: str
    rule: Rule = kept
    needs: str = ""
    """Of the letters o (order) and p (places): marks that the RDDs must have."""
    grows: Callable[[list[int]], int] = lambda most: most[0]
    keyed: bool = False

    def fits(self, given: Sequence[Known]) -> bool:
        return (all(kind in ("*", known.kind) for kind, known in zip(self.takes, given, strict=True))
                and all(known.order or "o" not in self.needs for known in given)
                and all(known.places or "p" not in self.needs for known in given)
                and (not self.gives or self.grows([known.most for known in given]) <= MOST_RECORDS))

    def result(self, given: Sequence[Known]) -> Known:
        order, places = self.rule(given)
        kind = given[0].kind if self.gives == "*" else self.gives
        keyed = self.keyed or (self.rule is kept and any(known.keyed for known in given))
        return Known(kind, order, places, self.grows([known.most for known in given]), keyed)


def source(text: str, most: int, kind: str = "n") -> Operation:
    return Operation("", kind, text, both, grows=lambda _: most)


def wide(
    takes: str, gives: str, text: str, rule: Rule = hashed, grows: Callable[[list[int]], int] = lambda most: most[0]
) -> Operation:
    return Operation(takes, gives, text, rule, grows=grows, keyed=True)


def both_sizes(most: list[int]) -> int:
    return most[0] + most[1]


def product(most: list[int]) -> int:
    return most[0] * most[1]


def paired(given: Sequence[Known]) -> tuple[bool, bool]:
    """Partitions are paired one by one, so their bounds decide the order, too."""
    return (all(known.order and known.places for known in given), all(known.places for known in given))


def united(given: Sequence[Known]) -> tuple[bool, bool]:
    """Two RDDs with one partitioner are put together partition by partition."""
    return (False, False) if all(known.keyed for known in given) else kept(given)


SOURCES = [
    source("sc.range(0, {a} * 7, 1, {b})", 70),
    source("sc.range({b}, 90, {a}, {b})", 90),
    source("sc.range(0, 30, 1, {b}).map(lambda i: (i * {a} + 3) % 17)", 30),
    source("sc.range(0, {a}, 1, {b})", 10),
    source("sc.range(0, 0, 1, {b})", 0),
    source("sc.emptyRDD()", 0),
    source("sc.range(0, 40, 1, {b}).map(lambda i: (i % {a}, i))", 40, "p"),
    source("sc.range(0, 25, 1, {b}).map(lambda i: (i * i % 23, i % {a}))", 25, "p"),
    source("sc.range(0, {a}, 1, {b}).map(lambda i: (i, i))", 10, "p"),
]

PICK = f"({MIXED}[x % {{a}}], x)"

TRANSFORMATIONS = [
    Operation("n", "q", f"{{0}}.map(lambda x: {PICK})"),
    Operation("q", "n", "{0}.values()"),
    Operation("q", "p", "{0}.map(lambda p: (len(repr(p[0])), p[1]))"),
    Operation("q", "q", "{0}.filter(lambda p: p[0])"),
    Operation("q", "q", "{0}.mapValues(lambda v: (v * {a}) % 100)"),
    Operation("qq", "q", "{0}.union({1})", united, grows=both_sizes),
    wide("q", "q", "{0}.distinct({b})", lost),
    wide("q", "q", "{0}.partitionBy({b})", lost),
    wide("q", "q", "{0}.reduceByKey(lambda a, b: (a + b) % 100, {b})", lost),
    wide("q", "q", "{0}.groupByKey({b}).mapValues(lambda vs: len(list(vs)) % 100)", lost),
    wide("qq", "q", "{0}.join({1}, {b}).mapValues(lambda v: (v[0] * 3 + v[1]) % 100)", lost, product),
    wide("qq", "q", "{0}.fullOuterJoin({1}, {b}).mapValues(lambda v: ((v[0] or {a}) + (v[1] or 1)) % 100)", lost,
         lambda most: product(most) + both_sizes(most)),
    wide("qq", "q", "{0}.cogroup({1}, {b}).mapValues(lambda vs: (sum(vs[0]) + 7 * len(list(vs[1]))) % 100)", lost, both_sizes),
    wide("qq", "q", "{0}.subtractByKey({1}, {b})", lost),
    wide("qq", "q", "{0}.subtract({1}, {b})", lost),
    wide("qq", "q", "{0}.intersection({1})", lost),
    Operation("q", "q", "{0}.sortBy(lambda p: (repr(p[0]), p[1]), True, {b})", sorted_),
    Operation("n", "n", "{0}.map(lambda x: (x * {a} + {b}) % 100)"),
    Operation("n", "p", "{0}.map(lambda x: (x % {a}, x))"),
    Operation("p", "n", "{0}.map(lambda p: (p[0] + p[1]) % 100)"),
    Operation("p", "p", "{0}.map(lambda p: (p[1], p[0]))"),
    Operation("n", "n", "{0}.filter(lambda x: x % {a} != 0)"),
    Operation("p", "p", "{0}.filter(lambda p: p[1] % {b} == 0)"),
    Operation("n", "n", "{0}.flatMap(lambda x: range(x % 4))", grows=lambda most: 3 * most[0]),
    Operation("n", "p", "{0}.keyBy(lambda x: x % {b})"),
    Operation("p", "n", "{0}.keys()"),
    Operation("p", "n", "{0}.values()"),
    Operation("p", "p", "{0}.mapValues(lambda v: (v + {a}) % 100)"),
    Operation("p", "p", "{0}.flatMapValues(lambda v: [v, {b}][: v % 3])", grows=lambda most: 2 * most[0]),
    Operation("n", "n", "{0}.mapPartitions(lambda part: [sum(part) % 100])", lambda given: (given[0].places,) * 2, "p",
              grows=lambda most: max(most[0], 100)),
    Operation("*", "p", "{0}.mapPartitionsWithIndex(lambda i, part: [(i % 100, len(list(part)))])",
              lambda given: (given[0].places,) * 2, "p", grows=lambda most: max(most[0], 100)),
    Operation("*", "n", "{0}.glom().map(lambda part: len(part) % 100)", lambda given: (given[0].places,) * 2, "p",
              grows=lambda most: max(most[0], 100)),
    Operation("*", "*", "{0}.map(lambda r: r).cache()"),
    Operation("*", "*", "{0}.map(lambda r: r).persist(StorageLevel.MEMORY_AND_DISK)"),
    Operation("*", "*", "{0}.filter(lambda r: True).persist(StorageLevel.DISK_ONLY)"),
    Operation("*", "*", "{out} = {0}.map(lambda r: r).cache(); {out}.count(); {out}.unpersist()"),
    Operation("*", "*", "{out} = {0}.map(lambda r: r); {out}.localCheckpoint()"),
    Operation("*", "*", "{out} = {0}.map(lambda r: r).cache(); {out}.take({a}); {out}.localCheckpoint()"),
    Operation("*", "*", "{out} = {0}.map(lambda r: r); {out}.checkpoint()"),
    Operation("*", "*", "{out} = {0}.map(lambda r: r); {out}.localCheckpoint(); {out}.count(); {out}.cache()"),
    Operation(
        "*", "*",
        "{out} = {0}.map(lambda r: r); {out}.localCheckpoint(); {out}.count(); {out}.persist(StorageLevel.DISK_ONLY)"),
    Operation("nn", "n", "{0}.union({1})", united, grows=both_sizes),
    Operation("pp", "p", "{0}.union({1})", united, grows=both_sizes),
    Operation("nn", "n", "sc.union([{0}, {1}])", united, grows=both_sizes),
    Operation("pp", "p", "sc.union([{0}, {1}, {0}])", united, grows=lambda most: 2 * most[0] + most[1]),
    Operation("*", "*", "{0}.coalesce({b})"),
    Operation("*", "*", "{0}.repartition({b})", lost),
    wide("n", "n", "{0}.distinct({b})"),
    wide("p", "p", "{0}.distinct({b})", lost),
    Operation("n", "n", "{0}.sortBy(lambda x: x, True, {b})", sorted_),
    Operation("n", "n", "{0}.sortBy(lambda x: -x, True, {b})", sorted_),
    Operation("n", "n", "{0}.sortBy(lambda x: x, False, {b})", sorted_),
    Operation("p", "p", "{0}.sortBy(lambda x: x, False, {b})", sorted_),
    Operation("p", "p", "{0}.sortByKey(True, {b})", lost),
    wide("p", "p", "{0}.partitionBy({b})"),
    wide("p", "p", "{0}.repartitionAndSortWithinPartitions({b})"),
    wide("p", "p", "{0}.reduceByKey(lambda a, b: (a + b) % 100, {b})"),
    wide("p", "p", "{0}.reduceByKey(max, {b})"),
    wide("p", "p", "{0}.foldByKey({a} - {a}, lambda a, b: (a + b) % 100, {b})"),
    wide("p", "p", "{0}.aggregateByKey(0, max, max, {b})"),
    wide("p", "p", "{0}.combineByKey(lambda v: v, lambda a, b: (a + b) % 100, lambda a, b: (a + b) % 100, {b})"),
    wide("p", "p", "{0}.groupByKey({b}).mapValues(lambda vs: sum(vs) % 100)"),
    wide("n", "p", "{0}.groupBy(lambda x: x % {a}, {b}).mapValues(lambda vs: len(list(vs)) % 100)"),
    wide("pp", "p", "{0}.cogroup({1}, {b}).mapValues(lambda vs: (sum(vs[0]) + 7 * len(list(vs[1]))) % 100)", grows=both_sizes),
    wide("pp", "p", "{0}.join({1}, {b}).mapValues(lambda v: (v[0] * 3 + v[1]) % 100)", grows=product),
    wide("pp", "p", "{0}.leftOuterJoin({1}, {b}).mapValues(lambda v: (v[0] + (v[1] or {a})) % 100)", grows=product),
    wide("pp", "p", "{0}.rightOuterJoin({1}, {b}).mapValues(lambda v: ((v[0] or {a}) + v[1]) % 100)", grows=product),
    wide("pp", "p", "{0}.fullOuterJoin({1}, {b}).mapValues(lambda v: ((v[0] or {a}) + (v[1] or 1)) % 100)",
         grows=lambda most: product(most) + both_sizes(most)),
    wide("pp", "p", "{0}.subtractByKey({1}, {b})"),
    wide("nn", "n", "{0}.subtract({1}, {b})"),
    wide("nn", "n", "{0}.intersection({1})", lost),
    Operation("nn", "p", "{0}.cartesian({1})", paired, grows=product),
    Operation("n", "p", "{0}.zip({0}.map(lambda x: (x + {b}) % 100))", needs="op"),
    Operation("n", "p", "{0}.zipWithIndex().mapValues(lambda i: i % 100)", needs="o"),
    Operation("n", "p", "{0}.zipWithUniqueId().mapValues(lambda i: i % 100)", needs="op"),
]

ACTIONS = [
    Operation("*", "", "{0}.collect()", needs="o"),
    Operation("*", "", "sorted({0}.collect(), key=repr)"),
    Operation("*", "", "sorted({0}.toLocalIterator(), key=repr)"),
    Operation("*", "", "{0}.glom().collect()", needs="op"),
    Operation("*", "", "[sorted(part, key=repr) for part in {0}.glom().collect()]", needs="p"),
    Operation("*", "", "{0}.getNumPartitions()", needs="p"),
    Operation("*", "", "{0}.count()"),
    Operation("*", "", "{0}.isEmpty()"),
    Operation("*", "", "{0}.take({a})", needs="o"),
    Operation("*", "", "len({0}.take({a}))"),
    Operation("*", "", "{0}.first()", needs="o"),
    Operation("n", "", "{0}.reduce(lambda a, b: a + b)"),
    Operation("n", "", "{0}.treeReduce(lambda a, b: a + b)"),
    Operation("n", "", "{0}.fold(0, lambda a, b: a + b)"),
    Operation("n", "", "{0}.aggregate((0, 0), lambda a, x: (a[0] + x, a[1] + 1), lambda a, b: (a[0] + b[0], a[1] + b[1]))"),
    Operation("n", "", "{0}.treeAggregate(0, lambda a, x: a + x, lambda a, b: a + b)"),
    Operation("n", "", "{0}.sum()"),
    Operation("n", "", "{0}.max()"),
    Operation("p", "", "{0}.min()"),
    Operation("n", "", "{0}.top({a})"),
    Operation("p", "", "{0}.takeOrdered({a})"),
    Operation("n", "", "{0}.takeOrdered({a}, lambda x: -x)"),
    Operation("*", "", "sorted({0}.countByValue().items(), key=repr)"),
    Operation("q", "", "sorted({0}.countByKey().items(), key=repr)"),
    Operation("q", "", f"sorted({{0}}.lookup({MIXED}[{{a}}]))"),
    Operation("q", "", "sorted({0}.reduceByKeyLocally(lambda a, b: a + b).items(), key=repr)"),
    Operation("p", "", "sorted({0}.countByKey().items())"),
    Operation("p", "", "sorted({0}.reduceByKeyLocally(lambda a, b: a + b).items())"),
    Operation("p", "", "sorted({0}.lookup({a}))"),
    Operation("p", "", "[key for key, _ in {0}.sortByKey(True, {b}).collect()]"),
    Operation("n", "", "{0}.histogram([0, 10, 50, 99])"),
]
