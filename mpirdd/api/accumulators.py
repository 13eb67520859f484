"""Accumulators: sums that tasks add to and the driver reads.

A task's additions travel with its result. The driver merges them once for each partition of an
action, however often the task ran. (In transformations, as in Spark, a partition that is computed
again later adds again.)
"""

from __future__ import annotations

from copy import deepcopy
from types import GenericAlias
from typing import Any
from weakref import WeakValueDictionary

from mpirdd.ops.current_task import current_task
from mpirdd.protocol.errors import UsageError


class AccumulatorParam:
    """How values of a type are added; subclass it for types other than numbers."""

    __class_getitem__: Any = classmethod(GenericAlias)  # for annotations: AccumulatorParam[int]

    def zero(self, value: Any) -> Any:
        """The neutral element for values like ``value``."""
        raise NotImplementedError

    def addInPlace(self, value1: Any, value2: Any) -> Any:
        """The sum; may change and return ``value1``."""
        raise NotImplementedError


class AddingAccumulatorParam(AccumulatorParam):
    """For types with ``+=``."""

    def __init__(self, zero_value: Any) -> None:
        self.zero_value = zero_value

    def zero(self, value: Any) -> Any:
        return self.zero_value

    def addInPlace(self, value1: Any, value2: Any) -> Any:
        value1 += value2
        return value1


class Accumulator:
    """A sum: tasks add to it with ``+=`` or ``add``; only the driver can read its ``value``.

    >>> total = sc.accumulator(1)
    >>> def f(x):
    ...     total.add(x)
    >>> sc.parallelize([1, 2, 3]).foreach(f)
    >>> total.value
    7
    """

    __class_getitem__: Any = classmethod(GenericAlias)  # for annotations: Accumulator[int]

    def __init__(self, aid: int, value: Any, accum_param: AccumulatorParam) -> None:
        self.aid = aid
        self.accum_param = accum_param
        self._value = value
        self._remote = False

    @property
    def value(self) -> Any:
        """The sum so far; on the driver only."""
        self._on_driver("read")
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        self._on_driver("set")
        self._value = value

    def add(self, term: Any) -> None:
        """Add a term, in a task or on the driver."""
        if not self._remote:
            self._value = self.accum_param.addInPlace(self._value, term)
            return
        task = current_task()
        if task is None:
            raise UsageError(
                "an accumulator was added to outside of a task, where nobody counts it; in a thread that your function "
                "starts, run contextvars.copy_context().run(function)"
            )
        # A copy: a param may give the same object each time, and one task's sum would then change
        # the next task's zero.
        so_far = task.updates[self.aid] if self.aid in task.updates else deepcopy(self.accum_param.zero(self._value))
        task.updates[self.aid] = self.accum_param.addInPlace(so_far, term)

    def __iadd__(self, term: Any) -> Accumulator:
        self.add(term)
        return self

    def __str__(self) -> str:
        return str(self._value)

    def __repr__(self) -> str:
        return f"Accumulator<id={self.aid}, value={self._value}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _remote, (self.aid, self.accum_param.zero(self._value), self.accum_param)

    def _on_driver(self, what: str) -> None:
        if self._remote:
            raise UsageError(f"an accumulator's value cannot be {what} inside a task; tasks can only add to it")


def _remote(aid: int, zero: Any, param: AccumulatorParam) -> Accumulator:
    accumulator = Accumulator(aid, zero, param)
    accumulator._remote = True
    return accumulator


def param_for(value: Any) -> AccumulatorParam:
    """The param for a number; raises TypeError for other types."""
    for kind, zero in ((int, 0), (float, 0.0), (complex, 0.0j)):
        if isinstance(value, kind):
            return AddingAccumulatorParam(zero)
    raise TypeError(f"no default accumulator param for type {type(value).__name__}; give an AccumulatorParam")


class Accumulators:
    """The accumulators of a Context that the program still refers to."""

    def __init__(self) -> None:
        self._by_id: WeakValueDictionary[int, Accumulator] = WeakValueDictionary()

    def make(self, aid: int, value: Any, param: AccumulatorParam | None) -> Accumulator:
        """A new one; TypeError if there is no param and the value is no number."""
        accumulator = self._by_id[aid] = Accumulator(aid, value, param or param_for(value))
        return accumulator

    def add_up(self, updates: dict[int, Any]) -> None:
        """Add what a task has added, by the accumulators' ids."""
        for aid, term in updates.items():
            accumulator = self._by_id.get(aid)
            if accumulator is not None:
                accumulator.add(term)
