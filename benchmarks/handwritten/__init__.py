"""What a good engineer writes with mpi4py for the same work: no engine, the same functions and ranks.

Rank 0 stands where the driver stands and waits asleep, so that it takes no core from ranks 1 to n-1.
"""
