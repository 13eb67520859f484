"""k-means on the engine for 10 iterations; in one of them, an executor is killed."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np

from benchmarks.program import program_arguments, write_report
from mpirdd import Context

DIMENSIONS, CLUSTERS = 10, 20


def block(seed: int, rows: int) -> Any:
    """``(rows, DIMENSIONS) float64`` around as many centres as there are clusters."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(0, 10, (CLUSTERS, DIMENSIONS))
    return centres[random.integers(0, CLUSTERS, rows)] + random.standard_normal((rows, DIMENSIONS))


def assign(points: Any, centres: Any) -> tuple[Any, Any]:
    """Sums ``(CLUSTERS, DIMENSIONS)`` and counts ``(CLUSTERS,)`` of the points by their nearest centre."""
    nearest = np.argmin((centres**2).sum(1) - 2 * points @ centres.T, axis=1)
    counts = np.bincount(nearest, minlength=CLUSTERS)
    sums = np.column_stack([np.bincount(nearest, column, CLUSTERS) for column in points.T])
    return sums, counts


def main() -> None:
    arguments = program_arguments("points", "parts", "iterations", "kill", "seed")
    rows = arguments.points // arguments.parts
    seconds: list[float] = []
    noticed_s = lost_share = 0.0
    with Context() as sc:
        seeds = [arguments.seed * 1000 + part for part in range(arguments.parts)]
        points = sc.parallelize(seeds, arguments.parts).map(lambda seed: block(seed, rows)).cache()
        points.count()
        centres = block(1 + arguments.seed, CLUSTERS)
        driver = sc._driver
        for iteration in range(1, arguments.iterations + 1):
            started = time.monotonic()
            if iteration == arguments.kill:
                victim = driver.executors[-1]
                held = driver._loop.scheduler._state.locations.indexes("rdd", points._node.id)
                lost_share = sum(victim in ranks for ranks in held.values()) / arguments.parts
                losses = driver._loop.losses

                def timed(rank: int, lose: Any = losses.lose, killed: float = started) -> None:
                    nonlocal noticed_s
                    lose(rank)
                    noticed_s = time.monotonic() - killed

                losses.lose = timed  # type: ignore[method-assign]
                os.kill(driver.pids[victim], signal.SIGKILL)
            parts = points.map(lambda points, centres=centres: assign(points, centres)).collect()
            sums, counts = sum(part[0] for part in parts), sum(part[1] for part in parts)
            centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
            seconds.append(time.monotonic() - started)
        executors = len(driver.executors)
    write_report(arguments.report, seconds=seconds, noticed_s=noticed_s, lost_share=lost_share, executors=executors,
                 centres=centres.tolist())


if __name__ == "__main__":
    main()
