"""A good engineer's mpi4py programs for the same work: no engine, the same functions and ranks.
Rank 0 takes the driver's place and waits asleep, so it takes no core from ranks 1 to n-1.
"""
