"""Random programs over RDDs, from a seed: the same text runs on mpirdd, on PySpark and on a model over Python lists.

``operations.py`` is the table of operations and what each promises about order and partitions, ``programs.py`` makes
programs of them, runs them and cuts down those that differ, and ``model.py`` gives the right answers.

    python -m fuzzing 17        (in tests/)  the program of seed 17, what the model gives and what mpirdd gives
"""
