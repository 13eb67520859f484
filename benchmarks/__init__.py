"""The speed of mpirdd, each figure beside a hand-written MPI program for the same work.

``python -m benchmarks.<name>`` runs one benchmark and prints one JSON line; ``python -m benchmarks`` runs
them all; ``python -m benchmarks report`` draws what they found. The code reads in this order: a benchmark (``wordcount.py``), the
job it runs on the engine (``engine/wordcount.py``, public names only), the hand-written program
(``handwritten/wordcount.py``), and the harness that launches both in turn and writes the record. README.md has the method, the
commands, and how long they take.
"""

MINUTES = {
    "startup": 1,
    "tasks": 1,
    "idle": 1,
    "collect": 2,
    "broadcast": 3,
    "reread": 1,
    "sources": 5,
    "shuffle": 2,
    "spill": 20,
    "operators": 10,
    "wordcount": 5,
    "terasort": 6,
    "group": 6,
    "join": 7,
    "lr": 6,
    "lr_points": 2,
    "kmeans": 6,
    "pagerank": 10,
    "fractions": 25,
    "recovery": 8,
    "scaling": 8,
    "simulation": 2,
    "at_scale": 3,
    "many_ranks": 4,
    "kills": 15,
    "hadoop": 25,
}
"""The benchmarks in running order, and the approximate minutes of each at full size on 2 cores."""

NAMES = tuple(MINUTES)
