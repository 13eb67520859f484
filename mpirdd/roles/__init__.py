"""The two parts that ranks play: the driver (rank 0) and the executors (all others)."""
