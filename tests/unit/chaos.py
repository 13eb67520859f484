"""Driver and executors in one process; a seed draws the order of their steps and the steps at which
they die.

The real driver, the real executors and the users' API run on the in-process network; only time and
MPI are missing. An executor dies as processes do: between two steps, in the middle of a task, or at
a barrier. The others learn of it at once or some steps later, while its messages still arrive. A
schedule that does not end within ``MOST_PAUSES`` fails.
"""

from __future__ import annotations

import os
import sys
from random import Random
from threading import Semaphore, Thread
from typing import Any

from mpirdd.api.context import BaseContext
from mpirdd.comm.inprocess import InProcessTransport, Network
from mpirdd.driver.driver import Driver
from mpirdd.executor.executor import Executor
from mpirdd.executor.interrupt import DriverLost, Interrupts
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.ids import Rank, StageId
from mpirdd.protocol.settings import Settings

MOST_PAUSES = 20_000
"""The longest schedules take some 2,000."""


class Cluster:
    """A driver, ``executors``, and the Context over them.

    Args:
        kills: how many executors die in all.
        every: one dies in so many pauses of the driver, on average.
        evicting: and a kept partition is gone from an executor that had no room for it in so many.
        spares: so many more ranks wait; they die like executors.
        hosts: they are spread over so many; the driver is on another one if there are several.
    """

    def __init__(
        self, executors: int, seed: int, *, kills: int = 0, every: int = 30, evicting: int = 0, spares: int = 0, hosts: int = 1,
        **settings: Any,
    ) -> None:
        self.random = Random(seed)
        self.kills, self.every, self.evicting, self.hosts = kills, every, evicting, hosts
        self.killed: list[Rank] = []
        self.network = Network(executors + spares + 1)
        self._streams = sys.stdout, sys.stderr
        self._stepping: Rank = 0
        """Whose turn it is."""
        self._dying: dict[Rank, int] = {}
        """The dead, and in how many pauses the others will know."""
        self._pauses = 0
        self._executors: dict[Rank, Executor] = {}
        self._turns: dict[Rank, _Turns] = {}
        for rank in range(1, executors + spares + 1):
            self._start(rank)
        self.driver: Driver | None = None
        chosen = Settings(**{"exchange_bytes": 4096, "poll_sleep_s": 0.0, "most_losses": 0, "spares": spares, **settings})
        self.driver = Driver(
            self.network.end(0), chosen, folder=os.getcwd(), pause=self._pause, resume=lambda: None)
        self.sc = BaseContext(self.driver)

    @property
    def living(self) -> list[Rank]:
        return [rank for rank in self._executors if rank not in self.killed]

    def kill(self, rank: Rank) -> None:
        """The executor does nothing from now on; sooner or later the others notice."""
        if rank not in self.killed:
            self.killed.append(rank)
            self._dying[rank] = self.random.choice([0, 0, self.random.randint(1, 30)])

    def die_here(self) -> None:
        """Called in a task: its executor ends here and now."""
        self.kill(self._stepping)
        raise DriverLost  # the one exception that leaves an executor at once

    def blocks(self) -> dict[Any, list[Rank]]:
        """What the living hold."""
        held: dict[Any, list[Rank]] = {}
        for rank in self.living:
            for block in self._executors[rank].blocks():
                held.setdefault(block, []).append(rank)
        return held

    def settle(self) -> None:
        """Let everybody act on all messages."""
        moved = True
        while moved:
            moved = sum(self._step(rank) for rank in self.living) > 0

    def __enter__(self) -> Cluster:
        """Inside the block ``may_die`` kills in this cluster."""
        _ENTERED.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _ENTERED.remove(self)
        for turns in self._turns.values():
            turns.close()
        sys.stdout, sys.stderr = self._streams  # executors that died in a task have not put them back

    def _start(self, rank: Rank) -> None:
        end = self.network.end(rank)
        if self.hosts > 1:
            end.host = f"host {rank % self.hosts}"
        interrupts = _LetsOthersGo(end)
        self._executors[rank] = Executor(end, interrupts)
        interrupts.turns = self._turns[rank] = _Turns(self._executors[rank])

    def _pause(self, busy: bool) -> None:
        self._pauses += 1
        assert self._pauses < MOST_PAUSES, f"still running after {MOST_PAUSES} pauses"
        for rank in list(self._dying):
            self._dying[rank] -= 1
            if self._dying[rank] < 0:
                del self._dying[rank]
                self.network.kill(rank)
        if self.driver is not None and len(self.killed) < self.kills and self.random.random() * self.every < 1:
            self.kill(self.random.choice(self.living))
        if self.evicting and self.random.random() * self.evicting < 1:
            self._evict()
        for _ in range(self.random.randint(1, 3)):
            self.step_one()

    def _evict(self) -> None:
        kept = [(rank, block) for rank in self.living for block in self._executors[rank].blocks() if block.kind == "rdd"]
        if kept:
            rank, block = self.random.choice(kept)
            self._executors[rank]._state.store.drop(block)

    def step_one(self) -> None:
        if self.living:
            self._step(self.random.choice(self.living))

    def _step(self, rank: Rank) -> bool:
        self._stepping = rank
        try:
            return self._turns[rank].take()
        except DriverLost:
            assert rank in self.killed
            return False


class _Turns:
    """One executor's steps, on a stack of its own, so an executor at a barrier leaves the others
    their turn."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._go, self._back = Semaphore(0), Semaphore(0)
        self._ended: bool | BaseException | None = None
        self._over = False
        self._thread: Thread | None = None

    def take(self) -> bool:
        """Go on until the step ends, or waits at a barrier (which counts as having done something)."""
        self._ended = None
        if self._thread is None:
            self._thread = Thread(target=self._run, daemon=True)
            self._thread.start()
        self._go.release()
        self._back.acquire()
        ended, self._ended = self._ended, None  # an exception would keep the driver's frames alive, and with them RDDs
        if isinstance(ended, BaseException):
            raise ended
        return ended is not False

    def wait(self) -> None:
        """Within a step: let the others go on.

        Raises:
            DriverLost: there will be no more turns.
        """
        self._back.release()
        self._go.acquire()
        if self._over:
            raise DriverLost

    def close(self) -> None:
        self._over = True
        self._go.release()
        if self._thread is not None:
            self._thread.join(10)
            assert not self._thread.is_alive()

    def _run(self) -> None:
        self._go.acquire()
        while not self._over:
            try:
                self._ended = self._executor.step()
            except BaseException as error:
                self._ended = error
            if not self._over:
                self._back.release()
                self._go.acquire()


class _LetsOthersGo(Interrupts):
    """An executor's polling. Within a task it polls at a barrier only, and waits there for its next
    turn."""

    def __init__(self, transport: InProcessTransport) -> None:
        super().__init__(transport)
        self.turns: _Turns | None = None
        self._in_task = False

    def begin(self, stage: StageId, partition: int) -> None:
        self._in_task = True

    def end(self) -> None:
        self._in_task = False

    def poll(self) -> tuple[int, Frames] | None:
        received = super().poll()
        if received is None and self._in_task and self.turns is not None:
            self.turns.wait()
        return received


_ENTERED: list[Cluster] = []


def may_die(record: Any) -> Any:
    """A function of records; its executor dies in one call of 200, while kills are left."""
    cluster = _ENTERED[-1]
    if len(cluster.killed) < cluster.kills and len(cluster.living) > 1 and cluster.random.random() < 0.005:
        cluster.die_here()
    return record


def die(record: Any = None) -> None:
    """The executor that runs this dies."""
    _ENTERED[-1].die_here()
