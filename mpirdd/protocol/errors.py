"""All errors, sorted by whose fault they are.

    MpirddError
    ├── JobCancelled     the job was cancelled by the program itself
    ├── TaskError        the user's function raised inside a task; carries the remote traceback whole
    ├── UsageError       the user's call: wrong arguments, an RDD inside a task, a stopped Context
    │   ├── InputError   the user's data: a missing file, a byte that is not UTF-8
    │   ├── CommandError a mapper, combiner or reducer command that cannot be run, or that failed
    │   ├── RecordError  a record that an operation cannot take: not a pair, a key that cannot be hashed
    │   ├── InvalidValue, InvalidType    an argument, where PySpark raises ValueError and TypeError
    │   ├── ResultTooLarge more than the driver may hold
    │   └── NotSupported needs a JVM
    ├── ClusterError     the machines: a lost executor, a world that does not fit the allocation
    │   ├── ScratchError a scratch disk that cannot be written or read; ScratchFull: one without space
    │   ├── HostError    this host cannot do what another one may: the task is tried there
    │   └── CorruptSpill a spill file that does not hold what was written to it
    └── InternalError    ourselves: please report it

Every message says what happened, where, and what to do about it.
"""

from __future__ import annotations

from mpirdd.protocol.tracebacks import cut_to_a_screen, with_cells
from mpirdd.protocol.values import dataclass


class MpirddError(Exception):
    """The base of all errors that mpirdd raises on purpose."""


class UsageError(MpirddError):
    """A call that makes no sense as it stands."""


class InputError(UsageError):
    """Input data that is missing or that cannot be read as asked."""


class CommandError(UsageError):
    """A mapper, combiner or reducer command that cannot run or that failed."""


class RecordError(UsageError, TypeError):
    """A record that an operation cannot take, such as a non-pair given to reduceByKey."""


class InvalidValue(UsageError, ValueError):
    """An argument out of its range; a ValueError, too."""


class InvalidType(UsageError, TypeError):
    """An argument of the wrong type; a TypeError, too."""


class NotSupported(UsageError, NotImplementedError):
    """A member of PySpark's API that needs a JVM; the message names the alternative."""


class ResultTooLarge(UsageError):
    """The result of an action is larger than ``max_result_bytes``."""

    @classmethod
    def of_a_task(cls, size: int, limit: int, label: str) -> ResultTooLarge:
        """One task's result of ``size`` bytes breaks the limit of the job ``label``."""
        return cls(_too_large("one partition's result", size, limit, label))

    @classmethod
    def of_a_job(cls, size: int, limit: int, label: str) -> ResultTooLarge:
        """All results of the job ``label`` so far, ``size`` bytes, break its limit."""
        return cls(_too_large("the results that have come so far", size, limit, label))


def _too_large(what: str, size: int, limit: int, label: str) -> str:
    return (
        f"{label}: {what}: {size:,} bytes, and the driver takes {limit:,} in a job. Write it to files (saveAsTextFile, "
        "saveAsPickleFile), take part of it (take, takeSample), go through it with toLocalIterator, or allow more: "
        "--max-result 4g, Context(max_result_bytes=...); 0 means no limit."
    )


class JobCancelled(MpirddError):
    """The program cancelled the job, by ``cancelJobGroup`` or a similar call."""


class ClusterError(MpirddError):
    """Ranks, hosts or MPI let the job down."""


class ScratchError(ClusterError):
    """The scratch folder's disk fails."""


class ScratchFull(ScratchError):
    """The scratch folder's disk has no space left, or the user's quota is used up."""


class HostError(ClusterError):
    """This host cannot do what another one may. A task that raises it is tried once on each other host, whatever
    ``task_retries`` says."""


class CorruptSpill(ClusterError):
    """A spill file does not hold what was written to it."""


class InternalError(MpirddError):
    """A bug in mpirdd."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task failed, as the executor tells the driver."""

    summary: str
    """The exception's type and text, one line or more: ``ZeroDivisionError: division by zero``."""
    traceback: str
    """The traceback as the executor saw it, from the user's function downwards."""
    rank: int
    host: str
    stage: str
    """The stage's operation: ``reduceByKey at job.py:12``."""
    partition: int
    exception: bytes | None
    """The exception itself, pickled, if possible."""
    tried: tuple[str, ...] = ()
    """The places of all attempts, if there were several, in order: ``rank 2 (node17)``. This failure
    is that of the last attempt."""
    of_host: bool = False
    """A ``HostError``."""


_WHOLE = "error.failure.traceback has them all, and so has the event log"


class TaskError(MpirddError):
    """A user's function raised inside a task. The job has failed; the Context is still usable.

    Attributes:
        failure: place and reason, with the whole remote traceback; the message shows as much of it as fits on a screen.
        __cause__: the user's own exception, if it could travel to the driver.
    """

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        where = f"  in {failure.stage}, partition {failure.partition}, on rank {failure.rank} ({failure.host})"
        tried = f"  tried {len(failure.tried)} times, on {', '.join(failure.tried)}; this is the last failure"
        super().__init__("\n".join([
            cut_to_a_screen(failure.summary, _WHOLE, lines=10), where, *([tried] if failure.tried else []),
            *([cut_to_a_screen(with_cells(failure.traceback.rstrip()), _WHOLE)] if failure.traceback else [])]))

    def __reduce__(self) -> tuple[type[TaskError], tuple[Failure]]:
        return type(self), (self.failure,)


for _kind in list(globals().values()):
    if isinstance(_kind, type) and issubclass(_kind, MpirddError):
        _kind.__module__ = "mpirdd"  # users import the errors from here, and tracebacks show this name
