#!/bin/bash
#SBATCH --job-name=mpirdd-benchmark
#SBATCH --output=%x-%j.log
# EDIT: what you need. --exclusive: else other jobs on the node would disturb the figures.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=1
#SBATCH --mem=0
#SBATCH --exclusive
#SBATCH --time=1:00:00
##SBATCH --partition=...
##SBATCH --account=...

# The same program in memory and as MapReduce on disk, three times each.
#     sbatch slurm/benchmark.sh jobs/logistic_regression.py ...
#
# The disk mode needs scratch space. On nodes without a disk of their own, that is the shared file system.

# EDIT: a folder on a local disk of each node, if Slurm does not set SLURM_TMPDIR or TMPDIR here.
#   export TMPDIR=/local/$USER

# EDIT: your environment. Without these lines the job has that of the shell that submits it.
#   module load openmpi/5.0 || exit
#   source ~/venvs/mpirdd/bin/activate || exit

for round in 1 2 3; do
  for mode in memory mapreduce; do
    words=(); [ "$mode" = memory ] || words=(--mode "$mode")
    began=$(date +%s.%N)
    python -m mpirdd run "${words[@]}" "$@" || exit
    awk -v round="$round" -v mode="$mode" -v began="$began" -v ended="$(date +%s.%N)" \
      'BEGIN { printf "round %d, %s: %.2f s with start-up\n", round, mode, ended - began }'
  done
done
