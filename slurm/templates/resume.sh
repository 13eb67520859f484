#!/bin/bash
@log@
#SBATCH --requeue
# EDIT: what you need. A short walltime starts sooner.
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=32
#SBATCH --cpus-per-task=1
#SBATCH --mem=0                  # all of each node's memory
#SBATCH --time=1:00:00
##SBATCH --partition=...
##SBATCH --account=...

# A program that takes longer than its walltime: it saves, is queued again, and goes on.
#     sbatch slurm/resume.sh jobs/logistic_regression.py --resume state ...
#
# The program must use sc.resumable (docs/CLUSTER.md), with a folder that all nodes see. Once it has saved, it leaves with
# exit code 140. The script also serves after a node's failure or preemption, when Slurm queues the job again by itself.
# `mpirdd submit --requeue --nodes 4 --ntasks-per-node 32 job.py args` submits much the same.

@watch@
most_restarts=20               # EDIT: a program that never gets anywhere must end some day

@environment@

python -m mpirdd run "$@" &
@wait@
@requeue@
exit "$code"
