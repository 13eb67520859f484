"""K-means: centres with a small sum of squared distances from the points to their nearest centre.

    mpirdd run -n 4 jobs/kmeans.py [PATH | --generate 20MB] [--clusters 10] [--iterations 20] [--resume DIR]

Each line holds the same number of numbers, by commas. The method is Lloyd's algorithm (1982), started
by k-means++ (Arthur and Vassilvitskii 2007) on the first 10,000 points, so the start depends on the
seed alone and not on partitions. The job parses points once, to numpy blocks, and caches them; an
iteration is one pass over them. A centre without points stays.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from operator import add
from typing import Any

import numpy as np

from checked import table_of, whole
from generate import add_generate, source
from mpirdd import Context
from resuming import add_resume, resumed

BLOCK_ROWS = 8192
"""Such a block and its distances stay in a core's cache."""
SAMPLE = 10_000


def parse_blocks(lines: Iterator[str]) -> Iterator[np.ndarray]:
    """Blocks of points, (n, d) float64."""
    while chunk := list(islice(lines, BLOCK_ROWS)):
        yield table_of(chunk)


def nearest(centres: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centre of each point, and the squared distance to it less the point's own squared length."""
    distances = points @ (-2 * centres.T)
    distances += (centres**2).sum(axis=1)
    places = distances.argmin(axis=1)
    return places, distances[np.arange(len(points)), places]


def block_sums(centres: np.ndarray, points: np.ndarray) -> np.ndarray:
    """For each centre: the sum of its points, their number, and the sum of their squared distances. (k, d + 2)"""
    places, distances = nearest(centres, points)
    distances += np.einsum("ij,ij->i", points, points)
    columns = [*points.T, np.ones(len(points)), distances]
    return np.stack([np.bincount(places, column, len(centres)) for column in columns], axis=1)


def first_centres(points: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """k-means++: draws each further centre from the points, with a probability in proportion to the
    squared distance."""
    random = np.random.default_rng(seed)
    centres = points[random.integers(len(points), size=1)]
    while len(centres) < clusters:
        near = nearest(centres, points)[1] + (points**2).sum(axis=1)
        chances = np.maximum(near, 0)
        if not chances.any():
            raise SystemExit(f"the first {len(points)} points have only {len(centres)} different values; ask for fewer clusters")
        centres = np.vstack([centres, points[random.choice(len(points), p=chances / chances.sum())]])
    return centres


def fit(
    blocks: Any, centres: np.ndarray, options: argparse.Namespace, state: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The centres, and the number of points of each; one pass over the blocks an iteration."""
    centres, counts, change = state.get("clusters", (centres, np.zeros((len(centres), 1)), np.inf))
    for iteration in range(state.iteration + 1, options.iterations + 1):
        if change < options.tolerance:
            break
        started = time.monotonic()
        sums = blocks.map(partial(block_sums, centres)).reduce(add)
        counts = sums[:, -2:-1]
        moved = np.where(counts > 0, sums[:, :-2] / np.maximum(counts, 1), centres)
        change, centres = np.abs(moved - centres).max(), moved
        print(f"iteration {iteration:3}  objective {sums[:, -1].sum():.9g}  change {change:.3e}  "
              f"{time.monotonic() - started:.4f} s", flush=True)
        state.save(iteration, clusters=(centres, counts, change))
    return centres, counts[:, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help="files of points")
    parser.add_argument("--clusters", type=whole(1), default=10, metavar="K", help="how many centres (10)")
    parser.add_argument("--iterations", type=whole(1), default=20, help="at most so many (20)")
    parser.add_argument("--tolerance", type=float, default=1e-9, help="stop when no centre moves further (1e-9)")
    parser.add_argument("--partitions", type=whole(1), metavar="N",
                        help="at least so many (one an executor); sums depend on it in the last bit")
    add_generate(parser, "points around 10 centres", "5MB")
    add_resume(parser)
    options = parser.parse_args()
    with Context("k-means") as sc, resumed(sc, options) as state:
        started = time.monotonic()
        path = options.path or source(sc, "clusters", options.generate or "5MB", options.seed)
        lines = sc.textFile(path, options.partitions or sc.defaultParallelism)
        blocks = lines.mapPartitions(parse_blocks).cache()
        sample = table_of(lines.take(SAMPLE) or sys.exit(f"{path}: no points"))
        centres = first_centres(sample, options.clusters, options.seed)
        rows = blocks.map(len).sum()
        print(f"{rows:,} points of {centres.shape[1]} numbers, {time.monotonic() - started:.3f} s", flush=True)
        centres, counts = fit(blocks, centres, options, state)
    for count, centre in sorted(zip(counts.tolist(), centres.tolist(), strict=True)):
        print(f"centre of {count:9,.0f}:", *(f"{x:.9g}" for x in centre))


if __name__ == "__main__":
    main()
