"""Values to frames and back, and the errors for values that cannot travel."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpirdd.protocol.errors import UsageError
from mpirdd.store.codec import OUT_OF_BAND_BYTES, decode, encode, inside, pickle_function

LOCK = threading.Lock()
"""Something that cannot be pickled, as a global."""

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(deadline=None, max_examples=60)
@given(VALUES, st.booleans())
def test_values_come_back(value: Any, by_value: bool) -> None:
    assert decode(encode(value, by_value=by_value)) == value


def test_large_arrays_travel_as_raw_frames_that_are_not_copied() -> None:
    array = np.arange(10_000.0)
    frames = encode([array, "x"])
    assert len(frames) == 2 and len(frames[0]) < 1_000
    assert np.shares_memory(np.frombuffer(frames[1]), array)
    assert np.shares_memory(decode(frames)[0], array)


def test_small_arrays_stay_inside_the_pickle() -> None:
    small = np.zeros(OUT_OF_BAND_BYTES // 8 - 1)
    assert len(encode([small] * 100)) == 1
    assert len(encode(np.zeros(OUT_OF_BAND_BYTES // 8))) == 2


@pytest.mark.parametrize("array", [
    np.zeros((0, 5)),
    np.arange(6_000).reshape(20, 300),
    np.asfortranarray(np.arange(6_000).reshape(20, 300)),
    np.arange(20_000)[::2],
    np.array(["text", "more"] * 3_000),
    np.array([{"any": "object"}, None], dtype=object),
    np.zeros(2_000, dtype=[("key", "<i8"), ("value", "<f4")]),
    np.array(5.0),
], ids=["empty", "rows", "columns", "every second", "text", "objects", "records", "scalar"])
def test_arrays_of_any_kind_come_back(array: np.ndarray) -> None:
    back = decode([bytes(frame) for frame in encode(array)])
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


def test_arrays_are_writable_where_the_frames_are() -> None:
    writable = decode([bytearray(frame) for frame in encode(np.zeros(10_000))])
    writable[0] = 1
    read_only = decode([bytes(frame) for frame in encode(np.zeros(10_000))])
    assert not read_only.flags.writeable


def test_frames_inside_a_larger_value_still_travel_as_they_are() -> None:
    array = np.arange(10_000.0)
    frames = encode(("report", inside(encode(array))))
    assert any(np.shares_memory(np.frombuffer(frame, "u1"), array) for frame in frames[1:])
    _, inner = decode([bytes(frame) for frame in frames])
    assert np.array_equal(decode(inner), array)


def test_lambdas_and_local_classes_travel() -> None:
    class Local:
        def __init__(self, value: int) -> None:
            self.value = value

    assert decode(encode(lambda x: x + 1))(2) == 3
    assert decode(encode(Local(7))).value == 7
    assert pickle.loads(pickle_function(lambda x: x * LOCAL_FACTOR, "map"))(2) == 6


LOCAL_FACTOR = 3


def test_what_main_defines_travels_by_value(tmp_path: Path) -> None:
    """It goes to a process with another __main__: this one."""
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from mpirdd.store.codec import encode\n"
        "class Point:\n"
        "    def __init__(self, x): self.x = x\n"
        "    def double(self): return helper(self.x)\n"
        "def helper(x): return 2 * x\n"
        "sys.stdout.buffer.write(encode(Point(21), by_value=True)[0])\n"
    )
    frame = subprocess.run([sys.executable, program], capture_output=True, check=True).stdout
    assert decode([frame]).double() == 42


# --- what cannot be pickled -------------------------------------------------------------------------------------------


def message_of(value: Any) -> str:
    with pytest.raises(UsageError) as raised:
        encode(value)
    return str(raised.value)


class Holder:
    """With a slot for anything."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def method(self, record: Any) -> Any:
        return record


def make_closure(variable: Any) -> Callable[[Any], Any]:
    return lambda record: (variable, record)


def nested(variable: Any) -> Callable[[Any], Any]:
    def inner(record: Any) -> Any:
        return variable, record

    return lambda record: inner(record)


def with_default(record: Any, lock: Any = None) -> Any:
    return record


