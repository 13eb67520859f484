"""The mpirun beside this Python, which suites that start ranks themselves want."""

from __future__ import annotations

import pytest

from mpirdd.edge.launch import find_launcher
from mpirdd.words.errors import ClusterError

try:
    KIND = find_launcher().kind
except ClusterError:
    KIND = ""

with_mpirun = pytest.mark.skipif(not KIND, reason="no mpirun")
with_open_mpi = pytest.mark.skipif(KIND != "Open MPI", reason="wants Open MPI's mpirun beside this Python")
