"""Threads that inherit the job group, tags and local properties of the thread that starts them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import Thread
from typing import Any

from mpirdd.api.this_process import THIS_PROCESS
from mpirdd.protocol.errors import UsageError

Function = Callable[..., Any]


class InheritableThread(Thread):
    """A ``threading.Thread`` whose jobs have the group, the tags and the properties of the thread that starts it.

    >>> sc.setJobGroup("a group", "described")
    >>> thread = InheritableThread(target=lambda: print(sc.getLocalProperty("spark.jobGroup.id")))
    >>> thread.start(); thread.join()
    a group
    >>> sc.setLocalProperty("spark.jobGroup.id", None)
    """

    def __init__(self, target: Function, *args: Any, session: Any = None, **kwargs: Any) -> None:
        kwargs["target"] = self._inherit_and(target)
        super().__init__(*args, **kwargs)

    def start(self) -> None:
        self._inherit = _inheritance()
        super().start()

    def _inherit_and(self, target: Function) -> Function:
        def inherit_and_run(*args: Any, **kwargs: Any) -> Any:
            self._inherit()
            return target(*args, **kwargs)

        return inherit_and_run


def inheritable_thread_target(f: Any) -> Function:
    """``f`` for a thread of any kind: ``f`` runs with the properties that the thread calling *this* has now.

    With an argument that is no function, such as a session, this is a decorator for functions.

    >>> sc.setJobGroup("a group", "described")
    >>> thread = Thread(target=inheritable_thread_target(lambda: print(sc.getLocalProperty("spark.jobGroup.id"))))
    >>> thread.start(); thread.join()
    a group
    >>> sc.setLocalProperty("spark.jobGroup.id", None)
    """
    if not callable(f):
        return inheritable_thread_target
    inherit = _inheritance()

    @wraps(f)
    def inherit_and_run(*args: Any, **kwargs: Any) -> Any:
        inherit()
        return f(*args, **kwargs)

    return inherit_and_run


def _inheritance() -> Callable[[], None]:
    context = THIS_PROCESS.context
    if context is None:
        raise UsageError("a thread inherits the properties of a Context, and there is none")
    return context._engine.requests.inheritance()
