"""Task memory that refuses: at a limit, or by a list of answers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from mpirdd.store.scratch import Scratch
from mpirdd.store.task_memory import TaskMemory


class Lender:
    """Lends up to ``limit_bytes``, and refuses where an answer is False. The answers repeat for
    ever."""

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

    def process_bytes(self) -> int:
        return 0

    @property
    def process_limit_bytes(self) -> int:
        return 0


def tight(limit_bytes: int, answers: Sequence[bool] = (True,)) -> tuple[TaskMemory, Lender]:
    lender = Lender(limit_bytes, answers)
    return TaskMemory(lender, Scratch()), lender
