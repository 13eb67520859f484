#!/bin/bash
#SBATCH --job-name=mpirdd
#SBATCH --output=%x-%A_%a.log    # a log for each job of the array
# EDIT: which jobs, and how many of them at the same time (%2).
#SBATCH --array=1-4%2
# EDIT: what one of them needs.
#SBATCH --nodes=1
#SBATCH --ntasks=4
#SBATCH --cpus-per-task=1
#SBATCH --mem=8G
#SBATCH --time=30:00
##SBATCH --partition=...
##SBATCH --account=...

# Independent jobs, each a run of its own.    sbatch slurm/array.sh job.py args
#
# Job number i takes its input from line i of a file, or from the number itself: sbatch slurm/array.sh job.py calls
# `job.py 1`, `job.py 2`, ... For many small things, one job with many tasks is better than an array: a task starts in a
# millisecond, a job in seconds.

@environment@

# EDIT: what distinguishes the jobs:  input=$(sed -n "${SLURM_ARRAY_TASK_ID}p" inputs.txt)
input=$SLURM_ARRAY_TASK_ID
exec python -m mpirdd run "$@" "$input"
