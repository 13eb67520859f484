"""The text of a batch script for Slurm: what ``mpirdd submit`` sends to sbatch, and what the scripts in ``slurm/`` hold.

The script starts the program in the background and waits, as bash handles signals only between commands. Slurm sends
SIGUSR2 to the script alone (``B:``), some time before the walltime ends: it is passed on, so that the program can save;
a run that is still there ``patience`` seconds later is ended. A job to be requeued is requeued then, and goes on from
what it has saved. Slurm sends SIGTERM when a job is cancelled.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

LEAD_S = 120
"""Slurm is asked for a signal this long before the walltime ends; it may come a minute earlier."""
SAVING_S = 20
"""A program that is told to stop may save for this long. Slurm kills it after its KillWait, mostly 30 s."""

PROLOGUE = """\
# Slurm sends USR2 some time before the walltime ends, and TERM when the job is cancelled; both go on to the run.
run='' ending=''
trap 'ending=walltime; kill -USR2 "$run" 2>/dev/null; (sleep "$patience"; kill -TERM "$run" 2>/dev/null) &' USR2
trap 'ending=cancelled; kill -TERM "$run" 2>/dev/null' TERM
export MPIRDD_GRACE_S={saving}  # seconds that the program may take to save when it is told to stop
"""

EPILOGUE = """\
run=$!
wait "$run"
while kill -0 "$run" 2>/dev/null; do wait "$run"; done  # a signal ends `wait` early
wait "$run"; code=$?
"""

REQUEUE = """\
if [ "$ending" = walltime ] && [ "$code" -ne 0 ]; then
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
    most_restarts: int = 20

    def text(self) -> str:
        """The script."""
        lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in self.options), ""]
        lines += [PROLOGUE.format(saving=SAVING_S).rstrip()]
        lines += [f"patience={max(self.lead_s - 30, self.lead_s // 2)}  # seconds from USR2 until the run is ended"]
        if self.requeue:
            lines.append(f"most_restarts={self.most_restarts}")
        lines += ["", *self.setup, *(f"export {name}={shlex.quote(value)}" for name, value in self.exports)]
        lines += [f"{self._command()} &", EPILOGUE.rstrip()]
        if self.requeue:
            lines.append(REQUEUE.rstrip())
        return "\n".join([*lines, 'exit "$code"', ""])

    def _command(self) -> str:
        python, program = shlex.quote(self.python), shlex.join(self.program)
        if self.srun is None:
            return " ".join(filter(None, [python, "-m mpirdd run", shlex.join(self.run_words), program]))
        mpi = f"--mpi={shlex.quote(self.srun)}" if self.srun else ""
        cores = '--cpus-per-task="${SLURM_CPUS_PER_TASK:-1}"'  # since Slurm 22.05 srun does not inherit it
        return " ".join(filter(None, ["srun", mpi, cores, python, "-m mpirdd", program]))
