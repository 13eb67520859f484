"""Driver and up to 1,000 executors, all real, in one process: messages, bytes, memory and time at the driver.

All executors of a size run in one process, over the in-process network; so this needs neither MPI nor cores. Each point is a
process of its own. Three jobs: ``empty``, some tasks an executor that do nothing; ``shuffle``, n map tasks and n reduce tasks
on n executors; ``function``, a task an executor whose function has 256 KiB, every executor on a host of its own.

What is counted is the control plane, which passes the driver: messages and bytes that it sends and gets, how many bytes wait to
be sent at most, and what its account of the cluster takes after the job. What executors trade among themselves in an exchange
does not come near the driver, and is not counted. ``driver_s`` is the driver's own CPU time, ``seconds`` that of the whole
cluster, whose executors take turns.

The clock runs n times as fast for an executor that has one turn in n. So the times after which executors report and the driver
pings are n times as long. Valid means that the results are right.

``python -m benchmarks.at_scale --functions 100`` prints what the driver sends and takes to give 100 executors functions of
several sizes, one by one and along the tree of broadcast values: where the second pays.
"""

from __future__ import annotations

import gc
import json
import os
import random
import statistics
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable
from operator import add
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from benchmarks import harness
from mpirdd.api.context import BaseContext
from mpirdd.comm.inprocess import InProcessTransport, Network
from mpirdd.driver.driver import Driver
from mpirdd.executor.executor import Executor
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.settings import Settings

RECORDS = 10
"""Records in each map task of the shuffle."""
FUNCTION_BYTES = 256 << 10
MOST_ROUNDS = 100_000
"""More turns than this and nothing comes to the driver: something hangs."""


def measure(options: Namespace) -> harness.Record:
    sizes = [size for size in (10, 30, 100, 300) if size < options.executors] + [options.executors]
    points = []
    for job in JOBS:
        for executors in sizes:
            runs = [in_own_process(job, executors, options) for _ in range(options.repeats)]
            point = {"job": job, "executors": executors, **{key: runs[0][key] for key in COUNTED},
                     "once": all(run["right"] for run in runs),
                     **{key: harness.spread([run[key] for run in runs]) for key in ("seconds", "driver_s")}}
            points.append(point)
            harness.say(f"  {job:7} {executors:5,} executors: out {point['sent']:7,} messages, "
                        f"{point['sent_bytes'] / 1e6:7.2f} MB, in {point['received']:7,}, "
                        f"{point['received_bytes'] / 1e6:6.2f} MB, "
                        f"driver {point['driver_s']['median']:.3f} of {point['seconds']['median']:.2f} s, "
                        f"waiting {point['queued_bytes'] / 1e6:.2f} MB, account {point['account_bytes'] / 1e6:.2f} MB")
    return {"bytes": 0, "valid": all(point["once"] for point in points), "points": points}


def in_own_process(job: str, executors: int, options: Namespace) -> harness.Record:
    command = [sys.executable, "-m", "benchmarks.at_scale", "--one", job, str(executors), str(options.tasks)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=options.timeout, env=harness.environment(), check=True)
    except subprocess.TimeoutExpired as late:
        raise harness.ProgramFailed(f"took more than {options.timeout:g} s: {' '.join(command)}") from late
    except subprocess.CalledProcessError as failed:
        raise harness.ProgramFailed(f"exit code {failed.returncode}: {' '.join(command)}\n{failed.stderr}") from failed
    record: harness.Record = json.loads(done.stdout)
    return record


# --- a cluster in one process -------------------------------------------------------------------------------------------


class Traffic:
    """What has passed the driver."""

    def __init__(self) -> None:
        self.sent = self.sent_bytes = self.received = self.received_bytes = 0
        self.queued_bytes = self.waiting_bytes = 0
        """Most bytes, and bytes now, that the driver has sent and executors have not read."""


COUNTED = ("tasks", "sent", "sent_bytes", "received", "received_bytes", "queued_bytes", "account_bytes")


class CountedEnd(InProcessTransport):
    """An end of the network that counts what passes between it and the driver."""

    def __init__(self, network: Network, rank: int, traffic: Traffic) -> None:
        super().__init__(network, rank)
        self._traffic = traffic

    def send(self, to: int, frames: Frames) -> None:
        size = bytes_of(frames)
        if self.rank == 0:
            self._traffic.sent += 1
            self._traffic.sent_bytes += size
            self._traffic.waiting_bytes += size
            self._traffic.queued_bytes = max(self._traffic.queued_bytes, self._traffic.waiting_bytes)
        elif to == 0:
            self._traffic.received += 1
            self._traffic.received_bytes += size
        super().send(to, frames)

    def poll(self) -> tuple[int, Frames] | None:
        received = super().poll()
        if received is not None and received[0] == 0:
            self._traffic.waiting_bytes -= bytes_of(received[1])
        return received


def bytes_of(frames: Frames) -> int:
    return sum([memoryview(frame).nbytes for frame in frames])


