"""Logistic regression on dense rows of text: gradient descent over cached data, the RDD paper's first benchmark.

    mpirdd run -n 4 jobs/logistic_regression.py [PATH | --generate 200MB] [--iterations 30] [--points] [--resume DIR]

Each line holds numbers by commas, the last one the label, 0 or 1; the job skips lines with another
number of fields (a header). By default PATH is the Breast Cancer Wisconsin data. The job parses the
partitions once, to numpy blocks, and caches them; an iteration is one pass over them. With --points
a record is one row in plain Python, as in the paper (Zaharia et al., NSDI 2012, section 3.2.1): the
same result, more slowly.

The job minimises the sum of the log losses + penalty / 2 * |w|^2 (without the intercept) over
standardised features, as scikit-learn does with C = 1 / penalty. The method is Nesterov's
accelerated gradient descent, restarted when it goes uphill (O'Donoghue and Candes 2015, "Adaptive
restart for accelerated gradient schemes"). Its step is 1 / L, and L comes from the data's Gram matrix.
The model is linear, so the job standardises the weights, and not the data.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from math import exp, log1p
from operator import add, mul
from pathlib import Path
from typing import Any

import numpy as np

from checked import real, row_of, table_of, whole
from generate import add_generate, source
from mpirdd import Context
from resuming import add_resume, resumed

BREAST_CANCER = Path(__file__).parent / "data" / "breast_cancer.csv"
BLOCK_ROWS = 8192
"""Such a block of 20 features, and the values computed from it, stay in a core's cache."""
Block = tuple[np.ndarray, np.ndarray]
"""Features and a column of ones, (n, d + 1) float64; labels, (n,) float64."""
Point = tuple[float, list[float]]
"""Label; features and a one."""


def parse_blocks(lines: Iterator[str]) -> Iterator[Block]:
    while chunk := list(islice(lines, BLOCK_ROWS)):
        table = table_of(chunk)
        labels = table[:, -1].copy()
        check_labels(set(labels.tolist()))
        table[:, -1] = 1
        yield table, labels


def check_labels(labels: set[float]) -> None:
    if not labels <= {0.0, 1.0}:
        raise ValueError(f"the last number of a row is its label, 0 or 1, and not {min(labels - {0.0, 1.0}):g}")


def block_loss(weights: np.ndarray, block: Block) -> np.ndarray:
    """The log loss and its gradient, (d + 2,) float64."""
    features, labels = block
    margins = features @ weights
    tails = np.exp(-np.abs(margins))  # never overflows
    positive = np.where(margins >= 0, 1.0, tails) / (1 + tails)
    loss = np.log1p(tails).sum() + np.maximum(margins, 0).sum() - margins @ labels
    return np.concatenate([[loss], (positive - labels) @ features])


def block_gram(block: Block) -> np.ndarray:
    features, _ = block
    gram: np.ndarray = features.T @ features
    return gram


def parse_point(line: str) -> Point:
    *features, label = row_of(line)
    check_labels({label})
    return label, [*features, 1.0]


def point_loss(weights: list[float], point: Point) -> list[float]:
    """``block_loss`` for a single row, in plain Python."""
    label, features = point
    margin = sum(map(mul, weights, features))
    tail = exp(-abs(margin))
    residual = (1.0 if margin >= 0 else tail) / (1 + tail) - label
    return [log1p(tail) + max(margin, 0.0) - margin * label, *[residual * x for x in features]]


def add_lists(a: list[float], b: list[float]) -> list[float]:
    return list(map(add, a, b))


def point_gram(point: Point) -> np.ndarray:
    return np.outer(point[1], point[1])


def standardising(gram: np.ndarray) -> np.ndarray:
    """The matrix from weights of standardised features to weights of the original features."""
    rows = gram[-1, -1]
    means = gram[-1, :-1] / rows
    scales = np.sqrt(np.maximum(np.diag(gram)[:-1] / rows - means**2, 0))
    scales[scales == 0] = 1  # a feature that never changes
    matrix = np.diag(np.append(1 / scales, 1.0))
    matrix[-1, :-1] = -means / scales
    return matrix


def fit(data: Any, gram: np.ndarray, options: argparse.Namespace, state: Any) -> np.ndarray:
    """The weights of the standardised features, and the intercept; one pass over the data an iteration."""
    to_raw = standardising(gram)
    penalty = np.append(np.full(len(gram) - 1, options.penalty), 0.0)
    step = 1 / (np.linalg.eigvalsh(to_raw.T @ gram @ to_raw)[-1] / 4 + options.penalty)
    start = np.zeros(len(gram)), np.zeros(len(gram)), 1.0, np.inf
    weights, ahead, momentum, steepest = state.get("descent", start)
    for iteration in range(state.iteration + 1, options.iterations + 1):
        if steepest < options.tolerance:
            break
        started = time.monotonic()
        if options.points:
            summed = np.array(data.map(partial(point_loss, (to_raw @ ahead).tolist())).reduce(add_lists))
        else:
            summed = data.map(partial(block_loss, to_raw @ ahead)).reduce(add)
        objective = summed[0] + penalty @ ahead**2 / 2
        gradient = to_raw.T @ summed[1:] + penalty * ahead
        steepest = np.abs(gradient).max() / gram[-1, -1]
        before, weights = weights, ahead - step * gradient
        momentum_before, momentum = momentum, (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        if gradient @ (weights - before) > 0:
            momentum_before, momentum = 1.0, 1.0
        ahead = weights + (momentum_before - 1) / momentum * (weights - before)
        print(f"iteration {iteration:4}  objective {objective:.9g}  gradient {steepest:.3e}  "
              f"{time.monotonic() - started:.4f} s", flush=True)
        state.save(iteration, descent=(weights, ahead, momentum, steepest))
    return weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help="files of rows (the Breast Cancer Wisconsin data)")
    parser.add_argument("--iterations", type=whole(1), default=30, help="at most so many (30)")
    parser.add_argument("--tolerance", type=float, default=1e-9, help="stop at this gradient, as a mean over rows (1e-9)")
    parser.add_argument("--penalty", type=real(0), default=1.0, help="weight of |w|^2 / 2, scikit-learn's 1 / C (1)")
    parser.add_argument("--points", action="store_true", help="plain Python, a row at a time, instead of numpy blocks")
    parser.add_argument("--partitions", type=whole(1), metavar="N",
                        help="at least so many (one an executor); sums depend on it in the last bit")
    add_generate(parser, "20 features and a label", None)
    add_resume(parser)
    options = parser.parse_args()
    with Context("logistic regression") as sc, resumed(sc, options) as state:
        started = time.monotonic()
        path = options.path or str(BREAST_CANCER)
        if options.generate:
            path = source(sc, "points", options.generate, options.seed)
        lines = sc.textFile(path, options.partitions or sc.defaultParallelism)
        head = lines.take(2) or sys.exit(f"{path}: no rows")
        commas = head[-1].count(",")  # of the second line, since the first may be a header
        rows = lines.filter(lambda line: line.count(",") == commas)
        data = (rows.map(parse_point) if options.points else rows.mapPartitions(parse_blocks)).cache()
        gram = data.map(point_gram if options.points else block_gram).reduce(add)
        print(f"{gram[-1, -1]:,.0f} rows of {len(gram) - 1} features, {time.monotonic() - started:.3f} s", flush=True)
        weights = fit(data, gram, options, state)
    print("for features scaled to mean 0 and standard deviation 1:")
    print("coefficients", *(f"{weight:.10g}" for weight in weights[:-1]))
    print(f"intercept {weights[-1]:.10g}")


if __name__ == "__main__":
    main()
