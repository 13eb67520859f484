"""Empty tasks by hand: rank 0 hands out numbers, one at a time to a free worker, and adds up
answers."""

from __future__ import annotations

import time

from mpi4py import MPI

from benchmarks.program import program_arguments, write_report

STOP = None


def hand_out(world: MPI.Intracomm, tasks: int) -> int:
    """Run the tasks on the workers; the number done."""
    waiting = iter(range(tasks))
    status = MPI.Status()
    done = busy = 0
    for worker, task in zip(range(1, world.size), waiting, strict=False):
        world.send(task, worker)
        busy += 1
    while busy:
        done += world.recv(status=status)
        following = next(waiting, None)
        if following is None:
            busy -= 1
        else:
            world.send(following, status.Get_source())
    return done


def main() -> None:
    world = MPI.COMM_WORLD
    arguments = program_arguments("tasks", "jobs")
    if world.rank != 0:
        while world.recv(source=0) is not STOP:
            world.send(1, 0)
        return
    seconds, done = [], []
    for _ in range(arguments.jobs):
        started = time.monotonic()
        done.append(hand_out(world, arguments.tasks))
        seconds.append(time.monotonic() - started)
    for worker in range(1, world.size):
        world.send(STOP, worker)
    write_report(arguments.report, seconds=seconds, done=done)


if __name__ == "__main__":
    main()
