"""stable_hash: equal keys, equal hashes, in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpirdd.ops import hashing
from mpirdd.ops.hashing import stable_hash
from mpirdd.protocol.errors import RecordError

Point = namedtuple("Point", "x y")
EAST = timezone(timedelta(hours=2))


class Color(Enum):
    RED = 1
    BLUE = 2


class Level(IntEnum):
    LOW = 3


class Tag(str, Enum):
    A = "a"


class Access(Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Place:
    name: str
    number: int
    notes: list[str] = field(default_factory=list, compare=False)


@dataclass(frozen=True)
class NamedNode:
    """A frozen dataclass whose author decided that the number alone makes it equal."""

    number: int
    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedNode) and self.number == other.number

    def __hash__(self) -> int:
        return hash(self.number)


class AnyCase(str):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    def __hash__(self) -> int:
        return hash(self.lower())

    def __stable_hash__(self) -> str:
        return self.lower()


class OwnHash:
    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnHash) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


EQUAL_KEYS: list[list[Any]] = [
    [1, 1.0, True, Decimal(1), Fraction(1), 1 + 0j, np.int8(1), np.uint64(1), np.float32(1), np.bool_(True)],
    [0, 0.0, -0.0, False, Decimal("-0"), np.float64(-0.0)],
    [-1, -1.0, np.int64(-1)],
    [0.5, Fraction(1, 2), Decimal("0.5"), np.float16(0.5), np.longdouble(0.5)],
    [2**80, float(2**80), Decimal(2**80)],
    [2**63, np.uint64(2**63)],
    [float("inf"), Decimal("inf"), np.float64("inf")],
    ["a", np.str_("a"), Tag.A],
    [b"a", np.bytes_(b"a")],
    ["\udcff", "\udcff"],
    [3, Level.LOW],
    [(1, "a"), (1.0, np.str_("a")), (True, Tag.A), Point(1, "a")],
    [(1, (2, ("x",))), Point(1.0, (2.0, ("x",)))],
    [frozenset([1, "a", None]), frozenset([None, "a", 1.0])],
    [date(2020, 5, 1), np.datetime64("2020-05-01"), np.datetime64("2020-05-01", "D")],
    [np.datetime64("2020-05-01"), np.datetime64("2020-05-01T00"), np.datetime64("2020-05-01", "ns")],
    [datetime(2020, 5, 1, 3), np.datetime64("2020-05-01T03", "us")],
    [datetime(2020, 1, 1, 12, tzinfo=timezone.utc), datetime(2020, 1, 1, 14, tzinfo=EAST)],
    [time(12, tzinfo=timezone.utc), time(14, tzinfo=EAST)],
    [timedelta(days=1), timedelta(hours=24), np.timedelta64(1, "D"), np.timedelta64(24, "h")],
    [UUID(int=7), UUID("00000000-0000-0000-0000-000000000007")],
    [Place("x", 1), Place("x", 1, ["seen"])],
    [Access.READ | Access.WRITE, Access.WRITE | Access.READ],
    [AnyCase("abc"), AnyCase("ABC")],
    [int, int],
    [Place, Place],
    [Color, Color.RED.__class__],
    [list[int].__origin__, list],
    [len, len],
    [Path.home().__class__.joinpath, Path.home().__class__.joinpath],
    [..., Ellipsis],
    [NotImplemented, NotImplemented],
    [range(5, 5), range(0)],
    [range(0, 4, 2), range(0, 3, 2)],
    [(int, "a"), (int, "a")],
]


@pytest.mark.parametrize("keys", EQUAL_KEYS)
def test_equal_keys_have_equal_hashes(keys: list[Any]) -> None:
    assert all(key == keys[0] for key in keys)
    assert len({stable_hash(key) for key in keys}) == 1
    assert len({stable_hash(key, seed=9) for key in keys}) == 1


ATOMS = st.integers() | st.floats() | st.fractions() | st.text() | st.binary() | st.none()
KEYS = st.recursive(ATOMS, lambda part: st.tuples(part, part) | st.frozensets(part, max_size=3), max_leaves=6)


@given(KEYS)
def test_a_copy_has_the_hash_of_its_original(key: Any) -> None:
    copy = eval(repr(key), {"nan": float("nan"), "inf": float("inf"), "Fraction": Fraction})
    assert stable_hash(copy) == stable_hash(key)


NANS = [float("nan"), np.float32("nan"), Decimal("nan"), complex("nan"), np.datetime64("NaT", "us")]


@pytest.mark.parametrize("nan", NANS, ids=repr)
def test_every_nan_is_one_key(nan: Any) -> None:
    assert stable_hash(nan) == stable_hash(float("nan"))
    assert stable_hash((1, nan)) == stable_hash((1, float("nan")))


def test_distinct_keys_differ() -> None:
    numbers_and_text = [0, 1, -1, 0.1, "", "a", "b", b"b!", UUID(int=2**70)]
    parts = [(), (0,), (0, 0), ((0,),), frozenset([0]), frozenset([1, 4]), frozenset([2, 3])]
    others = [date(2020, 1, 1), datetime(2020, 1, 1, 1), Color.RED, Color.BLUE, Access.READ, Place("x", 1)]
    keys: list[Any] = [*numbers_and_text, *parts, *others]
    assert len({stable_hash(key) for key in keys}) == len(keys)


def portable_hash(key: Any) -> int:
    """pyspark.rdd.portable_hash, for keys without text."""
    if key is None:
        return 0
    if isinstance(key, tuple):
        value = 0x345678
        for item in key:
            value ^= portable_hash(item)
            value *= 1000003
            value &= sys.maxsize
        return value ^ len(key)
    return hash(key)


@given(st.recursive(st.none() | st.integers(), lambda part: st.lists(part, max_size=3).map(tuple)))
def test_ints_none_and_tuples_of_them_hash_as_in_pyspark(key: Any) -> None:
    assert stable_hash(key) == portable_hash(key)


@given(st.integers(-(2**60), 2**60).filter(lambda number: number != -1))
def test_an_int_is_its_own_hash(number: int) -> None:
    assert stable_hash(number) == number


@pytest.mark.parametrize("make", [int, float, str, lambda i: (i, i), lambda i: i * 64])
def test_a_seed_parts_keys_that_met_under_another(make: Any) -> None:
    first = stable_hash(make(0)) % 8
    together = [key for key in map(make, range(8000)) if stable_hash(key) % 8 == first]
    counts = np.bincount([stable_hash(key, seed=1) % 8 for key in together], minlength=8)
    assert counts.min() > 0.6 * len(together) / 8
    again = [key for key in together if stable_hash(key, seed=1) % 8 == first]
    assert len({stable_hash(key, seed=2) % 8 for key in again}) == 8


def test_text_spreads_evenly() -> None:
    counts = np.bincount([stable_hash(f"word{i}") % 10 for i in range(20000)], minlength=10)
    assert abs(counts - 2000).max() < 200


UNPLACEABLE: list[tuple[Any, str, str]] = [
    ([1], "(list)", "tuple"),
    ({"a": 1}, "(dict)", "items"),
    ({1}, "(set)", "frozenset"),
    (bytearray(b"a"), "(bytearray)", "bytes"),
    (np.arange(3), "(ndarray)", "tobytes"),
    ((1, (2, [3])), "[3] (list)", "tuple"),
    (object(), "(object)", "__stable_hash__"),
    (Place(["x"], 1), "(list)", "tuple"),  # type: ignore[arg-type]
    (Decimal("sNaN"), "(Decimal)", "signaling"),
    (lambda key: key, "(function)", "frozen dataclass"),
    ([].append, "(builtin_function_or_method)", "__stable_hash__"),
]


@pytest.mark.parametrize(("key", "what", "instead"), UNPLACEABLE, ids=lambda value: type(value).__name__)
def test_an_unplaceable_key_is_named_with_what_to_use_instead(key: Any, what: str, instead: str) -> None:
    with pytest.raises(RecordError) as caught:
        stable_hash(key)
    assert what in str(caught.value)
    assert instead in str(caught.value)


IN_A_PROCESS = """
import sys
from pathlib import PurePosixPath
import test_hashing as t
from mpirdd.ops import hashing
from mpirdd.ops.hashing import stable_hash
from mpirdd.ops.partitioners import HashPartitioner
from mpirdd.protocol.errors import RecordError
keys = sum(t.EQUAL_KEYS, [None, t.Color.RED, frozenset("abcdef"), ("x", b"y", None)])
print([stable_hash(key, seed) for key in keys for seed in (0, 5)])
records = [(key, index) for index, key in enumerate(keys)]
print([[index for _, index in bucket] for bucket in HashPartitioner(7).split(records, 0)])
for key in t.OwnHash("a"), t.NamedNode(1, "a"), PurePosixPath("a"):
    try:
        print(stable_hash(key) == hash(key))
    except RecordError as error:
        print(error)
