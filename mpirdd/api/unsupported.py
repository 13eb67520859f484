"""What PySpark's classes have and mpirdd's have not: the members that need a JVM, or hand something to one.

One table, by class and member, of what to use instead. The members are there, and raise NotSupported when they are called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from mpirdd.protocol.errors import NotSupported

_INPUT = "mpirdd has no Hadoop input formats, which are Java classes; use textFile, sequenceFile, binaryFiles or pickleFile"
_OUTPUT = "Hadoop's output formats are Java classes; use saveAsTextFile, saveAsPickleFile or saveAsSequenceFile"
_RESOURCES = "ranks are given their resources by mpirun or Slurm; ask for them there, before the program starts"
_MESSAGE = "it reads a message of a JVM; use get() inside a task"

NOT_SUPPORTED: dict[str, dict[str, str]] = {
    "RDD": {
        "saveAsNewAPIHadoopDataset": _OUTPUT,
        "saveAsNewAPIHadoopFile": _OUTPUT,
        "saveAsHadoopDataset": _OUTPUT,
        "saveAsHadoopFile": _OUTPUT,
        "withResources": _RESOURCES,
        "getResourceProfile": _RESOURCES,
        "toDF": "mpirdd has RDDs, no DataFrames; collect() what fits, and hand it to pandas",
    },
    "Context": {
        "newAPIHadoopFile": _INPUT,
        "newAPIHadoopRDD": _INPUT,
        "hadoopFile": _INPUT,
        "hadoopRDD": _INPUT,
        "setSystemProperty": "it sets a property of Java; here, use Conf().set(key, value), or os.environ",
        "getSystemProperty": "it reads a property of Java; here, use getConf().get(key), or os.environ",
    },
    "TaskContext": {"from_json": _MESSAGE},
}

AnyClass = TypeVar("AnyClass", bound=type)


def refuses(name: str) -> Callable[[AnyClass], AnyClass]:
    """A class decorator: give the class the members that ``NOT_SUPPORTED`` has under ``name``."""

    def with_members(kind: AnyClass) -> AnyClass:
        for member, instead in NOT_SUPPORTED[name].items():
            setattr(kind, member, _refusal(kind, member, instead))
        return kind

    return with_members


def _refusal(kind: type, member: str, instead: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotSupported(f"{member}: {instead}")

    refuse.__name__, refuse.__qualname__ = member, f"{kind.__qualname__}.{member}"
    refuse.__doc__ = f"Raises NotSupported: {instead}."
    return refuse
