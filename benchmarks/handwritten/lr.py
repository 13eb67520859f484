"""Logistic regression by hand: each worker parses its share once; an iteration is one Allreduce of the gradient."""

from __future__ import annotations

from argparse import Namespace
from operator import add

from mpi4py import MPI

from benchmarks.handwritten.blocks import Blocks, run_on_blocks
from benchmarks.jobs import NothingSaved
from benchmarks.program import program_arguments


def fit(blocks: Blocks, arguments: Namespace, job: Namespace) -> None:
    gram = blocks.map(job.block_gram).reduce(add)
    blocks.say_loaded()
    job.fit(blocks, gram, Namespace(iterations=arguments.iterations, tolerance=-1, penalty=1.0, points=False),
            NothingSaved())


if __name__ == "__main__":
    run_on_blocks(MPI.COMM_WORLD, program_arguments("path", "iterations"), "logistic_regression", fit)
