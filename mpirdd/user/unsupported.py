"""Members of PySpark's RDD that need a JVM: they say so when called, and what to use instead."""

from __future__ import annotations

from typing import Any, NoReturn

from mpirdd.user.base import Handle
from mpirdd.words.errors import NotSupported

_FORMATS = "Hadoop's output formats are Java classes; use saveAsTextFile, saveAsPickleFile or saveAsSequenceFile"
_RESOURCES = "ranks are given their resources by mpirun or Slurm; ask for them there, before the program starts"


class Unsupported(Handle):
    def saveAsNewAPIHadoopDataset(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises NotSupported, as all the others here do.

        >>> try:
        ...     sc.parallelize([(1, 2)]).saveAsNewAPIHadoopDataset({})
        ... except NotImplementedError as error:
        ...     print(type(error).__name__)
        NotSupported
        """
        raise NotSupported(f"saveAsNewAPIHadoopDataset: {_FORMATS}")

    def saveAsNewAPIHadoopFile(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises NotSupported."""
        raise NotSupported(f"saveAsNewAPIHadoopFile: {_FORMATS}")

    def saveAsHadoopDataset(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises NotSupported."""
        raise NotSupported(f"saveAsHadoopDataset: {_FORMATS}")

    def saveAsHadoopFile(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises NotSupported."""
        raise NotSupported(f"saveAsHadoopFile: {_FORMATS}")

    def withResources(self, profile: Any) -> NoReturn:
        """Raises NotSupported."""
        raise NotSupported(f"withResources: {_RESOURCES}")

    def getResourceProfile(self) -> NoReturn:
        """Raises NotSupported."""
        raise NotSupported(f"getResourceProfile: {_RESOURCES}")

    def toDF(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises NotSupported."""
        raise NotSupported("toDF: mpirdd has RDDs, no DataFrames; collect() what fits, and hand it to pandas")
