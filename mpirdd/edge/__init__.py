"""The edge: command line, launching, diagnosis, and the one module that imports mpi4py."""
