"""The names that programs use: Context, RDD and its families of operations. Knows the driver, not
MPI."""
