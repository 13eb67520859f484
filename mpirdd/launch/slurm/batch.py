"""The text of the batch script that ``mpirdd submit`` sends to sbatch.

The script starts the program in the background and waits, as bash handles signals only between commands. Slurm sends
SIGUSR2 to the script alone (``B:``). With ``requeue`` the script queues the job again at its end, and the job goes on from its
saved state.
"""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from mpirdd.launch.slurm.pieces import CHECK, LEAD_S, REQUEUE, WAIT, watch
from mpirdd.protocol.errors import UsageError


@dataclass(frozen=True, slots=True)
class Batch:
    """The contents of a batch script."""

    program: Sequence[str]
    """``job.py args`` or ``-m module args``."""
    python: str
    options: Sequence[str] = ()
    """For sbatch, one a line: ``--nodes=4``."""
    run_words: Sequence[str] = ()
    """Options of ``mpirdd run``."""
    setup: Sequence[str] = ()
    """Shell lines to run first: ``module load openmpi``."""
    exports: Sequence[tuple[str, str]] = ()
    """Environment variables of the run."""
    srun: str | None = None
    """Start the ranks with ``srun --mpi=<this>`` instead of mpirun; empty for the site's default."""
    requeue: bool = False
    lead_s: int = LEAD_S
    notice: str = "USR2"
    """The signal by which Slurm announces the end of the walltime."""
    most_restarts: int = 20

    def __post_init__(self) -> None:
        """Raises UsageError for a control character: a line break would start another line of the script."""
        parts = {
            "the program's words": self.program, "the Python": [self.python], "an option for sbatch": self.options,
            "an option of mpirdd run": self.run_words, "--setup": self.setup, "--srun": [self.srun or ""],
            "a variable": [text for export in self.exports for text in export],
        }
        for what, texts in parts.items():
            for text in texts:
                if any(unicodedata.category(letter) == "Cc" and letter != "\t" for letter in text):
                    raise UsageError(f"submit: a control character in {what} cannot go into a script: {text!r}")

    def text(self) -> str:
        """The script."""
        lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in self.options), ""]
        lines.append(watch(self.lead_s, self.notice).rstrip())
        if self.requeue:
            lines.append(f"most_restarts={self.most_restarts}")
        lines.append("")
        for line in self.setup:
            lines += [line, CHECK.format(told=shlex.quote(f"mpirdd: this failed, so the job ends: {line}"))]
        lines += [*(f"export {name}={shlex.quote(value)}" for name, value in self.exports)]
        lines += [f"{self._command()} &", WAIT.rstrip()]
        if self.requeue:
            lines.append(REQUEUE.rstrip())
        return "\n".join([*lines, 'exit "$code"', ""])

    def _command(self) -> str:
        python, program = shlex.quote(self.python), shlex.join(self.program)
        if self.srun is None:
            return " ".join(filter(None, [python, "-m mpirdd run", shlex.join(self.run_words), program]))
        mpi = f"--mpi={shlex.quote(self.srun)}" if self.srun else ""
        everything = "--export=ALL"  # else, after `sbatch --export=NONE`, srun would bring nothing along
        cores = '--cpus-per-task="${SLURM_CPUS_PER_TASK:-1}"'  # since Slurm 22.05 srun does not inherit it
        return " ".join(filter(None, ["srun", mpi, everything, cores, python, "-m mpirdd", program]))
