"""``breakpoint()`` in a task.

A rank of its own has no terminal. A debugger there would end the task at its first prompt, with an error that explains nothing
(``bdb.BdbQuit``). In a world of one rank the task runs in the program's process. There the debugger can use the program's
terminal, which the task's own output does not reach.
"""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.tracebacks import cell_of, ipython

WHAT_TO_DO = (
    "a task cannot stop in a debugger on one of several ranks, as it has no terminal there. Run the program on one rank, where "
    "breakpoint() works: mpirdd run -n 1 job.py; or call the function on the driver with a record: f(rdd.first()). To see where "
    "tasks are now: mpirdd stack PID"
)


def refuse(*arguments: Any, **options: Any) -> Any:
    """``sys.breakpointhook`` for a rank of its own. It starts a debugger that PYTHONBREAKPOINT names, such as a remote one.

    Raises:
        UsageError: there is none; the message says what to do instead.
    """
    if os.environ.get("PYTHONBREAKPOINT"):
        return sys.__breakpointhook__(*arguments, **options)
    frame = sys._getframe(1)
    file = frame.f_code.co_filename
    raise UsageError(f"breakpoint() at {cell_of(file) or os.path.basename(file)}:{frame.f_lineno}: {WHAT_TO_DO}")


def with_terminal(terminal: TextIO) -> Any:
    """A ``sys.breakpointhook`` for the program's process: a debugger that writes to ``terminal``, the program's stdout."""
    def stop(*arguments: Any, **options: Any) -> Any:
        if os.environ.get("PYTHONBREAKPOINT") or ipython() is not None:
            return sys.__breakpointhook__(*arguments, **options)
        from pdb import Pdb

        return Pdb(stdout=terminal).set_trace(sys._getframe(1))

    return stop
