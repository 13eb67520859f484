"""``mpirdd doctor`` on the MPI of this environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mpirdd.launch.mpirun import find_launcher
from mpirdd.protocol.errors import ClusterError

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(100)
def test_the_doctor_starts_ranks_measures_and_finds_nothing_fatal() -> None:
    try:
        launcher = find_launcher()
    except ClusterError:
        pytest.skip("no mpirun")
    import_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "mpirdd", "doctor", "-n", "3", "--json"],
        env={**os.environ, "PYTHONPATH": import_path},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    found = json.loads(done.stdout)
    assert done.returncode == 0, found["problems"]
    assert (found["size"], found["launcher"]) == (3, launcher.path)
    assert found["latency_us"] > 0 and found["bandwidth_mb_s"] > 0 and found["alltoall_mb_s"] > 0
