"""What an executor imports from its start to its first result: each module is some files that every rank opens."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from launcher import with_mpirun
from ways import run

pytestmark = [with_mpirun, pytest.mark.timeout(60)]
MOST = 120
"""Beyond a bare Python with mpi4py. cloudpickle alone takes 35 of them."""
BARE = "import mpi4py, json, sys; mpi4py.rc.initialize = False; from mpi4py import MPI; print(json.dumps(list(sys.modules)))"
PROGRAM = """
import json
from mpirdd import Context

def imported(records):
    import sys
    return list(sys.modules)

with Context() as sc:
    assert sc.parallelize(range(10), 2).map(lambda x: x).sum() == 45
    print(json.dumps(sc.parallelize([1], 1).mapPartitions(imported).collect()))
"""


def test_an_executor_imports_few_modules_and_none_of_the_users_layer(tmp_path: Path) -> None:
    bare = set(json.loads(subprocess.run([sys.executable, "-c", BARE], capture_output=True, check=True, timeout=30).stdout))
    ended = run("mpirdd run -n 3", tmp_path, PROGRAM)
    assert ended.code == 0, ended.all
    modules = set(json.loads(ended.out))
    more = sorted(modules - bare)
    assert len(more) <= MOST, f"{len(more)} modules: {' '.join(more)}"
    assert not [name for name in modules if name.startswith(("mpirdd.api", "mpirdd.driver", "mpirdd.scheduler", "numpy"))]
