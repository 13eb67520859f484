"""What a program or a task starts is a program of its own, and takes no rank's place in MPI."""

from __future__ import annotations

from pathlib import Path

import pytest
from launcher import with_mpirun
from ways import ON_RANKS, WAYS, run

pytestmark = [with_mpirun, pytest.mark.timeout(100), pytest.mark.second_lane]

CHILDREN = """
import subprocess, sys
from mpirdd import Context

CONTEXT = "import mpirdd\\nwith mpirdd.Context() as sc: print('child', sc.range(10).sum())"
COMMANDS = {
    "a Context": [sys.executable, "-c", CONTEXT],
    "mpi4py": [sys.executable, "-c", "from mpi4py import MPI; print('child', MPI.COMM_WORLD.size)"],
    "mpirdd run -n 1": [sys.executable, "-m", "mpirdd", "run", "-n", "1", "child.py"],
    "mpirdd run -n 2": [sys.executable, "-m", "mpirdd", "run", "-n", "2", "child.py"],
}

def started(name):
    done = subprocess.run(COMMANDS[name], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout.split() or done.stderr

if __name__ == "__main__":
    with open("child.py", "w") as file:
        file.write(CONTEXT)
    with Context() as sc:
        for name in sys.argv[1:]:
            print(name, *started(name), *sc.parallelize([name], 1).map(started).collect()[0])
        print(sc.range(10).sum())
"""
SPAWN = """
import multiprocessing, sys
from mpirdd import Context
sc = Context()
print("sum", sc.range(10).sum(), flush=True)
try:
    multiprocessing.get_context('spawn').Process(target=abs, args=(1,)).start()
except RuntimeError as error:
    sys.exit("bootstrapping phase" not in str(error))
sc.stop()
"""


@pytest.mark.parametrize("way", WAYS)
def test_children_are_programs_of_their_own(way: str, tmp_path: Path) -> None:
    sizes = {"a Context": 45, "mpi4py": 1, "mpirdd run -n 1": 45, "mpirdd run -n 2": 45}
    if way not in ("mpirdd run -n 3", "mpirun python"):
        del sizes["mpirdd run -n 2"]
    ended = run(way, tmp_path, CHILDREN, *sizes, timeout_s=90)
    each = [f"{name} 0 ['child', '{size}'] 0 ['child', '{size}']" for name, size in sizes.items()]
    assert (ended.code, ended.out.splitlines()) == (0, [*each, "45"]), ended.all


@pytest.mark.parametrize("way", WAYS)
def test_a_program_that_spawns_without_a_guard_ends(way: str, tmp_path: Path) -> None:
    """The child runs the program again, up to where it starts a child itself, which Python refuses."""
    ended = run(way, tmp_path, SPAWN)
    assert ended.code == 0, ended.all
    assert ended.out.count("sum 45") == 2, ended.all


@pytest.mark.parametrize("way", ON_RANKS)
def test_tasks_still_see_their_place_on_the_host(way: str, tmp_path: Path) -> None:
    text = """
import os
from mpirdd import Context
with Context() as sc:
    local = [os.environ.get("OMPI_COMM_WORLD_LOCAL_RANK", os.environ.get("MPI_LOCALRANKID")) for _ in range(1)]
    there = sc.parallelize(range(8), 8).map(
        lambda _: os.environ.get("OMPI_COMM_WORLD_LOCAL_RANK", os.environ.get("MPI_LOCALRANKID"))).distinct().collect()
    print(local, sorted(there) in (["1", "2"], ["1"], ["2"]))
"""
    ended = run(way, tmp_path, text)
    assert (ended.code, ended.out) == (0, "['0'] True\n"), ended.all
