"""Broadcast variables: values that travel to each executor once, and that its tasks share."""

from __future__ import annotations

import pickle
from types import GenericAlias
from typing import Any, BinaryIO
from weakref import finalize

from mpirdd.api.snapshots import cannot_change
from mpirdd.driver.driver import Driver
from mpirdd.ops.current_task import current_task, note_broadcast
from mpirdd.protocol.errors import UsageError
from mpirdd.store.codec import decode

_NOT_DECODED = object()


class Broadcast:
    """A read-only value for tasks; made by ``Context.broadcast``. What the program does to the object later changes neither
    what tasks see nor ``value``. (Only where the object holds other broadcast variables, ``value`` is the object itself.)

    A value of 64 KiB and more (encoded; the setting ``broadcast_bytes``) lies in shared memory,
    once on each host, and numpy arrays in it are read-only views of that memory, on the driver too:
    a program that drops the array it has broadcast, and goes on with ``value``, holds one copy of
    it. Each executor unpickles other objects once. When neither the program nor a function of an
    RDD refers to the variable any more, the next job or broadcast first frees its memory.

    >>> table = sc.broadcast({1: "one", 2: "two"})
    >>> sc.parallelize([2, 1]).map(lambda x: table.value[x]).collect()
    ['two', 'one']
    """

    __class_getitem__: Any = classmethod(GenericAlias)  # for annotations: Broadcast[int]

    def __init__(self, driver: Driver, broadcast: int, value: Any) -> None:
        self._driver = driver
        self._id = broadcast
        self._frames, inner = driver.broadcast(broadcast, value)
        self._value = value if inner or cannot_change([value]) else _NOT_DECODED
        self._destroyed = False
        finalize(self, driver.unreferenced_broadcast, broadcast).atexit = False

    @property
    def value(self) -> Any:
        """The value as it was when it was broadcast. Change it nowhere: tasks of an executor share it, and arrays of a
        host's ranks. On the driver, the first call unpickles it."""
        self._check()
        if self._value is _NOT_DECODED:
            self._value = decode(self._frames)
        self._frames = []
        return self._value

    def unpersist(self, blocking: bool = False) -> None:
        """Drop the executors' copies once no task uses them; a later use sends the value again.
        ``blocking`` waits for it."""
        self._check()
        self._driver.drop_broadcast(self._id, destroy=False, wait=blocking)

    def destroy(self, blocking: bool = False) -> None:
        """Drop it for good, memory on the driver included; later use is an error. Arrays that the program has taken from
        ``value`` stay valid, and keep the memory for as long as they exist."""
        self._check()
        self._destroyed = True
        self._value, self._frames = None, []
        self._driver.drop_broadcast(self._id, destroy=True, wait=blocking)

    def dump(self, value: Any, f: BinaryIO) -> None:
        """Pickle ``value`` to an open file, and close it. Raises PicklingError, with a hint, if it
        cannot be pickled."""
        try:
            pickle.dump(value, f, 5)
        except pickle.PickleError:
            raise
        except Exception as error:  # a class may raise anything when it is pickled
            raise pickle.PicklingError(f"cannot pickle the value to broadcast: {error}") from error
        f.close()

    def load(self, file: BinaryIO) -> Any:
        """The value in an open file that ``dump`` wrote. Only for files that you trust: unpickling can run code."""
        return pickle.load(file)

    def load_from_path(self, path: str) -> Any:
        """The value in a file that ``dump`` wrote. Only for files that you trust: unpickling can run code."""
        with open(path, "rb") as file:
            return self.load(file)

    def __repr__(self) -> str:
        return f"<Broadcast {self._id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        self._check()
        note_broadcast(self._id)
        return _Received, (self._id,)

    def _check(self) -> None:
        if self._destroyed:
            raise UsageError(f"broadcast variable {self._id} has been destroyed and cannot be used any more")


class _Received:
    """A broadcast variable as tasks see it."""

    def __init__(self, broadcast: int) -> None:
        self._id = broadcast

    @property
    def value(self) -> Any:
        task = current_task()
        if task is None:
            raise UsageError("a broadcast variable that was sent to an executor can be used inside tasks only")
        return task.broadcast(self._id)

    def unpersist(self, blocking: bool = False) -> None:
        raise UsageError("a broadcast variable can be unpersisted on the driver only")

    def destroy(self, blocking: bool = False) -> None:
        raise UsageError("a broadcast variable can be destroyed on the driver only")
