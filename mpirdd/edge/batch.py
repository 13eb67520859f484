"""The text of a batch script for Slurm: what ``mpirdd submit`` sends to sbatch, and what the scripts in ``slurm/`` hold.

The script starts the program in the background and waits, as bash handles signals only between commands. Slurm sends
SIGUSR2 to the script alone (``B:``). A job to be requeued is requeued at its end, and goes on from what it has saved.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

LEAD_S = 120
"""A program is told this long before its walltime ends, at most; of a short walltime, a quarter before."""
_SAVING_S = 20
"""A program that is told to stop may save for this long, at most. Slurm kills it after its KillWait, mostly 30 s."""

_WATCH = """\
# Before the walltime ends Slurm sends USR2, but up to a minute too early. It is passed on to the run, which saves what it
# has; one that goes on all the same is ended in time. By hand, at any time:
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
    sleep $((early > 3 ? early : 3)); kill -USR2 "$run"  # 3: a run that just starts would not understand it
    sleep $((lead / 2)); kill -TERM "$run"
  }} 2>/dev/null &
}}
trap walltime {notice}
trap 'ending=cancelled; kill -TERM "$run" 2>/dev/null' TERM
export MPIRDD_GRACE_S={saving}  # seconds that the program may take to save after TERM
"""

_CHECK = 'code=$?; if [ "$code" != 0 ]; then echo {told} >&2; exit "$code"; fi'

_WAIT = """\
run=$!
if [ "$told_at_start" ]; then walltime; fi
wait "$run"
while kill -0 "$run" 2>/dev/null; do wait "$run"; done  # a signal ends `wait` early
wait "$run"; code=$?
"""

_REQUEUE = """\
if [ "$ending" = walltime ] && [ "$code" -gt 128 ]; then  # it has saved and left, or was ended
  if [ "${SLURM_RESTART_COUNT:-0}" -lt "$most_restarts" ]; then
    echo "the walltime ends: job $SLURM_JOB_ID is queued again, and goes on from what it has saved" >&2
    scontrol requeue "$SLURM_JOB_ID" && sleep 60  # Slurm ends this script
  else
    echo "the walltime ends, and the job has been requeued $most_restarts times: enough" >&2
  fi
fi
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a script is to do."""

    program: Sequence[str]
    """``job.py args`` or ``-m module args``."""
    python: str
    options: Sequence[str] = ()
    """For sbatch, one a line: ``--nodes=4``."""
    run_words: Sequence[str] = ()
    """Options of ``mpirdd run``."""
    setup: Sequence[str] = ()
    """Lines of shell to run first: ``module load openmpi``."""
    exports: Sequence[tuple[str, str]] = ()
    """Environment variables of the run."""
    srun: str | None = None
    """Start the ranks with ``srun --mpi=<this>`` instead of mpirun; empty for the site's default."""
    requeue: bool = False
    lead_s: int = LEAD_S
    notice: str = "USR2"
    """The signal by which Slurm announces the end of the walltime."""
    most_restarts: int = 20

    def text(self) -> str:
        """The script."""
        saving_s = max(2, min(_SAVING_S, self.lead_s // 4))
        lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in self.options), ""]
        lines.append(_WATCH.format(lead=self.lead_s, saving=saving_s, notice=self.notice).rstrip())
        if self.requeue:
            lines.append(f"most_restarts={self.most_restarts}")
        lines.append("")
        for line in self.setup:
            lines += [line, _CHECK.format(told=shlex.quote(f"mpirdd: this failed, so the job ends: {line}"))]
        lines += [*(f"export {name}={shlex.quote(value)}" for name, value in self.exports)]
        lines += [f"{self._command()} &", _WAIT.rstrip()]
        if self.requeue:
            lines.append(_REQUEUE.rstrip())
        return "\n".join([*lines, 'exit "$code"', ""])

    def _command(self) -> str:
        python, program = shlex.quote(self.python), shlex.join(self.program)
        if self.srun is None:
            return " ".join(filter(None, [python, "-m mpirdd run", shlex.join(self.run_words), program]))
        mpi = f"--mpi={shlex.quote(self.srun)}" if self.srun else ""
        everything = "--export=ALL"  # after `sbatch --export=NONE` it would bring nothing along
        cores = '--cpus-per-task="${SLURM_CPUS_PER_TASK:-1}"'  # since Slurm 22.05 srun does not inherit it
        return " ".join(filter(None, ["srun", mpi, everything, cores, python, "-m mpirdd", program]))