"""


def in_a_process(hash_seed: str) -> list[str]:
    here = Path(__file__)
    paths = os.pathsep.join([str(here.parent), str(here.parents[2])])
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths}
    command = [sys.executable, "-c", IN_A_PROCESS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


def test_hashes_and_placement_are_the_same_under_every_hash_seed() -> None:
    one, two, unseeded = in_a_process("1"), in_a_process("2"), in_a_process("random")
    assert one[:2] == two[:2] == unseeded[:2]


def test_a_hash_written_by_the_user_is_trusted_only_under_a_fixed_hash_seed() -> None:
    fixed, unseeded = in_a_process("1"), in_a_process("random")
    assert fixed[2:] == ["True"] * 3
    assert len(unseeded) == 5
    assert all("may differ between processes" in line and "PYTHONHASHSEED" in line for line in unseeded[2:])


def test_classes_of_one_name_in_different_modules_part() -> None:
    assert len({stable_hash(kind) for kind in (Place, Point, int, float, Color, Path)}) == 6


# --- classes whose __hash__ hashes an address -------------------------------------------------------------------------


class Typed:
    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.x == other.x

    def __hash__(self) -> int:
        return hash((type(self), self.x))


class Optional(Typed):
    def __hash__(self) -> int:
        return hash(self.x)


class Slotted:
    __slots__ = ("__weakref__", "x")

    def __init__(self, x: Any) -> None:
        self.x = x

    def __hash__(self) -> int:
        return hash(self.x)


class Named(Typed):
    def __hash__(self) -> int:
        return hash((type(self).__qualname__, self.x))


@pytest.fixture
def fixed_seed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    hashing._method_for.cache_clear()  # type: ignore[attr-defined]
    yield
    hashing._method_for.cache_clear()  # type: ignore[attr-defined]


@pytest.mark.parametrize("key", [list[int], int | None, Typed(1), "a".upper, Typed(1).__eq__], ids=lambda key: type(key).__name__)
@pytest.mark.usefixtures("fixed_seed")
def test_a_key_that_hashes_a_class_is_refused(key: Any) -> None:
    with pytest.raises(RecordError, match=r"define __stable_hash__|equal to nothing but itself"):
        stable_hash(key)


@pytest.mark.parametrize("make", [Optional, Slotted])
@pytest.mark.usefixtures("fixed_seed")
def test_a_key_that_hashes_none_is_refused_where_that_is_an_address(make: Any) -> None:
    assert stable_hash(make(7)) == hash(make(7))
    for x in (None, (1, None)):
        if sys.version_info >= (3, 12):
            assert stable_hash(make(x)) == hash(make(x))
        else:
            with pytest.raises(RecordError, match=r"an address before Python 3\.12"):
                stable_hash(make(x))


@pytest.mark.usefixtures("fixed_seed")
def test_a_key_that_hashes_the_name_of_its_class_is_taken() -> None:
    assert stable_hash(Named("a")) == hash(Named("a"))
