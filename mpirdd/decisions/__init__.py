"""What to do, decided by pure code: no I/O, no clock, no randomness, no MPI."""
