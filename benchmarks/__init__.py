"""How fast mpirdd is, each figure beside a hand-written MPI program for the same work.

``python -m benchmarks.<name>`` runs one benchmark and prints one JSON line; ``python -m benchmarks`` runs
them all. The code reads in this order: a benchmark (``wordcount.py``), the job it runs on the engine
(``engine/wordcount.py``, public names only), the hand-written program (``handwritten/wordcount.py``), and the
harness that launches both in turn and writes the record.

Method. Engine and hand-written program run in turn (A B A B), each in an ``mpirun`` of its own with the same
number of ranks, ranks 1 to n-1 doing the work; a ratio is taken within each pair, and the median of the pairs
is reported. Times exclude start-up unless the benchmark is about start-up. The page cache is warm: generated
text is read once before the first run. Not measured: disks, networks between hosts, other users of the
machine (the load average is recorded).
"""

NAMES = (
    "startup", "tasks", "idle", "collect", "broadcast", "shuffle", "spill", "wordcount", "lr", "kmeans", "pagerank", "terasort",
    "recovery", "kills", "many_ranks",
)
