"""The operations of an RDD, each beside the loop that one would write by hand: what ``benchmarks.operators`` measures.

``narrow.py``, ``actions.py``, ``wide.py`` and ``joined.py`` hold the pairs of program and loop, ``data.py`` the records.
Executors import these modules, so both sides call the very same function objects.

Left out: operations whose time is that of files or of external commands (``saveAs...``, ``pipe``, ``checkpoint``), those that
end after a time (``...Approx``), and those that look at a few records only (``take``, ``first``, ``isEmpty``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Parts = list[list[Any]]
"""The records by partition."""


@dataclass(frozen=True)
class Operation:
    """One operation, and its loop."""

    name: str
    """Which operation; behind a comma what its records are like."""
    data: tuple[str, ...]
    """The names of the data that it works on (``data.py``)."""
    engine: Callable[..., Any]
    """The program: takes the RDDs, returns what shows that it has done the work."""
    loop: Callable[..., Any]
    """The loop by hand: takes the ``Parts`` instead, returns the same."""

    @property
    def method(self) -> str:
        """The name of the operation alone."""
        return self.name.partition(",")[0]
