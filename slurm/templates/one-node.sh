#!/bin/bash
@log@
#SBATCH --no-requeue
# EDIT: what you need. One task is one rank: rank 0 is the driver, which mostly waits, the others are executors.
#SBATCH --nodes=1
#SBATCH --ntasks=8
#SBATCH --cpus-per-task=1        # threads of numpy in each rank
#SBATCH --mem=16G                # of the node, shared by its ranks
#SBATCH --time=1:00:00
##SBATCH --partition=...
##SBATCH --account=...

# One node.    sbatch slurm/one-node.sh job.py args
#
# `mpirdd submit --nodes 1 --ntasks 8 job.py args` submits much the same.

@watch@

@environment@

python -m mpirdd run "$@" &
@wait@
exit "$code"
