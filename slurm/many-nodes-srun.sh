#!/bin/bash
#SBATCH --job-name=mpirdd
#SBATCH --output=%x-%j.log       # stdout and stderr, in the folder you submit from
#SBATCH --open-mode=append       # a requeued job goes on with its log
#SBATCH --signal=B:USR2@120      # told 120 s before the walltime ends
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

# Before the walltime ends Slurm sends USR2, but up to a minute too early. The script passes it on to the run, which saves
# its state. If the run goes on all the same, the script ends it in time. By hand, at any time:
#     scancel --batch --signal=USR2 JOBID    save now (sc.resumable: and leave)
#     scancel --batch --signal=TERM JOBID    save and end. A plain scancel ends mpirun and the ranks at once.
lead=120 run='' ending='' told_at_start=''
walltime() {
  local now end early
  now=$(date +%s)
  end=$(date +%s -d "$(squeue -h -j "$SLURM_JOB_ID" -o %e || echo unknown)") || end=$((now + lead))
  early=$((end - lead - now))
  if [ "$ending" = walltime ] || [ "$early" -gt 90 ]; then kill -USR2 "$run" 2>/dev/null; return; fi  # sent by hand
  [ "$run" ] || { told_at_start=yes; return; }
  ending=walltime
  {
    sleep $((early > 3 ? early : 3)); kill -USR2 "$run"  # 3: a run that just starts would die of it
    sleep $((lead / 2)); kill -TERM "$run"
  } 2>/dev/null &
}
trap walltime USR2
trap 'ending=cancelled; [ "$run" ] || exit 143; kill -TERM "$run" 2>/dev/null' TERM  # 143: nothing runs yet
export MPIRDD_GRACE_S=20  # seconds that the program may take to save after TERM

# EDIT: your environment. Without these lines the job has that of the shell that submits it.
#   module load openmpi/5.0 || exit
#   source ~/venvs/mpirdd/bin/activate || exit

# Since Slurm 22.05 srun does not inherit --cpus-per-task. It does inherit `sbatch --export=NONE`, hence --export=ALL.
srun --mpi="$mpi" --export=ALL --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" python -m mpirdd "$@" &
run=$!
if [ "$told_at_start" ]; then walltime; fi
wait "$run"
while kill -0 "$run" 2>/dev/null; do wait "$run"; done  # a signal ends `wait` early
wait "$run"; code=$?
exit "$code"
