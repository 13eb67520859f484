"""Print the MPI library's version on one line, in its own process; the harness never loads MPI."""

import mpi4py

mpi4py.rc.initialize = False

from mpi4py import MPI  # noqa: E402  (after the setting that it reads)

print(MPI.Get_library_version().strip("\0 \n").splitlines()[0])
