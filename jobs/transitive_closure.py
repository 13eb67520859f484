"""Transitive closure of a directed graph: all pairs with a path from the first to the second.

    mpirdd run -n 4 jobs/transitive_closure.py [PATH] [--nodes 100 --edges 200 --seed 1] [--output FOLDER]

Semi-naive iteration (Bancilhon and Ramakrishnan 1986): each step makes only the newest paths one
edge longer, until there are no new ones. The job partitions and caches the edges once; only the new
paths move. Each line of PATH names the two ends of an edge; without PATH, the graph is a random one.
"""

from __future__ import annotations

import argparse
import random
import time

from checked import new_folder, whole
from mpirdd import Context


def random_edges(nodes: int, edges: int, seed: int) -> list[tuple[str, str]]:
    """``edges`` random edges or fewer, since two draws may be equal; none from a node to itself."""
    draw = random.Random(seed)
    return sorted({(str(a), str(b)) for a, b in (draw.sample(range(nodes), 2) for _ in range(edges))})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help="lines with two names each, and # comments")
    parser.add_argument("--nodes", type=whole(2), default=100, help="of the random graph (100)")
    parser.add_argument("--edges", type=whole(1), default=200, help="of the random graph (200)")
    parser.add_argument("--seed", type=int, default=1, help="of the random graph (1)")
    parser.add_argument("--output", type=new_folder, metavar="FOLDER", help="write the pairs here, as lines of two names")
    options = parser.parse_args()
    with Context("transitive closure") as sc:
        if options.path:
            lines = sc.textFile(options.path).filter(lambda line: line.strip() and not line.startswith("#"))
            edges = lines.map(lambda line: tuple(line.split()[:2])).distinct()
        else:
            edges = sc.parallelize(random_edges(options.nodes, options.edges, options.seed))
        parts = sc.defaultParallelism
        edges = edges.partitionBy(parts).cache()  # (from, to)
        ways = fresh = edges.map(lambda edge: (edge, None)).partitionBy(parts).cache()
        count, length = ways.count(), 1
        print(f"length {length}: {count:,} pairs", flush=True)
        spent = None
        while count:
            started = time.monotonic()
            ends = fresh.map(lambda way: (way[0][1], way[0][0]))
            longer = ends.join(edges, parts).map(lambda met: (met[1], None)).reduceByKey(lambda a, b: a, parts)
            fresh = longer.subtractByKey(ways, parts).cache()
            count, length = fresh.count(), length + 1
            if spent is not None:  # counting read ``ways``, which is cached now, so what it was made of can go
                spent.unpersist()
            spent, ways = ways, ways.union(fresh).cache()  # partitioned alike: nothing moves
            print(f"length {length}: {count:,} pairs are new, {time.monotonic() - started:.3f} s", flush=True)
        print(f"{ways.count():,} pairs in all")
        if options.output:
            ways.map(lambda way: "\t".join(way[0])).saveAsTextFile(options.output)


if __name__ == "__main__":
    main()
