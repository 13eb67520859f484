"""Whether a numpy array holds the records that it was made of.

``numpy.asarray(records, dtype)`` cuts what does not fit without a word: 1.7 becomes 1 as i4, 300 becomes 44 as u1, 'abcdef'
'ab' as U2, and 1 beside 'a' becomes '1'. Whole blocks are compared by numpy's and Python's own loops; one record at a time is
looked at only where these cannot say. Measured on 200,000 records (CPU time, median of 5, with and without in turn): 0.02 to
0.1 us a record for numbers and text, 0.1 to 0.2 us for rows of 8 floats. Making the array takes 0.05, and 0.2 us, so a write
alone takes 1.3 to 2.2 times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpirdd.formats.records.library import library

_EXACT = 1 << 62
"""Floats below it become ints of 64 bits, and ints floats, without leaving the range."""

def first_lost(records: Sequence[Any], block: Any, *, is_given: bool) -> int | None:
    """The place of the first record that ``block`` does not hold; None: it holds all.

    Args:
        is_given: the user names the dtype: floats may be rounded to it, text parsed, numbers written as text.
    """
    numpy = library("numpy", "an array")
    if not is_given and block.dtype.kind == "f" and all(isinstance(each, int | numpy.integer) for each in records):
        return 0  # ints that no type of ints holds
    if _surely_kept(records, block):
        return None
    places = range(len(records))
    return next((place for place in places if not _kept_safely(records[place], block, place, is_given)), None)


def _surely_kept(records: Sequence[Any], block: Any) -> bool:
    numpy = library("numpy", "an array")
    kinds, dtype = set(map(type, records)), block.dtype
    if dtype.names is not None or dtype.kind in "mMV":
        return False
    if kinds == {numpy.ndarray}:
        return {record.dtype for record in records} == {dtype} or _numbers_kept(numpy.asarray(records), block)
    if kinds == {int} and dtype.kind == "i" and dtype.itemsize == 8:
        return True  # numpy refuses larger ones
    if kinds == {float} and dtype.kind == "f":
        return dtype.itemsize >= 8 or not numpy.isinf(block).any()
    if all(issubclass(kind, numpy.number) for kind in kinds) and all(numpy.dtype(kind) == dtype for kind in kinds):
        return True
    try:
        return bool(block.tolist() == list(records))
    except Exception:  # arrays have no one truth
        return False


def _numbers_kept(given: Any, block: Any) -> bool:
    """Are the numbers of ``given`` surely those of ``block``, or rounded to floats of fewer bits?"""
    numpy = library("numpy", "an array")
    kinds = given.dtype.kind + block.dtype.kind
    if not given.size or given.shape != block.shape or not set(kinds) <= set("biuf"):
        return False
    with numpy.errstate(all="ignore"):
        if kinds == "ff":
            return not bool(numpy.isinf(block).any())
        same = (block.astype(given.dtype) == given) & ((block < 0) == (given < 0))
        return bool(same.all()) and ("f" not in kinds or bool((abs(block.astype("f8")) < _EXACT).all()))


def _kept_safely(record: Any, block: Any, place: int, is_given: bool) -> bool:
    numpy = library("numpy", "an array")
    try:
        with numpy.errstate(all="ignore"):
            return _kept(numpy, record, block[place], is_given)
    except Exception:  # values that do not compare
        return False


def _kept(numpy: Any, record: Any, back: Any, is_given: bool) -> bool:
    dtype = back.dtype
    if dtype.names is not None and back.ndim == 0:
        values = record if isinstance(record, tuple | list) else tuple(record)
        return len(values) == len(dtype.names) and all(
            _kept(numpy, value, numpy.asarray(back[name])[()], is_given)
            for value, name in zip(values, dtype.names, strict=True))
    if back.ndim:
        given = getattr(record, "dtype", None)
        if given is not None and (given == dtype or (given.kind == dtype.kind and numpy.can_cast(given, dtype, "safe"))):
            return True
        return len(record) == len(back) and all(
            _kept(numpy, value, found, is_given) for value, found in zip(record, back, strict=True))
    if dtype.kind in "mM":
        given = numpy.asarray(record)
        return bool(given == back or (numpy.isnat(back) and (record is None or str(record) in ("NaT", "nat"))))
    if dtype.kind == "V":
        return bytes(back.tobytes()) == bytes(record)
    if isinstance(record, numpy.generic | numpy.ndarray):
        record = record.item()
    found = back.item()
    if isinstance(record, str | bytes) or isinstance(found, str | bytes):
        return _text_kept(record, found, is_given)
    if bool(record == found):
        return True
    if dtype.kind not in "fc":
        return False
    if record != record or found != found:
        return bool(record != record) and bool(found != found)
    return is_given and isinstance(record, float | complex) and bool(numpy.isfinite(back))


def _text_kept(record: Any, found: Any, is_given: bool) -> bool:
    if type(found) is type(record):
        return bool(found == record)
    if isinstance(found, bytes):
        return (is_given or isinstance(record, str)) and found == str(record).encode()
    if isinstance(found, str):
        return is_given and found == str(record)
    return is_given and isinstance(record, str | bytes)  # numpy has parsed a number


def joins(blocks: Sequence[Any], array: Any) -> bool:
    """Does ``array``, of all blocks in a row, hold what they hold?"""
    numpy, start = library("numpy", "an array"), 0
    for block in blocks:
        part = array[start : start + len(block)]
        start += len(block)
        same_kind = block.dtype.kind == array.dtype.kind and numpy.can_cast(block.dtype, array.dtype, "safe")
        if not same_kind and block.dtype.names is None and block.tolist() != part.tolist():
            return False
    return True
