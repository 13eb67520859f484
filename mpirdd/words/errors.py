"""What can go wrong, sorted by whose fault it is.

    MpirddError
    ├── JobCancelled     the job was cancelled by the program itself
    ├── TaskError        the user's function raised inside a task; carries the remote traceback whole
    ├── UsageError       the user's call: wrong arguments, an RDD inside a task, a stopped Context
    │   ├── InputError   the user's data: a missing file, a byte that is not UTF-8
    │   ├── CommandError a mapper, combiner or reducer command that cannot be run, or that failed
    │   ├── RecordError  a record that an operation cannot take: not a pair, a key that cannot be hashed
    │   ├── InvalidValue, InvalidType    an argument, where PySpark raises ValueError and TypeError
    │   ├── ResultTooLarge    more than the driver is to hold
    │   └── NotSupported what only a JVM can do
    ├── ClusterError     the machines: a lost executor, a world that does not fit the allocation
    │   ├── ScratchError a scratch disk that cannot be written or read; ScratchFull: one without space
    │   └── CorruptSpill a spill file that does not hold what was written to it
    └── InternalError    ourselves: please report it

Every message says what happened, where, and what to do about it.
"""

from __future__ import annotations

from dataclasses import dataclass


class MpirddError(Exception):
    """Anything that mpirdd raises on purpose."""


class UsageError(MpirddError):
    """A call that cannot be carried out as it stands."""


class InputError(UsageError):
    """Input data that is missing or that cannot be read as asked."""


class CommandError(UsageError):
    """A command of the user's, as mapper, combiner or reducer, that cannot be run or that failed."""


class RecordError(UsageError, TypeError):
    """A record that an operation cannot take, such as a non-pair given to reduceByKey."""


class InvalidValue(UsageError, ValueError):
    """An argument out of its range, where programs may rely on ValueError."""


class InvalidType(UsageError, TypeError):
    """An argument of the wrong type, where programs may rely on TypeError."""


class NotSupported(UsageError, NotImplementedError):
    """A member of PySpark's API that needs a JVM; the message names what to use instead."""


class ResultTooLarge(UsageError):
    """What an action would bring to the driver is over ``max_result_bytes``."""

    @classmethod
    def of_a_task(cls, size: int, limit: int, label: str) -> ResultTooLarge:
        return cls(_too_large("one partition's result", size, limit, label))

    @classmethod
    def of_a_job(cls, size: int, limit: int, label: str) -> ResultTooLarge:
        return cls(_too_large("the results that have come so far", size, limit, label))


def _too_large(what: str, size: int, limit: int, label: str) -> str:
    return (
        f"{label}: {what}: {size:,} bytes, and the driver takes {limit:,} in a job. Write it to files (saveAsTextFile, "
        "saveAsPickleFile), take part of it (take, takeSample), go through it with toLocalIterator, or allow more: "
        "--max-result 4g, Context(max_result_bytes=...); 0 means no limit."
    )


class JobCancelled(MpirddError):
    """The job was cancelled, by ``cancelJobGroup`` or one of its kin."""


class ClusterError(MpirddError):
    """Ranks, hosts or MPI let the job down."""


class ScratchError(ClusterError):
    """The scratch folder's disk fails."""


class ScratchFull(ScratchError):
    """The scratch folder's disk has no space left, or the user's quota is used up."""


class CorruptSpill(ClusterError):
    """What is read from a spill file is not what was written."""


class InternalError(MpirddError):
    """A bug in mpirdd."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task failed, as it travels from the executor to the driver."""

    summary: str
    """The exception's type and text, one line or more: ``ZeroDivisionError: division by zero``."""
    traceback: str
    """The traceback as the executor saw it, from the user's function downwards."""
    rank: int
    host: str
    stage: str
    """What the stage does: ``reduceByKey at job.py:12``."""
    partition: int
    exception: bytes | None
    """The exception itself, pickled, where that is possible."""
    tried: tuple[str, ...] = ()
    """Where the task was tried, when it was more than once: ``rank 2 (node17)``, in order; this failure is the last."""


class TaskError(MpirddError):
    """A user's function raised inside a task. The job has failed; the Context is still usable.

    Attributes:
        failure: where and why, with the remote traceback.
        __cause__: the user's own exception, where it could be brought back to the driver.
    """

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        where = f"  in {failure.stage}, partition {failure.partition}, on rank {failure.rank} ({failure.host})"
        tried = f"  tried {len(failure.tried)} times, on {', '.join(failure.tried)}; this is the last failure"
        super().__init__("\n".join([
            failure.summary, where, *([tried] if failure.tried else []),
            *([failure.traceback.rstrip()] if failure.traceback else [])]))

    def __reduce__(self) -> tuple[type[TaskError], tuple[Failure]]:
        return type(self), (self.failure,)


for _kind in list(globals().values()):
    if isinstance(_kind, type) and issubclass(_kind, MpirddError):
        _kind.__module__ = "mpirdd"  # where users import them from, and so the name that tracebacks show
