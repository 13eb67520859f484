"""A stand-in for the package ``pyspark``, so that unchanged PySpark RDD programs run on mpirdd: ``mpirdd run
--pyspark``.

This folder goes on ``sys.path``, in front of a PySpark that may be installed, and only then is there a
``pyspark`` (and the one module of ``py4j`` that RDD programs import, for the errors in it). Its modules name
what is in mpirdd: the classes are the very same, so what a program pickles means the same on all ranks.
``SparkContext`` and ``SparkSession`` add only how PySpark spells things.

What is not there (DataFrames, ML, streaming, pandas) fails when it is imported or called, with one kind of
message: see ``pyspark/_absent.py``.
"""

from __future__ import annotations

import os
import sys

VARIABLE = "MPIRDD_PYSPARK"
"""Set to 1 for all ranks of a run with ``--pyspark``."""


def enable() -> None:
    """Let ``import pyspark`` find the stand-in from now on, right behind the program's own folder."""
    folder = os.path.dirname(os.path.abspath(__file__))
    if folder not in sys.path:
        sys.path.insert(1, folder)
