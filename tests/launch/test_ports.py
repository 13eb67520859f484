"""On one host no rank listens on the network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from launcher import with_mpirun

ROOT = Path(__file__).parents[2]
pytestmark = [with_mpirun, pytest.mark.timeout(60)]

PROGRAM = """
import os
from mpirdd import Context

def listening(pid):
    "The addresses on which a process listens, from /proc; each socket is an inode."
    sockets = {}
    for kind in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{kind}") as table:
            for line in list(table)[1:]:
                words = line.split()
                if words[3] == "0A":
                    sockets[words[9]] = words[1]
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            link = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if link.startswith("socket:[") and link[8:-1] in sockets:
            found[link[8:-1]] = sockets[link[8:-1]]
    return found

def own(_):
    "What this rank listens on, without sockets that its launcher has left open in it."
    theirs = listening(os.getppid())
    return [sorted(address for inode, address in listening("self").items() if inode not in theirs)]

with Context() as sc:
    exchanged = sc.parallelize(range(100), 4).map(lambda i: (i % 7, i)).reduceByKey(lambda a, b: a + b).count()
    print(exchanged, own(0), sc.parallelize(range(2), 2).barrier().mapPartitions(own).collect())
"""


def test_on_one_host_no_rank_listens(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(PROGRAM)
    done = subprocess.run([sys.executable, "-m", "mpirdd", "run", "-n", "3", "job.py"], cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (0, "7 [[]] [[], []]\n"), done.stderr