@pytest.mark.parametrize(("value", "way"), [
    (threading.Lock(), ""),
    ([1, [2, threading.Lock()]], "item 1 -> item 1"),
    ({"a": {"b": threading.Lock()}}, "key 'a' -> key 'b'"),
    (make_closure(threading.Lock()), "variable 'variable'"),
    (nested(threading.Lock()), "variable 'inner' -> variable 'variable'"),
    (functools.partial(with_default, threading.Lock()), ""),
    (functools.partial(with_default, lock=threading.Lock()), "argument 'lock'"),
    (functools.partial(make_closure(threading.Lock()), 1), "variable 'variable'"),
    (Holder(threading.Lock()), "attribute 'held'"),
    (Holder(threading.Lock()).method, "its object -> attribute 'held'"),
], ids=["itself", "list", "dict", "closure", "nested closure", "partial", "keyword", "partial of a closure", "object", "method"])
def test_the_message_names_the_culprit_and_the_way_to_it(value: Any, way: str) -> None:
    message = message_of(value)
    assert "of type lock cannot be pickled" in message
    assert way in message
    assert "mapPartitions" in message


def test_globals_and_defaults_of_a_function_are_named() -> None:
    """In functions that are shipped by value, as those of the program itself are."""
    space: dict[str, Any] = {"__name__": "__main__", "LOCK": LOCK}
    exec("def uses(record): return LOCK\n"
         "def deep(record): return [LOCK for _ in record] if record else (lambda: LOCK)\n"
         "def default(record, held=LOCK): return record\n"
         "def keyword(record, *, held=LOCK): return record\n"
         "def again(record): return again(record) if record else LOCK\n", space)
    for name, way in [("uses", "global 'LOCK'"), ("deep", "global 'LOCK'"), ("default", "default 0"),
                      ("keyword", "default 'held'"), ("again", "global 'LOCK'")]:
        with pytest.raises(UsageError) as raised:
            pickle_function(space[name], "map at job.py:3")
        assert str(raised.value).startswith("map at job.py:3: ")
        assert "of type lock" in str(raised.value)
        assert way in str(raised.value), name


def test_generators_and_open_files_are_named(tmp_path: Path) -> None:
    assert "of type generator" in message_of({"numbers": (x for x in range(3))})
    with open(tmp_path / "file", "w") as file:
        assert "of type TextIOWrapper" in message_of(make_closure(file))


def test_an_error_that_mpirdd_raises_while_pickling_passes_through() -> None:
    class Refusing:
        def __reduce__(self) -> Any:
            raise UsageError("used inside a task")

    with pytest.raises(UsageError, match=r"^used inside a task$"):
        encode([Refusing()])
    with pytest.raises(UsageError, match=r"^used inside a task$"):
        pickle_function(make_closure(Refusing()), "map")


def test_a_value_that_refers_to_itself_ends_in_a_message() -> None:
    loop: list[Any] = [threading.Lock()]
    loop.append(loop)
    assert "of type lock" in message_of(loop)


class Interruption(Exception):
    """What a signal handler of the program raises."""


class Interrupting:
    """Interrupts its pickling as a signal would: once, and through no fault of its own."""

    def __init__(self) -> None:
        self.times = 0

    def __reduce__(self) -> Any:
        self.times += 1
        if self.times == 1:
            raise Interruption
        return int, ()


def test_an_interruption_of_pickling_passes_unchanged() -> None:
    """It used to become a UsageError that a value cannot be pickled, or was lost in the second try."""
    with pytest.raises(Interruption):
        encode([Interrupting()])
    with pytest.raises(Interruption):
        pickle_function(make_closure(Interrupting()), "map")


def test_each_part_is_pickled_a_bounded_number_of_times() -> None:
    """Once more at every level of nesting, it once was."""
    times = 0

    class Counting:
        def __reduce__(self) -> Any:
            nonlocal times
            times += 1
            return int, ()

    value: Any = [Counting(), threading.Lock()]
    for _ in range(6):
        value = [value]
    assert "item 0 -> item 0" in message_of(value)
    assert times <= 3


def test_the_culprit_is_found_in_a_large_value() -> None:
    value = [*range(50_000), {"deep": [threading.Lock()]}]
    assert "item 50000 -> key 'deep' -> item 0" in message_of(value)
