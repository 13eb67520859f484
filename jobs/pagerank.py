"""PageRank: the probability of each page on a long walk along links, with 15 % random jumps.

    mpirdd run -n 4 jobs/pagerank.py [PATH | --generate 1M] [--iterations 10] [--uncontrolled] [--resume DIR]

Each line names a page and one that it links to; lines with # are comments. By default PATH is the
graph of the Internet's autonomous systems. The method is the power method (Page, Brin, Motwani and
Winograd 1999); all pages share the rank of pages without links, so the ranks add up to 1. Links and
ranks are hash-partitioned alike, so an iteration moves only contributions: the controlled partitioning
of the RDD paper (Zaharia et al., NSDI 2012, section 3.2.2). With --uncontrolled, links move in each
iteration, too.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from operator import add
from pathlib import Path

from checked import real, whole
from generate import add_generate, source
from mpirdd import RDD, Context
from resuming import add_resume, resumed

INTERNET = Path(__file__).parent / "data" / "as20graph.txt"
Links = tuple[str, ...]
"""A tuple: Python's garbage collector soon leaves tuples of text alone, but never lists."""
State = tuple[Links, float, float]
"""A page's links, its rank, and the rank's last change."""


def both_ends(line: str) -> list[tuple[str, str | None]]:
    """The link, and its target as a page without links."""
    page, target, *_ = line.split()
    return [(page, target), (target, None)]


def distinct_links(targets: Iterable[str | None]) -> Links:
    """The targets, each once. They are interned, since many pages link to one: an iteration then looks
    at fewer objects, and takes a sixth less time."""
    return tuple(sorted({sys.intern(target) for target in targets if target is not None}))


def first_state(rank: float, links: Links) -> State:
    return links, rank, 0.0


def contributions(page: tuple[str, State]) -> list[tuple[str, float]]:
    """A page's contribution to each page that it links to."""
    links, rank, _ = page[1]
    if not links:
        return []
    share = rank / len(links)
    return [(target, share) for target in links]


def update(damping: float, jump: float, old: tuple[State, float | None]) -> State:
    """A page's new state, from the old one and its contributions."""
    (links, before, _), given = old
    rank = jump + damping * (given or 0.0)
    return links, rank, abs(rank - before)


def part_totals(pages: Iterator[tuple[str, State]]) -> list[tuple[float, float]]:
    states = [state for _, state in pages]
    return [(sum(rank for links, rank, _ in states if not links), sum(change for _, _, change in states))]


def totals(pages: RDD) -> tuple[float, float]:
    """The rank of all pages without links, and the sum of changes. A job."""
    dangling, change = zip(*pages.mapPartitions(part_totals).collect(), strict=True)
    return sum(dangling), sum(change)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help="files of links (the graph of autonomous systems)")
    parser.add_argument("--iterations", type=whole(1), default=10, help="at most so many (10)")
    parser.add_argument("--tolerance", type=float, default=1e-12, help="stop when ranks change less in sum (1e-12)")
    parser.add_argument("--damping", type=real(0, 1), default=0.85, help="the chance to follow a link (0.85)")
    parser.add_argument("--uncontrolled", action="store_true", help="forget how pages are partitioned in each iteration")
    parser.add_argument("--partitions", type=whole(1), metavar="N",
                        help="so many (one an executor); sums depend on it in the last bits")
    parser.add_argument("--top", type=whole(1), default=10, metavar="N", help="how many pages to print (10)")
    add_generate(parser, "links", None)
    add_resume(parser)
    options = parser.parse_args()
    with Context("PageRank") as sc, resumed(sc, options) as state:
        started = time.monotonic()
        parts = options.partitions or sc.defaultParallelism
        path = options.path or str(INTERNET)
        if options.generate:
            path = source(sc, "graph", options.generate, options.seed)
        lines = sc.textFile(path, parts).filter(lambda line: line.strip() and not line.startswith("#"))
        pages, count, dangling, change = (state.get(name) for name in ("pages", "count", "dangling", "change"))
        if pages is None:
            links = lines.flatMap(both_ends).groupByKey(parts).mapValues(distinct_links).cache()
            count = links.count() or sys.exit(f"{path}: no links")
            pages = links.mapValues(partial(first_state, 1 / count)).cache()
            dangling, change = totals(pages)[0], float("inf")
            links.unpersist()
        print(f"{count:,} pages, {time.monotonic() - started:.3f} s", flush=True)
        for iteration in range(state.iteration + 1, options.iterations + 1):
            if change < options.tolerance:
                break
            started = time.monotonic()
            given = pages.flatMap(contributions).reduceByKey(add, parts)
            met = pages.leftOuterJoin(given, parts)
            new = partial(update, options.damping, (1 - options.damping + options.damping * dangling) / count)
            before = pages
            pages = met.mapValues(new)
            if options.uncontrolled:
                pages = pages.map(tuple)  # map() might change the keys, so it forgets their partitioner
            pages.cache()
            dangling, change = totals(pages)
            before.unpersist()
            print(f"iteration {iteration:3}  change {change:.6e}  {time.monotonic() - started:.4f} s", flush=True)
            state.save(iteration, pages=pages, count=count, dangling=dangling, change=change)
        best = pages.map(lambda pair: (pair[0], pair[1][1])).takeOrdered(options.top, key=lambda pair: (-pair[1], pair[0]))
        for page, rank in best:
            print(f"{rank:.12f}  {page}")


if __name__ == "__main__":
    main()
