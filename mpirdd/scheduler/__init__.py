"""What to run, decided by pure code: lineage, planner, scheduler, placement. No I/O, no clock, no MPI."""
