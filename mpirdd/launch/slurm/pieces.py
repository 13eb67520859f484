"""Pieces of shell that batch scripts share: the scripts that ``mpirdd submit`` writes, and the ready-made ones."""

from __future__ import annotations

LEAD_S = 120
"""Slurm signals a program this long before its walltime ends; in a short walltime, after three quarters of it."""
_SAVING_S = 20
"""A program may save for at most this long after the signal. Slurm kills it after its KillWait, usually 30 s."""

_WATCH = """\
# Before the walltime ends Slurm sends USR2, but up to a minute too early. The script passes it on to the run, which saves
# its state. If the run goes on all the same, the script ends it in time. By hand, at any time:
#     scancel --batch --signal=USR2 JOBID    save now (sc.resumable: and leave)
#     scancel --batch --signal=TERM JOBID    save and end. A plain scancel ends mpirun and the ranks at once.
lead={lead} run='' ending='' told_at_start=''
walltime() {{
  local now end early
  now=$(date +%s)
  end=$(date +%s -d "$(squeue -h -j "$SLURM_JOB_ID" -o %e || echo unknown)") || end=$((now + lead))
  early=$((end - lead - now))
  if [ "$ending" = walltime ] || [ "$early" -gt 90 ]; then kill -USR2 "$run" 2>/dev/null; return; fi  # sent by hand
  [ "$run" ] || {{ told_at_start=yes; return; }}
  ending=walltime
  {{
    sleep $((early > 3 ? early : 3)); kill -USR2 "$run"  # 3: a run that just starts would die of it
    sleep $((lead / 2)); kill -TERM "$run"
  }} 2>/dev/null &
}}
trap walltime {notice}
trap 'ending=cancelled; [ "$run" ] || exit 143; kill -TERM "$run" 2>/dev/null' TERM  # 143: nothing runs yet
export MPIRDD_GRACE_S={saving}  # seconds that the program may take to save after TERM
"""

# Follows each line of --setup, which may fail.
CHECK = 'code=$?; if [ "$code" != 0 ]; then echo {told} >&2; exit "$code"; fi'

# Follows the line that starts the run in the background: bash handles signals only between commands.
WAIT = """\
run=$!
if [ "$told_at_start" ]; then walltime; fi
wait "$run"
while kill -0 "$run" 2>/dev/null; do wait "$run"; done  # a signal ends `wait` early
wait "$run"; code=$?
"""

# At the end of a job to be requeued: it goes on from its saved state.
REQUEUE = """\
if [ "$ending" = walltime ] && [ "$code" -gt 128 ]; then  # the run has saved and left, or was ended
  if [ "${SLURM_RESTART_COUNT:-0}" -lt "$most_restarts" ]; then
    echo "the walltime ends: job $SLURM_JOB_ID is queued again, and goes on from what it has saved" >&2
    scontrol requeue "$SLURM_JOB_ID" && sleep 60  # Slurm ends this script
  else
    echo "the walltime ends, and the job has been requeued $most_restarts times: enough" >&2
  fi
fi
"""

ENVIRONMENT = """\
# EDIT: your environment. Without these lines the job has that of the shell that submits it.
#   module load openmpi/5.0 || exit
#   source ~/venvs/mpirdd/bin/activate || exit
"""

_LOG = """\
#SBATCH --job-name=mpirdd
#SBATCH --output=%x-%j.log       # stdout and stderr, in the folder you submit from
#SBATCH --open-mode=append       # a requeued job goes on with its log
#SBATCH --signal=B:USR2@{lead}      # told {lead} s before the walltime ends
"""


def watch(lead_s: int = LEAD_S, notice: str = "USR2") -> str:
    """The piece that passes Slurm's signals on to the run. ``notice`` is the signal that announces the end of the walltime."""
    return _WATCH.format(lead=lead_s, saving=max(2, min(_SAVING_S, lead_s // 4)), notice=notice)


def filled(template: str) -> str:
    """A template with each line ``@NAME@`` replaced by that piece."""
    pieces = {
        "log": _LOG.format(lead=LEAD_S), "watch": watch(), "environment": ENVIRONMENT, "wait": WAIT, "requeue": REQUEUE,
    }
    for name, piece in pieces.items():
        template = template.replace(f"@{name}@\n", piece)
    return template
