"""The number of distinct values, estimated from a few bytes: HyperLogLog.

A value's 64-bit hash names one of ``2**precision`` registers and a *rank*, the place of the first one bit in the remaining bits.
Each register keeps its largest rank. Flajolet, Fusy, Gandouet and Meunier, "HyperLogLog" (2007). The estimator is the improved
one of Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (arXiv:1702.01284), which needs neither tables nor
switches between ranges. A library (Apache's datasketches) would add a dependency with compiled parts to save 40 lines.

A sketch is a sorted array of codes, ``register * 64 + rank``, of the registers in use. So a high precision takes no more memory
than the values do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from mpirdd.ops.hashing import stable_hash

if TYPE_CHECKING:
    from numpy import uint64
    from numpy.typing import NDArray

    Sketch = NDArray[uint64]

_CHUNK = 1 << 16
_64_BITS = (1 << 64) - 1
_EXACT = 53
"""Bits in a float's mantissa: ranks are found by its exponent."""


def precision_for(relative_sd: float) -> int:
    """The lowest precision, from 4 to 32, whose standard error ``1.04 / sqrt(2**precision)`` is at most ``relative_sd``."""
    return min(max(math.ceil(2 * math.log2(1.04 / relative_sd)), 4), 32)


def sketch(values: Iterable[Any], precision: int) -> Sketch:
    """The sketch of some values. Raises RecordError for a value without a stable hash."""
    import numpy

    iterator = iter(values)
    made = numpy.empty(0, numpy.uint64)
    while True:
        chunk = islice(iterator, _CHUNK)  # not a list: values may be large
        hashes = numpy.fromiter((stable_hash(value) & _64_BITS for value in chunk), numpy.uint64)
        if not len(hashes):
            return made
        made = merge([made, _codes(_mixed(hashes), precision)])


def merge(sketches: Iterable[Sketch]) -> Sketch:
    """The sketch of all values of several sketches of one precision."""
    import numpy

    codes = numpy.sort(numpy.concatenate([numpy.empty(0, numpy.uint64), *sketches]))
    registers = codes >> numpy.uint64(6)
    is_last = numpy.ones(len(codes), bool)
    is_last[:-1] = registers[1:] != registers[:-1]
    largest: Sketch = codes[is_last]
    return largest


def estimate(codes: Sketch, precision: int) -> float:
    """The estimated number of distinct values in a sketch."""
    import numpy

    registers, longest = 1 << precision, _longest(precision)
    having = numpy.bincount((codes & numpy.uint64(63)).astype(numpy.int64), minlength=longest + 2).tolist()
    having[0] = registers - len(codes)
    total = registers * _tau(1 - having[longest + 1] / registers)
    for rank in range(longest, 0, -1):
        total = (total + having[rank]) / 2
    total += registers * _sigma(having[0] / registers)
    return registers * registers / (2 * math.log(2) * total)


def _mixed(hashes: Sketch) -> Sketch:
    """Hashes of which every bit depends on all bits (the hash of a small int is the int). SplitMix64 (Steele, Lea, Flood
    2014)."""
    import numpy

    mixed = hashes + numpy.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    result: Sketch = mixed ^ (mixed >> numpy.uint64(31))
    return result


def _codes(hashes: Sketch, precision: int) -> Sketch:
    import numpy

    rest = (hashes << numpy.uint64(precision)) >> numpy.uint64(64 - _EXACT)
    _, exponents = numpy.frexp(rest.astype(numpy.float64))
    ranks = numpy.minimum(_EXACT + 1 - exponents, _longest(precision) + 1).astype(numpy.uint64)
    codes: Sketch = ((hashes >> numpy.uint64(64 - precision)) << numpy.uint64(6)) | ranks
    return codes


def _longest(precision: int) -> int:
    """The number of bits searched for the rank; without a one bit among them, the rank is one more."""
    return min(64 - precision, _EXACT)


def _sigma(share: float) -> float:
    """For ``share``, the share of unused registers: Ertl's algorithm 6."""
    if share == 1.0:
        return math.inf
    total, before, weight = share, -1.0, 1.0
    while total != before:
        share *= share
        before = total
        total += share * weight
        weight += weight
    return total


def _tau(share: float) -> float:
    """For ``share``, the share of registers that are not full: Ertl's algorithm 6."""
    if share in (0.0, 1.0):
        return 0.0
    total, before, weight = 1 - share, -1.0, 1.0
    while total != before:
        share = math.sqrt(share)
        before = total
        weight /= 2
        total -= (1 - share) ** 2 * weight
    return total / 3
