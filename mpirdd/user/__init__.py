"""What users program with: Context, RDD and its families of operations. Knows the driver, not MPI."""
