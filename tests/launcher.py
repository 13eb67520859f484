"""The mpirun beside this Python, for suites that start ranks themselves."""

from __future__ import annotations

import pytest

from mpirdd.launch.mpirun import find_launcher
from mpirdd.protocol.errors import ClusterError

try:
    KIND = find_launcher().kind
except ClusterError:
    KIND = ""

with_mpirun = pytest.mark.skipif(not KIND, reason="no mpirun")
with_open_mpi = pytest.mark.skipif(KIND != "Open MPI", reason="wants Open MPI's mpirun beside this Python")