class Cluster:
    """A driver, ``executors`` that take turns while it waits, and a Context over them. All are on the driver's host, or each
    on one of its own."""

    def __init__(self, executors: int, *, own_hosts: bool = False, **settings: Any) -> None:
        network, self.traffic = Network(executors + 1), Traffic()
        self.away_s = 0.0
        """How long the driver has waited for executors."""
        ends = [CountedEnd(network, rank, self.traffic) for rank in range(1, executors + 1)]
        for end in ends if own_hosts else ():
            end.host = f"host {end.rank}"
        self._executors = [Executor(end) for end in ends]
        self._mailbox = network.mailboxes[0]
        plain = Settings()
        chosen = Settings(
            poll_sleep_s=0.0, report_interval_s=plain.report_interval_s * executors, ping_s=plain.ping_s * executors,
            executor_timeout_s=plain.executor_timeout_s * executors, **settings)
        self.driver = Driver(
            CountedEnd(network, 0, self.traffic), chosen, folder=os.getcwd(), pause=self._take_turns, resume=lambda: None)
        self.sc = BaseContext(self.driver)

    def _take_turns(self, busy: bool) -> None:
        began = time.process_time()
        for _ in range(MOST_ROUNDS):
            for executor in self._executors:
                executor.step()
            if self._mailbox:
                break
        else:
            raise AssertionError("nothing comes to the driver any more")
        self.away_s += time.process_time() - began

    def account_bytes(self) -> int:
        """What the driver's loop holds: scheduler, results, closures, and the job's lineage."""
        return deep_bytes([self.driver._loop], leave_out=(InProcessTransport, Network, Executor, Cluster))


def deep_bytes(roots: Iterable[object], leave_out: tuple[type, ...]) -> int:
    """The size of objects with all that they refer to, each once; without modules, classes and functions."""
    never = (type, ModuleType, FunctionType, BuiltinFunctionType, *leave_out)
    seen: set[int] = set()
    total, stack = 0, list(roots)
    while stack:
        found = stack.pop()
        if id(found) not in seen and not isinstance(found, never):
            seen.add(id(found))
            total += sys.getsizeof(found)
            stack.extend(gc.get_referents(found))
    return total


# --- jobs ---------------------------------------------------------------------------------------------------------------


def empty(sc: BaseContext, executors: int, tasks: int) -> tuple[int, bool]:
    """So many tasks an executor that do nothing."""
    partitions = executors * tasks
    return partitions, sc.parallelize([], partitions).count() == 0


def shuffle(sc: BaseContext, executors: int, tasks: int) -> tuple[int, bool]:
    """A map task and a reduce task an executor; each key comes from every map task."""
    records = sc.parallelize(range(RECORDS * executors), executors)
    sums = records.map(lambda number: (number % RECORDS, 1)).reduceByKey(add, executors)
    return 2 * executors, sorted(sums.collect()) == [(key, executors) for key in range(RECORDS)]


def function(sc: BaseContext, executors: int, tasks: int, size: int = FUNCTION_BYTES) -> tuple[int, bool]:
    """A task an executor, whose function has so many bytes."""
    inside = random.Random(size).randbytes(size)
    total = sc.parallelize(range(executors), executors).map(lambda number: len(inside)).sum()
    return executors, total == executors * size


JOBS: dict[str, Callable[[BaseContext, int, int], tuple[int, bool]]] = {
    "empty": empty, "shuffle": shuffle, "function": function}


def run_one(job: str, executors: int, tasks: int) -> harness.Record:
    """Run a job; before, the same on a small cluster, so that all modules are loaded."""
    own_hosts = job == "function"
    small = Cluster(2, own_hosts=own_hosts)
    JOBS[job](small.sc, 2, 1)
    small.sc.stop()
    cluster = Cluster(executors, own_hosts=own_hosts)
    before, before_s, began = vars(cluster.traffic).copy(), cluster.away_s, time.process_time()
    ran, right = JOBS[job](cluster.sc, executors, tasks)
    seconds = time.process_time() - began
    driver_s = seconds - (cluster.away_s - before_s)
    counted = {key: value - before[key] for key, value in vars(cluster.traffic).items() if key.startswith(("sent", "received"))}
    found = {"tasks": ran, "right": right, "seconds": seconds, "driver_s": driver_s, **counted,
             "queued_bytes": cluster.traffic.queued_bytes, "account_bytes": cluster.account_bytes()}
    cluster.sc.stop()
    return found


def functions(executors: int, jobs: int = 6) -> None:
    """Print what functions of several sizes cost the driver, with both ways to send them."""
    for own_hosts in (True, False):
        for size in (4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20):
            words = []
            for way, broadcast_bytes in (("one by one", 1 << 40), ("along the tree", size // 2)):
                cluster = Cluster(executors, own_hosts=own_hosts, broadcast_bytes=broadcast_bytes)
                seconds, sent = [], []
                for _ in range(jobs):
                    before, away_s, began = cluster.traffic.sent_bytes, cluster.away_s, time.process_time()
                    assert function(cluster.sc, executors, 1, size) == (executors, True)
                    seconds.append(time.process_time() - began - (cluster.away_s - away_s))
                    sent.append(cluster.traffic.sent_bytes - before)
                cluster.sc.stop()
                words.append(f"{way} {1e3 * statistics.median(seconds[1:]):6.1f} ms {statistics.median(sent) / 1e6:7.2f} MB")
            where = "each on its own host" if own_hosts else "all on the driver's host"
            print(f"{executors} executors, {where}, {size >> 10:5} KiB: {', '.join(words)}", flush=True)


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["--functions"]:
        functions(int(arguments[1]))
        return 0
    if arguments[:1] == ["--one"]:
        print(json.dumps(run_one(arguments[1], int(arguments[2]), int(arguments[3]))))
        return 0
    return harness.main("at_scale", measure, full={"executors": 1_000, "tasks": 10, "ranks": 1, "repeats": 3},
                        quick={"executors": 100, "repeats": 1}, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
