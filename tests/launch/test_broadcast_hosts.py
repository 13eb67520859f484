"""Broadcast variables on ranks that believe they run on several hosts, and after everybody is
killed.

A rank takes its host's name from the system; kernel namespaces give processes of one machine
different names. That needs root. (Other users could do it inside a user namespace, but ranks in
several of these may not read each other's memory.)
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from launcher import with_mpirun

from mpirdd.launch.mpirun import command_for, environment_for, find_launcher

ROOT = Path(__file__).parents[2]
ON_HOST = """#!/bin/sh
rank=${OMPI_COMM_WORLD_RANK:-$PMI_RANK}
exec unshare --uts sh -c 'hostname "$0" && exec "$@"' "h$((rank / RANKS_ON_HOST))" "$@"
"""
JOB = """
import json, os
import numpy as np
from mpirdd import Context

def memory():
    lines = [line for line in open("/proc/self/maps") if "memfd:mpirdd" in line and "memfd:mpirdd-rank" not in line]
    return os.uname().nodename, sorted(line.split()[4] for line in lines)

with Context() as sc:
    executors = sc.defaultParallelism
    each = sc.parallelize(range(executors), executors)
    large = sc.broadcast({"array": np.arange(5_000_000.0), "words": ["a"] * 10})
    sums = each.map(lambda i: float(large.value["array"].sum()) + len(large.value["words"])).collect()
    seen = [memory(), *each.map(lambda i: memory()).collect()]
    large.unpersist(blocking=True)
    again = each.map(lambda i: float(large.value["array"].sum())).collect()
    several = [sc.broadcast(np.full(100_000, i)) for i in range(10)]
    turns = each.map(lambda i: sum(int(one.value[i]) for one in several)).collect()
    last = sc.broadcast(np.arange(5_000_000))
    one = sc.parallelize([1], 1).map(lambda i: int(last.value[i])).collect()  # then the program ends
print(json.dumps([sums, seen, again, turns, one]))
"""
HELD = """
import time
import numpy as np
from mpirdd import Context
with Context() as sc:
    large = sc.broadcast(np.arange(1_000_000))
    print(sc.parallelize(range(4), 4).map(lambda i: int(large.value[i])).sum(), flush=True)
    sc.parallelize(range(4), 4).foreach(lambda i: time.sleep(large.value[60]))
"""


def hosts_can_be_named() -> bool:
    command = ["unshare", "--uts", "hostname", "another"]
    try:
        return subprocess.run(command, capture_output=True, timeout=10).returncode == 0
    except OSError:
        return False


pytestmark = [with_mpirun, pytest.mark.timeout(60), pytest.mark.second_lane]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    def start(text: str, *, ranks: int, ranks_on_host: int, mark: str = "") -> subprocess.Popen[str]:
        (tmp_path / "job.py").write_text(text)
        wrapper = tmp_path / "on_host"
        wrapper.write_text(ON_HOST)
        wrapper.chmod(0o700)
        launcher = find_launcher()
        environment = environment_for(launcher, {
            **os.environ, "PYTHONPATH": str(ROOT), "RANKS_ON_HOST": str(ranks_on_host), "RUNS_MARK": mark})
        *mpirun, python = command_for(launcher, ranks, environment)
        command = [*mpirun, *([str(wrapper)] if ranks_on_host < ranks else []), python, "-m", "mpirdd", "job.py"]
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True)

    return start


@pytest.mark.skipif(not hosts_can_be_named(), reason="no right to give a process another host name (unshare --uts)")
@pytest.mark.parametrize("ranks_on_host", [1, 2, 3, 6])
def test_each_host_has_one_copy(start: Start, ranks_on_host: int) -> None:
    running = start(JOB, ranks=6, ranks_on_host=ranks_on_host)
    out, err = running.communicate(timeout=50)
    assert running.returncode == 0, err
    sums, seen, again, turns, one = json.loads(out)
    total = sum(range(5_000_000))
    assert sums == [total + 10.0] * 5
    assert again == [float(total)] * 5
    assert turns == [sum(range(10))] * 5
    assert one == [1]
    if ranks_on_host < 6:
        assert len({host for host, _ in seen}) == -(-6 // ranks_on_host)
    assert all(len(inodes) == 1 for _, inodes in seen)
    assert len({(host, *inodes) for host, inodes in seen}) == len({host for host, _ in seen})
    assert len({inode for _, (inode,) in seen}) == len({host for host, _ in seen})


def marked(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            pass  # ended meanwhile
    return found


def test_nothing_is_left_when_all_are_killed(start: Start) -> None:
    mark = uuid.uuid4().hex
    before = set(os.listdir("/dev/shm"))
    running = start(HELD, ranks=4, ranks_on_host=4, mark=mark)
    assert running.stdout is not None
    assert running.stdout.readline() == "6\n"
    assert any("memfd:mpirdd" in Path(f"/proc/{process}/maps").read_text() for process in marked(mark))
    for process in marked(mark):
        os.kill(process, signal.SIGKILL)
    running.communicate(timeout=30)
    deadline = time.monotonic() + 20
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert marked(mark) == []
    assert {name for name in set(os.listdir("/dev/shm")) - before if "mpirdd" in name} == set()
