"""A hash on which all ranks agree: equal keys have equal hashes in every process and on every machine.

Python's own ``hash`` is not such a hash. For str, bytes and dates it differs between processes (PYTHONHASHSEED); for None and
plain objects it is an address; each NaN has another one. Equal keys of two ranks would silently land in different partitions.
So:

* numbers keep Python's numeric hash, which the language defines and does not seed. It makes ``1 == 1.0 == True == Decimal(1)
  == numpy.int64(1)`` agree. Ints, None and tuples of these hash as PySpark's ``portable_hash`` does, so they land in PySpark's
  partitions;
* text and bytes go through XXH3. The hashes of tuples (named ones too), frozensets, dates and times, timedeltas, UUIDs, enums
  and dataclasses are made of the hashes of the parts that their ``==`` compares;
* classes, and functions that can be imported, hash by module and qualified name; ranges by their items; Ellipsis and
  NotImplemented by their names;
* all NaNs are one key, though NaN != NaN, so records with NaN keys meet in one partition;
* a class may define ``__stable_hash__(self)`` (beside ``__eq__`` and ``__hash__``) and return a key of the kinds above that is
  equal for equal objects;
* a ``__hash__`` of the class's own is trusted only if PYTHONHASHSEED is set to a number, as ``mpirdd run`` does (and Spark for
  its workers): most such methods hash a str somewhere, and would otherwise differ between ranks. Hashing the object's pickle or
  attributes instead was rejected, because equal objects may have different attributes;
* everything else (lists, dicts, objects that equal only themselves) raises RecordError, which says what to do.

The result lies in [-2**63, 2**64): it may be negative, as PySpark's is, and ``% n`` makes a partition of it.
Equal results are promised within one version of mpirdd on 64-bit Python, not from one version to the next.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import Field, field, fields, is_dataclass, make_dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum
from functools import lru_cache
from numbers import Number
from operator import attrgetter
from types import BuiltinFunctionType, BuiltinMethodType, EllipsisType, FunctionType, MethodType, NotImplementedType
from typing import Any
from uuid import UUID

from xxhash import xxh3_64_intdigest

from mpirdd.protocol.errors import RecordError
from mpirdd.protocol.settings import hash_seed_is_fixed
from mpirdd.protocol.shown import shown

_SINGLE = (EllipsisType, NotImplementedType)
_NONE_IS_STEADY = sys.version_info >= (3, 12)
"""In earlier versions ``hash(None)`` is an address."""
_63_BITS = (1 << 63) - 1
_64_BITS = (1 << 64) - 1
_INSTEAD = {
    "list": "use a tuple",
    "dict": "use tuple(sorted(d.items())) or a frozenset of its items",
    "set": "use a frozenset",
    "bytearray": "use bytes",
    "ndarray": "use tuple(a.tolist()) or a.tobytes()",
}


def stable_hash(key: Any, seed: int = 0) -> int:
    """The hash of ``key``, the same in every process, in [-2**63, 2**64). Hashes under different seeds are independent.

    Raises:
        RecordError: the key, or a part of it, has no stable hash.
    """
    value = _method_for(type(key))(key)
    if seed == 0:
        return value
    return xxh3_64_intdigest((value & _64_BITS).to_bytes(8, "little"), seed)


def _find_method(kind: type) -> Callable[[Any], int]:
    """The function that hashes keys of exactly this class."""
    if hasattr(kind, "__stable_hash__"):
        return _of_own_key
    if kind.__hash__ is None:
        return _refuse
    if kind is type(None):  # before Python 3.12 its __hash__ is that of object
        return _zero
    if kind in _SINGLE:
        return _of_single
    if issubclass(kind, type) and kind.__hash__ is type.__hash__:
        return _of_named
    if issubclass(kind, FunctionType | BuiltinFunctionType):
        return _of_function
    # A subclass that overrides __hash__ (a str that ignores case) has its own ==, and is not found here.
    builtin = _BY_HASH_METHOD.get(kind.__hash__)
    if builtin is not None:
        return builtin
    if kind.__module__ == "numpy" and hasattr(kind, "item"):  # a scalar, recognised without importing numpy
        return _numpy_method(kind)
    if issubclass(kind, Number):
        return _of_number
    if issubclass(kind, datetime):
        return _of_datetime
    if issubclass(kind, date):
        return _of_date
    if _has_generated_equality(kind):
        return _of_dataclass
    if kind.__hash__ is object.__hash__ or not hash_seed_is_fixed() or _hashes_addresses(kind):
        return _refuse
    return hash if _NONE_IS_STEADY else _of_own_hash


_method_for: Callable[[Any], Callable[[Any], int]] = lru_cache(maxsize=512)(_find_method)
"""The same from a cache: one hit for each key, one search for each class."""


def _zero(key: Any) -> int:
    return 0


def _of_single(key: Any) -> int:
    return _of_text(repr(key))


def _of_named(key: Any) -> int:
    # A class of the program travels by value, and is one class again on the rank where it arrives.
    return _of_tuple((key.__module__ or "", key.__qualname__))


def _of_function(key: Any) -> int:
    """Functions that are pickled by name. Any other becomes a new function wherever it arrives, equal to nothing."""
    module: Any = sys.modules.get(key.__module__ or "")
    try:
        found = attrgetter(key.__qualname__)(module)
    except AttributeError:  # a lambda, a function inside a function, a method of a builtin object
        found = None
    return _of_named(key) if found is key and key.__module__ != "__main__" else _refuse(key)


def _of_range(key: range) -> int:
    # Ranges are equal when their items are.
    return _of_tuple((len(key), key[0] if key else 0, key[1] - key[0] if len(key) > 1 else 0))


def _of_number(key: Any) -> int:
    try:
        value = hash(key)
    except TypeError as error:  # Decimal("sNaN")
        raise RecordError(f"cannot place the key {shown(key)}: {error}") from None
    return value if key == key else 0  # Python hashes each NaN by its address


def _of_text(key: str) -> int:
    # XXH3 takes bytes. Lone surrogates come from undecodable file names, and are keys like any other.
    return xxh3_64_intdigest(key.encode("utf-8", "surrogatepass"))


def _of_tuple(key: tuple[Any, ...]) -> int:
    """PySpark's formula, so tuples of ints land where PySpark puts them.

    Its low bits are weak if the items depend on each other: (i, i) reaches only 3 of 8 partitions, as in PySpark.
    """
    value = 0x345678
    for item in key:
        kind = type(item)
        # Pairs of ids are common keys: this shortcut takes 300 ns for a pair instead of 400.
        part = hash(item) if kind is int else _method_for(kind)(item)
        value = ((value ^ part) * 1000003) & _63_BITS
    return value ^ len(key)


def _of_frozenset(key: frozenset[Any]) -> int:
    # A sum, because sets have no order; its terms are mixed first, or {1, 4} and {2, 3} would collide.
    return sum(stable_hash(item, seed=1) for item in key) & _63_BITS


def _of_datetime(key: datetime) -> int:
    instant = timedelta(key.toordinal(), key.second, key.microsecond, minutes=key.minute, hours=key.hour)
    return _of_timedelta(instant - (key.replace(fold=0).utcoffset() or timedelta()))


def _of_date(key: date) -> int:
    # As midnight of that day: numpy has one type for both, and its values equal either.
    return _of_timedelta(timedelta(key.toordinal()))


def _of_time(key: time) -> int:
    moment = timedelta(0, key.second, key.microsecond, minutes=key.minute, hours=key.hour)
    return _of_timedelta(moment - (key.utcoffset() or timedelta()))


def _of_timedelta(key: timedelta) -> int:
    return _of_tuple((key.days, key.seconds, key.microseconds))


def _of_uuid(key: UUID) -> int:
    return hash(key.int)


def _of_enum(key: Enum) -> int:
    # Combined flags have no name on Python 3.10. Without the module's name: for a job's own classes it may differ by rank.
    return _of_tuple((type(key).__qualname__, key._name_ or key._value_))


def _hashes_addresses(kind: type) -> bool:
    """Does the class's ``__hash__`` hash a class or a function? Python hashes these by address. This recognises the common
    ``hash((type(self), ...))``, and ``list[int]`` and its kin."""
    if kind.__module__ in ("typing", "types") or issubclass(kind, MethodType | BuiltinMethodType):
        return True
    code: Any = getattr(kind.__hash__, "__code__", None)
    names = set(code.co_names) if code is not None else set()
    return bool(names & {"type", "__class__"}) and not names & {"__name__", "__qualname__"}


def _of_own_hash(key: Any) -> int:
    """The hash of a key that may hash its attributes, on a Python that hashes None by address."""
    slots = [name for base in type(key).__mro__ for name in getattr(base, "__slots__", ()) if name != "__weakref__"]
    parts = [*getattr(key, "__dict__", {}).values(), *[getattr(key, name, 0) for name in slots]]
    return _refuse(key) if any(map(_holds_none, parts)) else hash(key)


def _holds_none(value: Any) -> bool:
    return value is None or (isinstance(value, tuple | frozenset) and any(map(_holds_none, value)))


def _of_own_key(key: Any) -> int:
    return stable_hash(key.__stable_hash__())


def _of_dataclass(key: Any) -> int:
    return _of_tuple(tuple(getattr(key, part.name) for part in fields(key) if _is_hashed(part)))


def _is_hashed(part: Field[Any]) -> bool:
    return part.compare if part.hash is None else part.hash


def _has_generated_equality(kind: type) -> bool:
    """Is ``kind`` a dataclass with generated ``__eq__`` and ``__hash__``?

    No attribute of the class says so, and a hash of fields that a handwritten ``__eq__`` ignores would separate equal keys. So
    this compares the code of both methods with that of a class made for the purpose.
    """
    if not is_dataclass(kind):
        return False
    parts = [(part.name, object, field(compare=part.compare, hash=part.hash)) for part in fields(kind)]
    twin = make_dataclass("twin", parts, unsafe_hash=True)
    return _same_code(kind.__eq__, twin.__eq__) and _same_code(kind.__hash__, twin.__hash__)


def _same_code(one: Any, other: Any) -> bool:
    one, other = getattr(one, "__code__", None), getattr(other, "__code__", None)
    if one is None or other is None:
        return False
    return (one.co_code, one.co_names) == (other.co_code, other.co_names)


def _numpy_method(kind: type) -> Callable[[Any], int]:
    if kind.__name__ in ("datetime64", "timedelta64"):
        return _of_numpy_time
    return _of_number if issubclass(kind, Number) else _of_numpy_item


def _of_numpy_time(key: Any) -> int:
    # All in one unit, since values in different units can be equal. Values that differ by nanoseconds collide: no harm.
    return stable_hash(key.astype(key.dtype.kind + "8[us]").item())


def _of_numpy_item(key: Any) -> int:
    return stable_hash(key.item())


def _refuse(key: Any) -> int:
    kind: Any = type(key)
    what = f"cannot place the key {shown(key)}"
    if kind.__hash__ is None:
        instead = _INSTEAD.get(kind.__name__, "use a tuple of its parts")
        raise RecordError(f"{what}: objects of this type are unhashable; {instead}")
    if kind.__hash__ is object.__hash__:
        raise RecordError(
            f"{what}: it is equal to nothing but itself, and no other process has it; "
            "use a tuple or a frozen dataclass, or define __eq__, __hash__ and __stable_hash__"
        )
    if hash_seed_is_fixed():
        raise RecordError(
            f"{what}: its __hash__ may differ between processes, since it hashes a class, or None (an address before Python "
            "3.12); define __stable_hash__ to return the tuple of what its __eq__ compares, or use text instead"
        )
    raise RecordError(
        f"{what}: its __hash__ may differ between processes; define __stable_hash__ to return the tuple of "
        "what its __eq__ compares, or, if its __hash__ is sound then, set PYTHONHASHSEED=0 on all ranks"
    )


_BY_HASH_METHOD: dict[Any, Callable[[Any], int]] = {
    str.__hash__: _of_text,
    bytes.__hash__: xxh3_64_intdigest,
    int.__hash__: hash,  # bool and IntEnum too
    float.__hash__: _of_number,
    tuple.__hash__: _of_tuple,
    frozenset.__hash__: _of_frozenset,
    datetime.__hash__: _of_datetime,
    date.__hash__: _of_date,
    time.__hash__: _of_time,
    timedelta.__hash__: _of_timedelta,
    UUID.__hash__: _of_uuid,
    range.__hash__: _of_range,
    Enum.__hash__: _of_enum,
}
