"""The lines on stderr about losses and slow tasks, one for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from mpirdd.protocol.ids import Rank

_BLOCKS = {"rdd": "cached partition", "map": "map output", "in": "shuffled partition"}


class Loss(Protocol):
    """The account of a lost executor."""

    @property
    def executor(self) -> Rank: ...
    @property
    def host(self) -> str: ...
    @property
    def blocks(self) -> Mapping[str, int]: ...
    @property
    def tasks(self) -> int: ...
    @property
    def left(self) -> int: ...
    @property
    def why(self) -> str: ...
    @property
    def joins(self) -> Rank: ...
    @property
    def spares(self) -> int: ...


class LostSpare(Protocol):
    """The account of a spare that was lost while it waited."""

    @property
    def spare(self) -> Rank: ...
    @property
    def host(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def left(self) -> int: ...


class SlowTask(Protocol):
    """The account of a task that takes far longer than its siblings did."""

    @property
    def executor(self) -> Rank: ...
    @property
    def label(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def usual_seconds(self) -> float: ...
    @property
    def speculated(self) -> Rank | None: ...


def of_loss(loss: Loss) -> str:
    gone = [_count(number, _BLOCKS[kind]) for kind, number in loss.blocks.items() if number]
    gone += [_count(loss.tasks, "task")] if loss.tasks else []
    what = f"Recomputing what is still needed of {', '.join(gone)}" if gone else "It held nothing that is still needed"
    if not loss.left:
        what = "It was the last"
    left = f"{_count(loss.left, 'executor')} left"
    if loss.joins:
        left = (f"the spare on rank {loss.joins} takes its place: {_count(loss.left, 'executor')} as before, "
                f"{_spares_left(loss.spares)}")
    return f"mpirdd: lost the executor on rank {loss.executor} (host {loss.host}): {loss.why}. {what}; {left}.\n"


def of_lost_spare(loss: LostSpare) -> str:
    return (f"mpirdd: lost the spare on rank {loss.spare} (host {loss.host}): {loss.why}. It had nothing to do yet; "
            f"{_spares_left(loss.left)}.\n")


def of_slow_task(slow: SlowTask, hosts: Mapping[Rank, str]) -> str:
    second = f"; running it a second time on rank {slow.speculated}" if slow.speculated is not None else ""
    return (f"mpirdd: task {slow.partition} of {slow.label} has been running for {slow.seconds:.1f} s on rank {slow.executor} "
            f"(host {hosts.get(slow.executor, 'unknown')}), where its siblings took {_seconds(slow.usual_seconds)}{second}\n")


def of_stack(lines: Sequence[str]) -> str:
    """A Python stack, to stand below the line about its rank; nothing for an empty one."""
    return "".join(f"    {line}\n" for line in ["its Python stack (most recent call last):", *lines]) if lines else ""


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 0.1 else "less than 0.1 s"


def _spares_left(number: int) -> str:
    return f"{_count(number, 'spare')} left" if number else "no spare left"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
