"""What there is once in this process, whichever module asks for it: the program's Context, and the added files.

Functions reach executors by name, with no object of ours in hand, so this has to have a place of its own. ``launch.session``
sets the Context; nothing else in ``api`` keeps state of the whole process.
"""

from __future__ import annotations

from mpirdd.api.added_files import Folder
from mpirdd.api.engine import Family


class ThisProcess:
    """Made once, when this module is imported."""

    def __init__(self) -> None:
        self.context: Family | None = None
        """The Context of the program, while there is one; on the driver."""
        self.files = Folder()
        """In a world of one rank, driver and executor share it."""


THIS_PROCESS = ThisProcess()
