"""Random kills of executors while jobs of all kinds run, each compared with plain Python: wrong
answers and hangs.

Each launch loses executors one after the other, sometimes two at once, until one is left; then the
next launch begins. The seed fixes the jobs, the victims and the pauses; not the state of the
machine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
import uuid
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from random import Random

from benchmarks import harness, processes
from benchmarks.engine.kills import ENOUGH, UP


def measure(options: Namespace) -> harness.Record:
    random = Random(options.seed)
    launches: list[harness.Record] = []
    while (left := options.kills - sum(launch["kills"] for launch in launches)) > 0 and len(launches) < options.kills:
        launches.append(one_launch(options, random, min(left, options.ranks - 2)))
        killed = sum(launch["kills"] for launch in launches)
        harness.say(f"  {killed}/{options.kills} kills, {sum(launch['jobs'] for launch in launches)} jobs, "
                    f"{sum(bool(launch['trouble']) for launch in launches)} launches in trouble")
    jobs, wrong = (sum(launch[what] for launch in launches) for what in ("jobs", "wrong"))
    hung = sum(launch["hung"] for launch in launches)
    killed = sum(launch["kills"] for launch in launches)
    troubles = [launch["trouble"] for launch in launches if launch["trouble"]]
    harness.say(f"seed {options.seed}: {killed} kills in {len(launches)} launches, {jobs} jobs, {wrong} wrong answers, "
                f"{hung} hangs")
    return {"bytes": 0, "kills": killed, "launches": len(launches), "jobs": jobs, "wrong": wrong, "hangs": hung,
            "troubles": troubles, "valid": not (wrong or hung or troubles) and killed >= options.kills,
            "targets": [harness.Target("wrong answers", 0, wrong).record(), harness.Target("hangs", 0, hung).record()]}


def one_launch(options: Namespace, random: Random, most: int) -> harness.Record:
    """One run of the program, in which at most ``most`` executors are killed."""
    mark = f"BENCHMARK_LAUNCH={uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory(prefix="mpirdd-benchmark-") as scratch:
        folder = Path(scratch)
        command = harness.on_engine("kills", options.ranks, random.getrandbits(30), "--report", folder / "report")
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                       env=harness.environment() | dict([mark.split("=")]))
            try:
                kills = kill_some(process, folder, mark, random, most)
                (folder / ENOUGH).touch()
                code: int | None = process.wait(options.timeout)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                for one in processes.marked(mark):
                    with suppress(ProcessLookupError):
                        os.kill(one, signal.SIGKILL)
                process.wait()
        report = json.loads((folder / "report").read_text()) if (folder / "report").exists() else {"done": [], "wrong": []}
        trouble = "" if code == 0 else f"exit code {code}:\n{(folder / 'log').read_text(errors='replace')[-4000:]}"
    return {"kills": kills, "jobs": len(report["done"]), "wrong": len(report["wrong"]), "hung": code is None, "trouble": trouble}


def kill_some(process: subprocess.Popen[bytes], folder: Path, mark: str, random: Random, most: int) -> int:
    """How many were killed."""
    deadline = time.monotonic() + 60
    while not (folder / UP).exists():
        if process.poll() is not None or time.monotonic() > deadline:
            return 0
        time.sleep(0.01)
    executors = [pid for pid in processes.marked(mark) if rank_of(pid) > 0]
    killed = 0
    while killed < most and process.poll() is None:
        time.sleep(random.uniform(0.0, 1.2))
        for pid in random.sample(executors, min(random.choice([1, 1, 1, 2]), most - killed)):
            os.kill(pid, signal.SIGKILL)
            executors.remove(pid)
            killed += 1
    time.sleep(random.uniform(0.0, 1.0))
    return killed


def rank_of(pid: int) -> int:
    """The rank of a process of Open MPI; 0 if it is none, or the driver."""
    with suppress(OSError):
        for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if variable.startswith(b"OMPI_COMM_WORLD_RANK="):
                return int(variable.partition(b"=")[2])
    return 0


def main(argv: list[str] | None = None) -> int:
    return harness.main("kills", measure, full={"kills": 200, "ranks": 5}, quick={"kills": 6}, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
