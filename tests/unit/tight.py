"""Workspaces that refuse memory: at a limit, or as a list of answers says."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from mpirdd.storage.scratch import Scratch
from mpirdd.storage.workspace import Workspace


class Lender:
    """Lends up to ``limit_bytes``, and not where an answer is False. The answers are repeated for ever."""

    def __init__(self, limit_bytes: int, answers: Sequence[bool] = (True,)) -> None:
        self.task_limit_bytes = limit_bytes
        self.lent = self.most = self.refused = 0
        self._answers = cycle(answers)

    def claim(self, nbytes: int) -> bool:
        assert nbytes >= 0
        if self.lent + nbytes > self.task_limit_bytes or not next(self._answers):
            self.refused += 1
            return False
        self.lent += nbytes
        self.most = max(self.most, self.lent)
        return True

    def release(self, nbytes: int) -> None:
        self.lent -= nbytes
        assert self.lent >= 0


def tight(limit_bytes: int, answers: Sequence[bool] = (True,)) -> tuple[Workspace, Lender]:
    lender = Lender(limit_bytes, answers)
    return Workspace(lender, Scratch()), lender
