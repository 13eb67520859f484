"""``dataclass`` and ``field`` for the many small classes that ranks define at their start, at a thirtieth of the cost.

Python's ``dataclass`` writes the methods of a class as text and compiles them: 0.55 ms a class, 16 ms for the messages alone,
on every rank. Here all classes share their methods, and ``__init__`` is compiled at the first use of the class: 0.02 ms, and
0.1 ms more for the few that a rank uses. Calls cost as much as with Python's own, which type checkers see.

``dataclasses.fields`` and ``replace`` work, too. Left out, as no class here needs it: inherited fields, ``__post_init__``, and
all options but ``frozen`` (``slots`` is always on).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass", "field"]


class _Made:
    """A default, made anew for each value."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def _field(*, default_factory: Callable[[], Any]) -> Any:
    """A default that ``default_factory`` makes for each value."""
    return _Made(default_factory)


def _dataclass(*, slots: bool, frozen: bool = False) -> Callable[[type], type]:
    """A decorator: the annotated names become the class's fields. As with ``dataclasses.dataclass``, values with equal fields
    are equal, frozen ones have a hash, and all can be pickled."""
    def make(kind: type) -> type:
        names = tuple([name for name, text in kind.__dict__.get("__annotations__", {}).items()  # noqa: RUF063  (its own alone)
                       if not text.startswith("ClassVar")])
        defaults = {name: kind.__dict__[name] for name in names if name in kind.__dict__}
        body = {name: thing for name, thing in kind.__dict__.items()
                if name not in defaults and name not in ("__dict__", "__weakref__")}
        methods = {"__slots__": names, "__match_args__": names, "__init__": _first_init(names, defaults),
                   "__reduce__": _reduce, "__eq__": _equal, "__hash__": _hash if frozen else None, "__repr__": _repr}
        if names:  # a class without fields may be the base of one that Python's own dataclass makes
            methods["__dataclass_fields__"] = _Described(names, defaults)
        if frozen:
            methods |= {"__setattr__": _refuse, "__delattr__": _refuse}
        return type(kind.__name__, kind.__bases__, {**methods, **body})

    return make


class _Described:
    """The fields in the form of Python's own module, made when somebody asks."""

    def __init__(self, names: tuple[str, ...], defaults: dict[str, Any]) -> None:
        self._names, self._defaults = names, defaults

    def __get__(self, value: object, kind: type) -> Any:
        import dataclasses

        def described(name: str) -> Any:
            default = self._defaults.get(name, dataclasses.MISSING)
            return dataclasses.field(default_factory=default.make) if default.__class__ is _Made else dataclasses.field(
                default=default)

        parts = [(name, kind.__annotations__[name], described(name)) for name in self._names]
        fields = dataclasses.make_dataclass(kind.__name__, parts).__dataclass_fields__  # type: ignore[attr-defined]
        kind.__dataclass_fields__ = fields  # type: ignore[attr-defined]
        return fields


def _first_init(names: tuple[str, ...], defaults: dict[str, Any]) -> Callable[..., None]:
    """An ``__init__`` that compiles the real one at its first call, and puts it in its own place."""
    def __init__(self: Any, /, *given: Any, **named: Any) -> None:
        kind = type(self)
        parts, lines, known = [], [], {}
        for name in names:
            known[f"put_{name}"] = kind.__dict__[name].__set__
            default = defaults.get(name)
            if default.__class__ is _Made:
                known[f"make_{name}"], known["made"] = default.make, _Made
                parts.append(f"{name}=made")
                lines.append(f"put_{name}(self, make_{name}() if {name} is made else {name})")
            else:
                known[f"default_{name}"] = default
                parts.append(f"{name}=default_{name}" if name in defaults else name)
                lines.append(f"put_{name}(self, {name})")
        exec(f"def __init__(self, {', '.join(parts)}):\n " + "\n ".join(lines or ["pass"]), known)
        kind.__init__ = known["__init__"]
        kind.__init__(self, *given, **named)

    return __init__


def _fields(value: Any) -> tuple[Any, ...]:
    return tuple([getattr(value, name) for name in value.__slots__])


def _reduce(self: Any) -> tuple[Any, ...]:
    return type(self), _fields(self)


def _equal(self: Any, other: object) -> Any:
    return _fields(self) == _fields(other) if type(self) is type(other) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_fields(self))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
    return f"{type(self).__qualname__}({shown})"


def _refuse(self: Any, name: str, *value: Any) -> None:
    raise AttributeError(f"{type(self).__name__}.{name} does not change")


if TYPE_CHECKING:
    from dataclasses import dataclass, field
else:
    dataclass, field = _dataclass, _field
