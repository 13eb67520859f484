#!/bin/bash
@log@
#SBATCH --no-requeue
# EDIT: what you need. Ranks = nodes x ntasks-per-node; rank 0 is the driver.
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=32
#SBATCH --cpus-per-task=1
#SBATCH --mem=0                  # all of each node's memory
#SBATCH --time=1:00:00
#SBATCH --no-kill                # go on when a node fails: mpirdd recovers, where the MPI can
##SBATCH --partition=...
##SBATCH --account=...

# Many nodes, ranks started by mpirun.    sbatch slurm/many-nodes.sh job.py args
#
# mpirun takes hosts and ranks from the allocation. With Open MPI 5 the run goes on when executors are lost; with srun
# the first lost rank would end the job. The program and its data must be on a file system that all nodes see.
# `mpirdd submit --nodes 4 --ntasks-per-node 32 job.py args` submits much the same.

@watch@

@environment@

python -m mpirdd run "$@" &
@wait@
exit "$code"
