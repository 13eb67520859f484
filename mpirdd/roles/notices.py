"""What the user is told, on stderr, of losses and slow tasks: one line each."""

from __future__ import annotations

from collections.abc import Mapping

from mpirdd.decisions.events import Recovering, TaskSlow
from mpirdd.words.ids import Rank

_BLOCKS = {"rdd": "cached partition", "map": "map output", "in": "shuffled partition"}


def of_loss(loss: Recovering, why: str, hosts: Mapping[Rank, str], left: int) -> str:
    gone = [_count(number, _BLOCKS[kind]) for kind, number in loss.blocks.items() if number]
    gone += [_count(loss.tasks, "task")] if loss.tasks else []
    what = f"Making again what is needed of {', '.join(gone)}" if gone else "It had nothing that is needed"
    if not left:
        what = "It was the last"
    return (f"mpirdd: lost the executor on rank {loss.lost} (host {hosts.get(loss.lost, 'unknown')}): {why}. "
            f"{what}; {_count(left, 'executor')} left.\n")


def of_slow_task(slow: TaskSlow, hosts: Mapping[Rank, str]) -> str:
    second = f"; running it a second time on rank {slow.speculated}" if slow.speculated is not None else ""
    return (f"mpirdd: task {slow.partition} of {slow.label} has been running for {slow.seconds:.1f} s on rank {slow.executor} "
            f"(host {hosts.get(slow.executor, 'unknown')}), where its siblings took {_seconds(slow.usual_seconds)}{second}\n")


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 0.1 else "less than 0.1 s"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
