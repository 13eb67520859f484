"""Functions and classes by value, with the file names and source lines that tracebacks show.

cloudpickle sends a function as its code. Since version 3.1.3 it leaves out the file name, so a traceback, a warning or a profile
on another rank would say ``<dynamic-code>``. Here each code object travels with its file name and its source lines. A rank needs
the lines where it cannot read the file: on a host without the job's folder, or for a program that came on standard input or from
a notebook's cell.
"""

from __future__ import annotations

import io
import linecache
import pickle
import sys
from collections import ChainMap
from collections.abc import Callable
from functools import cached_property, lru_cache, singledispatch
from types import CodeType, FunctionType
from typing import Any, NewType

import cloudpickle

_MOST_LINES = 2000
"""A code object with more lines, such as that of a whole module, travels without them."""


def dumps_by_value(value: Any, buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None) -> bytes:
    """``value`` pickled by cloudpickle; functions and classes of ``__main__`` by value.

    Raises whatever pickling ``value`` raises.
    """
    with io.BytesIO() as file:
        ByValuePickler(file, protocol=5, buffer_callback=buffer_callback).dump(value)
        return file.getvalue()


class ByValuePickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    def __init__(self, file: Any, **options: Any) -> None:
        # Not a method of the pickler: that cycle would keep all pickled objects until the next garbage collection.
        ours = {CodeType: _CodeReducer().reduce, _CachedFunction: _reduce_cached, NewType: _reduce_new_type,
                cached_property: _reduce_cached_property}
        self.dispatch_table = ChainMap(ours, cloudpickle.Pickler.dispatch_table)
        super().__init__(file, **options)

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is FunctionType and hasattr(obj, "dispatch") and hasattr(obj, "registry") and not _has_its_name(obj):
            implementations = dict(obj.registry)
            return _single_dispatch, (implementations.pop(object), implementations)
        return super().reducer_override(obj)


_CachedFunction = type(lru_cache(print))


def _reduce_cached(function: Any) -> Any:
    """A function under ``functools.cache`` or ``lru_cache``. Such a function pickles by name, even if the program defines it.
    Here it travels by value, and begins with an empty cache on each rank."""
    if _has_its_name(function):
        return function.__reduce__()
    parameters = function.cache_parameters()
    return _cached, (parameters["maxsize"], parameters["typed"], function.__wrapped__)


def _cached(maxsize: int | None, typed: bool, function: Callable[..., Any]) -> Any:
    return lru_cache(maxsize, typed)(function)


def _reduce_cached_property(found: cached_property[Any]) -> Any:
    return _cached_property, (found.func, found.attrname)  # without its lock, which exists before Python 3.12


def _cached_property(function: Callable[[Any], Any], name: str | None) -> cached_property[Any]:
    made = cached_property(function)
    if name is not None:
        made.__set_name__(object, name)
    return made


def _single_dispatch(base: Callable[..., Any], implementations: dict[type, Callable[..., Any]]) -> Any:
    """The function that ``functools.singledispatch`` makes. It is made anew, because its cache holds weak references."""
    made = singledispatch(base)
    for kind, implementation in implementations.items():
        made.register(kind, implementation)
    return made


def _reduce_new_type(kind: Any) -> Any:
    return kind.__reduce__() if _has_its_name(kind) else (NewType, (kind.__name__, kind.__supertype__))


def _has_its_name(thing: Any) -> bool:
    """Can other ranks, too, find it by its module and name?"""
    module = sys.modules.get(thing.__module__)
    if module is None or thing.__module__ == "__main__" or thing.__module__ in cloudpickle.list_registry_pickle_by_value():
        return False
    found: Any = module
    for name in getattr(thing, "__qualname__", thing.__name__).split("."):
        found = getattr(found, name, None)
    return found is thing


class _CodeReducer:
    """Reduces the code objects of one pickle."""

    def __init__(self) -> None:
        self._reduce_plainly = cloudpickle.Pickler.dispatch_table[CodeType]
        self._sent: dict[str, list[range]] = {}

    def reduce(self, code: CodeType) -> tuple[Any, ...]:
        make, arguments = self._reduce_plainly(code)
        return _code, (code.co_filename, self._new_lines(code), make, arguments)

    def _new_lines(self, code: CodeType) -> tuple[int, list[str]]:
        """The first line number of the code and its source lines. No lines if this pickle has them already: an outer function
        comes before the functions in it."""
        lines = _lines_of(code)
        sent = self._sent.setdefault(code.co_filename, [])
        if len(lines) > _MOST_LINES or any(lines.start in other and lines[-1] in other for other in sent):
            return lines.start, []
        sent.append(lines)
        return lines.start, linecache.getlines(code.co_filename)[lines.start - 1:lines.stop - 1]


def _lines_of(code: CodeType) -> range:
    last = max((line for _, _, line in code.co_lines() if line), default=code.co_firstlineno)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            last = max(last, _lines_of(inner)[-1])
    return range(max(code.co_firstlineno, 1), max(last, code.co_firstlineno, 1) + 1)


def _code(file: str, lines: tuple[int, list[str]], make: Callable[..., CodeType], arguments: tuple[Any, ...]) -> CodeType:
    """Make a code object on the rank that loads it."""
    first, source = lines
    if source:
        _remember(file, first, source)
    return make(*arguments).replace(co_filename=file)


def _remember(file: str, first: int, source: list[str]) -> None:
    """Let tracebacks find these lines, unless this rank can read the file itself."""
    known = linecache.cache.get(file)
    if known is not None and (len(known) == 1 or known[1] is not None):
        return  # the whole file is known, or will be read when needed
    if known is None and linecache.getlines(file):
        return
    lines = list(known[2]) if known is not None and len(known) > 1 else []
    lines += ["\n"] * (first - 1 + len(source) - len(lines))
    lines[first - 1:first - 1 + len(source)] = source
    linecache.cache[file] = (sum(map(len, lines)), None, lines, file)  # no time of change: never looked up on disk
