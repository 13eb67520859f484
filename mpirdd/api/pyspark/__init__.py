"""A stand-in for the package ``pyspark``, so unchanged PySpark RDD programs run on mpirdd:
``mpirdd run --pyspark``.

``--pyspark`` puts this folder on ``sys.path``, in front of an installed PySpark. Only then does a
``pyspark`` exist (and what RDD programs import of ``py4j``, and ``findspark``, which finds it). Its
modules re-export mpirdd's names: the classes are the same, so a program's pickles mean the same on
all ranks. ``SparkContext`` and ``SparkSession`` add only PySpark's spelling. Missing parts
(DataFrames, ML, streaming, pandas) fail at import or call, with one kind of message: see
``pyspark/_absent.py``.
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
