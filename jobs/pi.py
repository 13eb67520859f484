"""Pi, by throwing darts: the share of random points of a square that lie in its circle.

    mpirdd run -n 4 jobs/pi.py [--darts 10000000] [--seed 1]

The Monte Carlo method, with its standard error. The job throws darts in batches, each with a random
generator of its own, so the result depends on the seed alone, and not on the number of ranks or
partitions.
"""

from __future__ import annotations

import argparse
import math
from functools import partial

import numpy as np

from checked import whole
from mpirdd import Context

BATCH = 100_000


def hits(seed: int, darts: int, batch: int) -> int:
    """The darts of a batch that hit the circle."""
    x, y = np.random.default_rng([seed, batch]).random((2, min(BATCH, darts - batch * BATCH)))
    return int(np.count_nonzero(x * x + y * y <= 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--darts", type=whole(1), default=10_000_000, help="the error falls with their square root (10 million)")
    parser.add_argument("--seed", type=whole(0), default=1, help="another seed throws other darts (1)")
    options = parser.parse_args()
    with Context("pi") as sc:
        batches = sc.range(0, -(-options.darts // BATCH))
        share = batches.map(partial(hits, options.seed, options.darts)).sum() / options.darts
    error = 4 * math.sqrt(share * (1 - share) / options.darts)
    print(f"pi is about {4 * share:.8f}, give or take {error:.8f}; it is {math.pi:.8f}")


if __name__ == "__main__":
    main()
