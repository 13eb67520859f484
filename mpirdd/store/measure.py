"""How much memory a value holds, measured on a sample of it.

The memory budget depends on this figure, so it is not a guess from one element. Small values are counted whole: ``sys.getsizeof``
of every object, rounded up to the allocator's block sizes. Of a long container, some 128 elements are measured and scaled, one
from each of as many equal strata. (The places inside the strata follow a fixed pattern: the figure is the same each time, and a
period in the data does not fool it.) Dictionaries and sets have no random access: their first and last elements are measured.

An object met again (an interned string, one configuration that all records refer to) takes memory once, so it is counted once and
not scaled. The number of different objects in a long list is estimated from the identities of 1,000 of its elements, or of 4,000
if some of these are the same.

The error against ``tracemalloc``, with its allocations rounded up in the same way, is within 15 %, and within 30 % if sizes vary
a hundredfold (``tests/unit/test_measure.py`` holds it). Sharing too thin to show in the sample makes the figure too large: in
lists, if more than some 4,000 objects are shared; by up to two thirds for pairs whose keys are 1,000 shared strings. The figure
leaves out the allocator's losses between objects. Memory that only C knows of (other than numpy's) counts as far as
``__sizeof__`` tells. Cost: 0.2 to 0.4 ms for a long container of any length, up to 1 ms for deeply nested ones or those that need
4,000 identities; 3 us for an array.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from gc import get_referents
from itertools import islice
from math import gcd
from operator import add
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

_VISITS = 300
"""Roughly the number of objects to visit in all: each container spends its share on its elements."""
_MOST_VISITS = 2_000
"""The limit for structures that are deep rather than wide, such as linked lists: the rest does not count."""
_WHOLE = 4
"""Containers up to this length are never sampled: records are such containers, and their fields differ."""
_SAMPLE = 128
"""Elements of one container that are measured."""
_SAMPLE_OF_CONTAINERS = 48
"""The same if the elements are containers themselves, which cost more to measure."""
_IDENTITIES, _MORE_IDENTITIES = 1_000, 4_000
"""Elements of one container whose identity is looked at; the larger number if some of them are the same."""
_FEW_OBJECTS = 0.4
"""With this many objects met twice for each met once, a container refers to few objects many times."""
_SMALL_FACTORS = 2 * 3 * 5 * 7
_CHANGES = (0, -5, 3, -8, 6, -2, 8, -6, 1, -3, 5, -7, 2, -1, 7, -4)
_CHANGE_UNIT = 64
"""The steps in the stretches of a container differ by this many 64ths, balanced over its length."""
_BORDERS = (0, 47, 131, 180, 259, 298, 389, 442, 503, 571, 618, 701, 749, 822, 863, 951, 1_000)
"""The ends of the stretches, in thousandths: uneven, or the stretches of periodic data would all begin at the same element of
the period."""
_LEAVES = frozenset({int, float, complex, str, bytes, bytearray, range, array})
_FREE = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)
"""Shared by all: a reference does not hold their memory."""
_SEQUENCES = (list, tuple, deque)
_PYMALLOC_BYTES = 16

_Stack = list[tuple[Any, int, float, int]]
"""(object, its parent's entry, number of such objects that it stands for, visits to spend on it)"""


def size_of(value: Any) -> int:
    """The bytes of memory that ``value`` holds, including everything that it refers to."""
    # For each object met: its own size, the factor by which it counts in its parent, and the parent's entry.
    # Scaling waits until the end, because only then is it known which objects are shared.
    sizes: list[int] = []
    factors: list[float] = []
    parents: list[int] = []
    entries: dict[int, int] = {}
    stack: _Stack = [(value, -1, 1.0, _VISITS)]
    visits = _MOST_VISITS
    while stack and visits:
        visits -= 1
        item, parent, factor, budget = stack.pop()
        kind = type(item)
        if item is None or kind is bool or (kind is int and -5 <= item <= 256):
            continue  # Python makes these only once
        met = entries.get(id(item))
        if met is not None:
            factors[met] = 1.0
            if parents[met] != parent:
                parents[met] = -1
            continue
        entries[id(item)] = at = len(sizes)
        factors.append(factor)
        parents.append(parent)
        if kind in _LEAVES:
            sizes.append(_rounded(sys.getsizeof(item)))
            continue
        own, children = _open(item)
        sizes.append(own)
        if not isinstance(item, memoryview) and kind.__module__ == "numpy" and hasattr(item, "nbytes"):
            _open_array(item, at, stack, budget)
            continue
        for part in children:
            _sample(part, at, stack, budget)
    total = 0.0
    weights: list[float] = []
    for size, factor, parent in zip(sizes, factors, parents, strict=True):
        weight = factor if parent < 0 else factor * weights[parent]
        weights.append(weight)
        total += weight * size
    return int(total)


def _open(item: Any) -> tuple[int, tuple[Iterable[Any], ...]]:
    """The object's own size, and the containers of the objects that it refers to."""
    own = _rounded(sys.getsizeof(item, 64))
    if isinstance(item, dict):
        return own, (_Ends(item), _Ends(item.values()))
    if isinstance(item, _SEQUENCES):
        return own, (item,)
    if isinstance(item, set | frozenset):
        return own, (_Ends(item),)
    if isinstance(item, memoryview):
        return own, ((item.obj,),)
    if isinstance(item, _FREE) or type(item).__module__ == "numpy":
        return 0 if isinstance(item, _FREE) else own, ()
    # An instance. Reading ``__dict__`` would make the dictionary that Python saves by keeping attributes inline.
    referents = [part for part in get_referents(item) if not isinstance(part, _FREE)]
    if type(item).__dictoffset__ and not any(type(part) is dict for part in referents):
        own += _inline_bytes(len(referents))
    return own, (referents,)


class _Instance:
    def __init__(self) -> None:
        self.attribute = None


_HEADERS_BYTES = 32
"""Memory before an instance: for the garbage collector, and for its dictionary and weak references."""
_TELLS_INLINE = sys.version_info >= (3, 13) and sys.getsizeof(_Instance()) > _Instance.__basicsize__ + _HEADERS_BYTES
"""Does ``getsizeof`` count the inline values of an instance without a dictionary? Not before Python 3.13, nor in 3.13.0."""


def _inline_bytes(attributes: int) -> int:
    """The memory of these values from Python 3.11 on, beyond ``getsizeof``."""
    return 0 if _TELLS_INLINE else _rounded(8 * attributes + (16 if sys.version_info < (3, 13) else 24))


def _open_array(item: Any, at: int, stack: _Stack, budget: int) -> None:
    """An array that owns its data reports their size. For a view, the owner counts, once for all its views."""
    base = getattr(item, "base", None)
    if base is not None:
        stack.append((base, at, 1.0, budget))
    if getattr(item, "dtype", None) == object and item.ndim:  # noqa: E721  (of numpy, where == is meant)
        flat = item.reshape(-1)
        _sample(flat[:: -(-flat.size // _SAMPLE) or 1].tolist(), at, stack, budget,
                scale=max(1.0, flat.size / _SAMPLE))


class _Ends:
    """The elements of a dictionary's view or of a set, as far as they can be reached quickly."""

    def __init__(self, elements: Any) -> None:
        self._elements = elements

    def __len__(self) -> int:
        return len(self._elements)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._elements)


def _sample(elements: Any, at: int, stack: _Stack, budget: int, *, scale: float = 1.0) -> None:
    """Put the elements of a container on the stack, or a sample of them with the factor that makes up for the rest."""
    count = len(elements)
    if count <= _WHOLE or count <= budget // 2:
        stack.extend((element, at, scale, budget // count) for element in elements)
        return
    budget = max(budget, 1)  # deep inside, nothing may be left of it
    looked = _looked_at(elements, min(count, 4 * budget, _IDENTITIES), at)
    most = max(min(_SAMPLE if type(looked[0]) in _LEAVES else _SAMPLE_OF_CONTAINERS, budget // 2), 2)
    if _all_different(looked):
        _put(looked, count * scale, at, stack, budget, most)
        return
    times = Counter(map(id, looked))
    by_id = {id(element): element for element in looked}
    once = [by_id[key] for key, met in times.items() if met == 1]
    often = [by_id[key] for key, met in times.items() if met > 1]
    different = _how_many_different(times, count / len(looked))
    _put(once, different * scale, at, stack, budget, most)
    _put(often, len(often), at, stack, budget, most)


def _how_many_different(times: Counter[int], share: float) -> float:
    """The estimated number of those objects in the whole container that were met once.

    Args:
        times: how often each object was met, by its id.
        share: the length of the container divided by the number of elements looked at.
    """
    met = Counter(times.values())
    once, twice = met[1], met[2]
    scaled = once * share
    if twice > _FEW_OBJECTS * once:  # Chao's estimate
        return min(scaled, once + once * (once - 1) / (2 * (twice + 1)))
    return scaled


def _put(elements: list[Any], stand_for: float, at: int, stack: _Stack, budget: int, most: int) -> None:
    """Measure at most ``most`` of the elements, which stand for ``stand_for`` objects."""
    chosen = _spread(elements, min(len(elements), most), at)
    stack.extend((element, at, stand_for / len(chosen), budget // len(chosen)) for element in chosen)


def _looked_at(elements: Any, count: int, phase: int) -> list[Any]:
    """Some ``count`` elements whose identity is looked at."""
    few = _of_few(elements) if count == _IDENTITIES else None
    return few or _many(elements, count, phase)


def _many(elements: Any, count: int, phase: int) -> list[Any]:
    """``count`` elements or somewhat more, evenly spread. Slicing is ten times as fast as choosing one by one; a step without
    small factors coincides with no period of the data."""
    if not isinstance(elements, list | tuple):
        return _spread(elements, count, phase)
    step = max(len(elements) // count, 1)
    while gcd(step, _SMALL_FACTORS) != 1:
        step -= 1
    return list(elements[phase % step :: step])


def _of_few(elements: Any) -> list[Any] | None:
    """Some elements of a long list, if they show that it refers to few objects again and again; otherwise None."""
    if not isinstance(elements, list | tuple):
        return None
    for count in (_IDENTITIES, _MORE_IDENTITIES):
        looked = _apart(elements, count)
        if _all_different(looked):
            return None
        met = Counter(Counter(map(id, looked)).values())
        if met[2] > _FEW_OBJECTS * met[1]:
            return looked
        if not met[2]:
            return None
    return None


def _all_different(elements: list[Any]) -> bool:
    return len(set(map(id, elements))) == len(elements)  # a third of what counting takes


def _apart(elements: list[Any] | tuple[Any, ...], count: int) -> list[Any]:
    """Some ``count`` elements, for their identity alone. With steps of one length, each of a thousand objects that come again and
    again might be met just once. Here the stretches have different steps, so some are met again, as in a random sample."""
    length, step = len(elements), len(elements) // count
    looked: list[Any] = []
    for change, begin, end in zip(_CHANGES, _BORDERS, _BORDERS[1:], strict=False):
        own = max(step + step * change // _CHANGE_UNIT, 1)
        looked += elements[length * begin // _BORDERS[-1] : length * end // _BORDERS[-1] : own]
    return looked


def _spread(elements: Any, count: int, phase: int) -> list[Any]:
    """One element from each of ``count`` strata, at places that look random inside the strata and are always the same."""
    length = len(elements)
    if count >= length:
        return list(elements)
    if isinstance(elements, _Ends | deque):  # the middle cannot be reached, or only slowly
        inner = elements._elements if isinstance(elements, _Ends) else elements
        if not hasattr(inner, "__reversed__"):
            return list(islice(inner, count))
        half = count - count // 2
        return [*islice(inner, half), *islice(reversed(inner), count // 2)]
    width = length / count
    phase %= _IDENTITIES
    return [elements[int(place * width)] for place in map(add, range(count), _PLACES[phase : phase + count])]


_PLACES = tuple(stratum * 0.6180339887 % 1.0 for stratum in range(2 * _IDENTITIES))
"""Multiples of the golden ratio fill (0, 1) evenly and without a period."""


def _rounded(size: int) -> int:
    return -(-size // _PYMALLOC_BYTES) * _PYMALLOC_BYTES
