"""Our ``dataclass`` is Python's, as far as our classes use it."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from mpirdd.protocol.messages import CancelTask, Ping, Report
from mpirdd.protocol.values import dataclass, field


@dataclass(slots=True)
class Changing:
    name: str
    items: list[int] = field(default_factory=list)
    more: int = 3


def test_values_have_fields_defaults_equality_and_a_name() -> None:
    task = CancelTask(3, partition=4)
    assert (task.stage, task.partition) == (3, 4) and task == CancelTask(3, 4) != CancelTask(3, 5)
    assert hash(task) == hash(CancelTask(3, 4)) and Ping() == Ping() != task
    assert repr(task) == "CancelTask(stage=3, partition=4)"
    assert Report(()).sizes == {} and Report(()).sizes is not Report(()).sizes
    assert pickle.loads(pickle.dumps(task)) == task and pickle.loads(pickle.dumps(Changing("a", [1]))) == Changing("a", [1])


def test_frozen_values_stay_and_others_change() -> None:
    with pytest.raises(AttributeError, match=r"CancelTask\.stage does not change"):
        CancelTask(3, 4).stage = 5  # type: ignore[misc]
    value = Changing("a")
    value.more = 4
    assert value == Changing("a", [], 4)
    with pytest.raises(TypeError):
        hash(value)
    with pytest.raises(AttributeError):
        value.other = 1  # type: ignore[attr-defined]


def test_wrong_arguments_are_refused_as_python_does() -> None:
    for wrong in (lambda: CancelTask(3), lambda: CancelTask(3, 4, 5), lambda: CancelTask(3, 4, other=1)):  # type: ignore
        with pytest.raises(TypeError, match=r"__init__\(\)"):
            wrong()


def test_pythons_own_module_can_look_at_them() -> None:
    assert [each.name for each in dataclasses.fields(Changing)] == ["name", "items", "more"]
    assert dataclasses.replace(CancelTask(3, 4), partition=5) == CancelTask(3, 5)
    assert dataclasses.is_dataclass(CancelTask)
    assert dataclasses.asdict(Changing("a", [1])) == {"name": "a", "items": [1], "more": 3}
