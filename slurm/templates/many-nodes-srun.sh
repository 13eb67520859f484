#!/bin/bash
@log@
#SBATCH --no-requeue
# EDIT: what you need. Ranks = nodes x ntasks-per-node; rank 0 is the driver.
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=32
#SBATCH --cpus-per-task=1
#SBATCH --mem=0                  # all of each node's memory
#SBATCH --time=1:00:00
##SBATCH --partition=...
##SBATCH --account=...

# Many nodes, ranks started by srun: where the site's MPI wants that (Cray, many Intel MPIs), or has no mpirun.
#     sbatch slurm/many-nodes-srun.sh job.py args
#
# No recovery: the first lost rank ends the job. mpi4py must be built with the site's MPI:
#     pip install --no-binary mpi4py mpi4py
# `mpirdd submit --srun=TYPE --nodes 4 --ntasks-per-node 32 job.py args` submits much the same.

# EDIT: how ranks find each other: pmix (Open MPI), pmi2 (MPICH, Intel MPI), cray_shasta (Cray). `srun --mpi=list` lists
# the types. With the wrong one each rank is a world of its own; mpirdd notices that and ends.
mpi=${MPI_TYPE:-pmix}

@watch@

@environment@

# Since Slurm 22.05 srun does not inherit --cpus-per-task. It does inherit `sbatch --export=NONE`, hence --export=ALL.
srun --mpi="$mpi" --export=ALL --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" python -m mpirdd "$@" &
@wait@
exit "$code"
