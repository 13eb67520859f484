"""Logistic regression by hand, point by point in plain Python; an iteration is one Allreduce of the gradient."""

from __future__ import annotations

from argparse import Namespace
from operator import add

from mpi4py import MPI

from benchmarks.handwritten.blocks import Blocks, run_on_blocks
from benchmarks.jobs import NothingSaved
from benchmarks.program import program_arguments


def fit(points: Blocks, arguments: Namespace, job: Namespace) -> None:
    gram = points.map(job.point_gram).reduce(add)
    points.say_loaded()
    job.fit(points, gram, Namespace(iterations=arguments.iterations, tolerance=-1, penalty=1.0, points=True), NothingSaved())


if __name__ == "__main__":
    run_on_blocks(MPI.COMM_WORLD, program_arguments("path", "iterations"), "logistic_regression", fit,
                  parse=lambda job, lines: map(job.parse_point, lines))
