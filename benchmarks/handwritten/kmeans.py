"""K-means by hand: each worker parses its share once; an iteration is one Allreduce of the sums of all clusters."""

from __future__ import annotations

from argparse import Namespace
from itertools import islice

import numpy as np
from mpi4py import MPI

from benchmarks.handwritten.blocks import Blocks, run_on_blocks
from benchmarks.handwritten.lines import lines_in_folder
from benchmarks.jobs import NothingSaved
from benchmarks.program import program_arguments


def fit(blocks: Blocks, arguments: Namespace, job: Namespace) -> None:
    sample = np.loadtxt(list(islice(lines_in_folder(arguments.path, 0, 1), job.SAMPLE)), delimiter=",", ndmin=2)
    centres = job.first_centres(sample, 10, 1)  # on all workers alike
    blocks.say_loaded()
    job.fit(blocks, centres, Namespace(iterations=arguments.iterations, tolerance=-1), NothingSaved())


if __name__ == "__main__":
    run_on_blocks(MPI.COMM_WORLD, program_arguments("path", "iterations"), "kmeans", fit)
