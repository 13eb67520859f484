"""``mpirdd submit``: a batch job for Slurm from one line, and following it to its end.

    mpirdd submit --nodes 4 --ntasks-per-node 32 --time 1:00:00 job.py args

Options are sorted by who knows them: ``submit`` itself, ``mpirdd run``, and all others go to sbatch as they are.
What follows the program's name is the program's.

Promises: the job runs with the Python that submits it, in the current folder; a log and the script lie there under the
job's name and number. With ``--wait``, what the job logs is printed, and the exit code is the job's.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mpirdd.edge import launch
from mpirdd.edge.batch import LEAD_S, Batch
from mpirdd.words.errors import ClusterError, UsageError

_SBATCH_FLAGS = frozenset((
    "--contiguous", "--exclusive", "--get-user-env", "--hold", "--ignore-pbs", "--kill-on-invalid-dep", "--no-bell",
    "--no-kill", "--no-requeue", "--overcommit", "--oversubscribe", "--parsable", "--quiet", "--reboot",
    "--spread-job", "--test-only", "--use-min-nodes", "--verbose", "-H", "-k", "-O", "-Q", "-s", "-v",
))
"""Options of sbatch that take no value, or one behind a = only. All others take the next word."""
_NO_INDEX = "4294967294"
"""What Slurm puts for the index of an array's jobs that have not started yet."""
_LOOK_S = 2.0
_COMMAND_TIMEOUT_S = 60.0
_OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE", "PREEMPTED")


@dataclass(frozen=True, slots=True)
class Sorted:
    """The words of a command line, by who is to have them."""

    own: list[str] = field(default_factory=list)
    run: list[str] = field(default_factory=list)
    sbatch: list[str] = field(default_factory=list)
    program: list[str] = field(default_factory=list)


def own_parser() -> ArgumentParser:
    """The options of ``submit`` that are neither those of ``run`` nor sbatch's."""
    parser = ArgumentParser(
        prog="mpirdd submit",
        usage="mpirdd submit [options] [options of mpirdd run] [options of sbatch] [-m] PROGRAM [args ...]",
        description="Run a program as a Slurm job. Options not listed here or by `mpirdd run --help` go to sbatch: "
        "--nodes, --ntasks-per-node, --cpus-per-task, --time, --mem, --partition, --account, ... "
        "The job runs in this folder with this Python; its log is NAME-JOBID.log.",
        allow_abbrev=False,
        exit_on_error=False,
    )
    parser.add_argument("--dry-run", action="store_true", help="print the script, submit nothing")
    parser.add_argument("--wait", action="store_true", help="print the log until the job ends; exit with its code")
    parser.add_argument(
        "--requeue", action="store_true", help="queue the job again when its walltime ends: see docs/CLUSTER.md")
    parser.add_argument(
        "--srun", nargs="?", const="", metavar="TYPE",
        help="start ranks with srun instead of mpirun; --srun=pmi2 names the type (default: by the MPI here)")
    parser.add_argument(
        "--setup", action="append", default=[], metavar='"..."',
        help='a line of shell to run first: --setup "module load openmpi" (repeatable)')
    parser.add_argument("-m", action="store_true", dest="is_module", help="run a module, as python -m does")
    return parser


def submit(
    words: Sequence[str], run_parser: ArgumentParser, settings_of: Callable[[Namespace], Mapping[str, str]]
) -> int:
    """Carry out ``mpirdd submit words``. Returns the exit code.

    Args:
        run_parser: knows the options of ``mpirdd run``.
        settings_of: the ``MPIRDD_*`` variables that such options mean.

    Raises:
        UsageError: no program, or none that is there.
        ClusterError: there is no Slurm here, or it refuses the job.
    """
    parser = own_parser()
    found = sort_words(words, parser, run_parser)
    try:
        own, run = parser.parse_args(found.own), run_parser.parse_args(found.run)
    except ArgumentError as error:
        raise UsageError(f"submit: {error}") from None
    program = ["-m", *found.program] if own.is_module else found.program
    if not program:
        raise UsageError("which program? mpirdd submit [options] job.py [args ...]")
    if not own.is_module and not os.path.exists(program[0]):
        hint = "; the value of an option of sbatch is best written with =, as in --nodes=4" if found.sbatch else ""
        raise UsageError(f"no such program: {program[0]}{hint}")
    settings = settings_of(run)
    lead = lead_s(found.sbatch)
    notice = _notice(found.sbatch)
    srun = _srun_type(own.srun, own.setup)
    batch = Batch(
        program=program,
        python=sys.executable,
        options=_sbatch_options(found.sbatch, name=_job_name(program, own.is_module), requeue=own.requeue, lead_s=lead),
        run_words=found.run if srun is None else (),
        exports=(*launch.import_path(os.environ).items(), *(sorted(settings.items()) if srun is not None else ())),
        setup=own.setup,
        srun=srun,
        requeue=own.requeue,
        lead_s=lead,
        notice=notice,
    )
    try:
        if own.dry_run:
            print(batch.text(), end="", flush=True)
            return 0
        _make_log_folder(batch.options)
        job = _sbatch(batch.text())
        if not job:  # --test-only
            return 0
        _say_where(job, batch.text())
        return follow(job) if own.wait else 0
    except BrokenPipeError:  # `| head -1`, say
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


def sort_words(words: Sequence[str], own: ArgumentParser, run: ArgumentParser) -> Sorted:
    """Who is to have which word. The first word that is no option, nor an option's value, is the program."""
    result, left = Sorted(), list(words)
    while left and left[0].startswith("-") and left[0] != "-":
        word = left.pop(0)
        if word == "--":
            break
        for parser, destination in ((own, result.own), (run, result.run)):
            knows, wants_value = (False, False) if word.startswith("-n") else _asked(parser, word)  # sbatch's --ntasks
            if knows:
                destination.append(word)
                if wants_value:
                    destination.append(_value_of(word, left))
                break
        else:
            glued = "=" in word or (not word.startswith("--") and len(word) > 2)  # --nodes=4, -N4
            result.sbatch.append(word)
            if not glued and word not in _SBATCH_FLAGS:
                result.sbatch[-1] += ("=" if word.startswith("--") else " ") + shlex.quote(_value_of(word, left))
    result.program.extend(left)
    return result


def _asked(parser: ArgumentParser, word: str) -> tuple[bool, bool]:
    """Whether the parser knows an option, and whether that wants the next word for its value."""
    try:
        _, unknown = parser.parse_known_args([word])
    except ArgumentError as error:
        if "=" in word:
            raise UsageError(str(error)) from None
        return True, True
    return not unknown, False


def _value_of(word: str, left: list[str]) -> str:
    if not left:
        raise UsageError(f"{word} wants a value, or is no option of sbatch; and which program?")
    return left.pop(0)


def _job_name(program: Sequence[str], is_module: bool) -> str:
    name = program[1] if is_module else os.path.basename(os.path.abspath(program[0])).removesuffix(".py")
    return re.sub(r"[^\w.+-]", "_", name)


def _sbatch_options(given: Sequence[str], *, name: str, requeue: bool, lead_s: int) -> list[str]:
    """The user's, behind those of ours that they do not give themselves."""
    array = any(re.match(r"--array\b|-a", option) for option in given)
    ours = [
        f"--job-name={name}",
        f"--output=%x-{'%A_%a' if array else '%j'}.log",
        "--open-mode=append",  # a requeued job goes on with its log
        f"--signal=B:USR2@{lead_s}",
        "--requeue" if requeue else "--no-requeue",
    ]
    long = {"-J": "--job-name", "-o": "--output"}
    names = {long.get(option[:2], re.split("[= ]", option)[0]) for option in given}
    return [option for option in ours if option.split("=")[0] not in names] + list(given)


def lead_s(given: Sequence[str]) -> int:
    """Seconds from the signal to the end of the walltime, by the options for sbatch."""
    lead = LEAD_S
    for option in given:
        name, _, value = option.partition("=") if option.startswith("--") else (option[:2], "", option[2:].strip(" ="))
        if name in ("--time", "-t"):
            walltime = walltime_s(value)
            lead = min(LEAD_S, walltime // 4) if walltime else LEAD_S
        elif name == "--signal" and "@" in value and value.rpartition("@")[2].isdigit():
            return int(value.rpartition("@")[2])
    return lead


def _notice(given: Sequence[str]) -> str:
    """The signal that the script is to expect before the walltime ends: the user's, if they name one."""
    for option in given:
        if option.startswith("--signal="):
            found = re.fullmatch(r"(?:([RB]+):)?(?:SIG)?([A-Z]+\d*|\d+)(@\d+)?", option.partition("=")[2].upper())
            if found is None:
                return "USR2"  # sbatch says what is wrong with it
            if "B" not in (found[1] or ""):
                print("mpirdd: --signal without B: goes to the steps and not to the script, so that the program is not told "
                      f"before its walltime ends; as --signal=B:{found[2]}{found[3] or ''} it is", file=sys.stderr)
            return found[2] if found[2] != "TERM" else "USR2"  # TERM is passed on in any case
    return "USR2"


def _make_log_folder(options: Sequence[str]) -> None:
    """The folder of the log, which Slurm does not make: it would end the job without a word."""
    elsewhere = any(re.match(r"--chdir\b|-D", option) for option in options)
    for option in options:
        found = re.match(r"(?:--output|--error|-o|-e)[= ]*(.+)", option)
        folder = os.path.dirname(shlex.split(found[1])[0]) if found else ""
        if folder and "%" not in folder and not os.path.isdir(folder) and (os.path.isabs(folder) or not elsewhere):
            try:
                os.makedirs(folder)
            except OSError as error:
                raise UsageError(f"the log cannot be written: {folder}: {error.strerror}") from None
            print(f"mpirdd: made the folder {folder} for the log", file=sys.stderr)


def walltime_s(text: str) -> int:
    """Slurm's ``minutes``, ``m:s``, ``h:m:s``, ``d-h``, ``d-h:m`` or ``d-h:m:s`` in seconds; 0 if it is none of them.

    >>> walltime_s("90"), walltime_s("1:30"), walltime_s("1:00:00"), walltime_s("1-12")
    (5400, 90, 3600, 129600)
    """
    if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", text):
        return 0
    days, dash, rest = text.rpartition("-")
    numbers = [int(number) for number in rest.split(":")]
    if dash:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
    else:
        hours, minutes, seconds = {1: [0, *numbers, 0], 2: [0, *numbers], 3: numbers}[len(numbers)]
    return int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds


def _srun_type(given: str | None, setup: Sequence[str]) -> str | None:
    """The ``--mpi`` of srun, empty to leave it to the site; None to start the ranks with mpirun."""
    if given:
        return given
    try:
        kind = launch.find_launcher().kind
    except ClusterError:
        if given is None and not setup and shutil.which("srun"):
            print("mpirdd: no mpirun here, so srun is to start the ranks (--setup or --mpirun otherwise)", file=sys.stderr)
            given = ""
        kind = "unknown"
    if given is None:
        return None
    return {"Open MPI": "pmix", "MPICH": "pmi2", "Intel MPI": "pmi2"}.get(kind, "")


def _sbatch(text: str) -> str:
    """Submit a script. Returns the job's id."""
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        raise ClusterError(
            "no sbatch here, so this is no login node of a cluster with Slurm.\n"
            "  fix: log in to one, or load its module (`module load slurm`),\n"
            "   or: mpirdd submit --dry-run ...   (prints the script, to be submitted elsewhere)\n"
            "   or: mpirdd run ...                (runs the program on this machine)"
        )
    # The batch script inherits our environment; what says that *we* are inside a job must not reach it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_") or name == "SLURM_CONF"}
    try:
        done = subprocess.run(
            [sbatch, "--parsable"], input=text, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S,
            env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"{sbatch} does not work: {error}") from error
    if done.returncode:
        raise ClusterError(f"sbatch refused the job:\n{done.stderr.strip() or done.stdout.strip()}")
    if done.stderr:
        sys.stderr.write(done.stderr)
    return done.stdout.strip().split("\n")[-1].split(";")[0]


def _say_where(job: str, text: str) -> None:
    known = _records(job)
    log = _log_of(known[0]).replace(_NO_INDEX, "%a") if known else ""
    print(f"job {job}")
    if log:
        print(f"log     {log}")
        script = re.sub("%[a-zA-Z]", "all", os.path.splitext(log)[0]) + ".sh"
        try:
            with open(script, "x") as file:
                file.write(text)
            print(f"script  {script}")
        except OSError:
            pass  # it is a courtesy: scontrol write batch_script has it, too
    print(f"state   squeue -j {job}\nend it  scancel {job}   (at once; to let it save: {_gently(job)})", flush=True)


def _gently(job: str) -> str:
    """The command that tells the script alone, so that mpirun lives until the program has saved."""
    return f"scancel --batch --signal=TERM {job}"


def _log_of(record: Mapping[str, str]) -> str:
    """Where a job's log is; with %a of an array that has not started, and %N before there is a node."""
    node, path = record.get("BatchHost", ""), record.get("StdOut", "")
    if "%N" not in path or not node:
        return path
    host = fields(_ask("scontrol", "show", "node", "-o", node)).get("NodeHostName", node)  # a node's name may be another
    return path.replace("%N", host.split(".")[0])  # scontrol leaves this one to the reader


def follow(job: str) -> int:
    """Print what the job logs until it has ended. Returns its exit code, of an array the largest."""
    said, logs = "", dict[str, _Log]()
    try:
        while True:
            records = _records(job)
            over = all(_state(record) in _OVER for record in records)
            state = _described(records)
            if state != said and state:
                print(f"mpirdd: job {job}: {state}", file=sys.stderr, flush=True)
                said = state
            for record in records:
                path, index = _log_of(record), record.get("ArrayTaskId", "")
                if path and _NO_INDEX not in path:
                    logs.setdefault(path, _Log(f"[{index}] " if index else "")).print_new(path)
            if over and not _in_queue(job):
                break
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        print(f"\nmpirdd: job {job} goes on without being followed; to end it: scancel {job}, or to let it save "
              f"first: {_gently(job)}", file=sys.stderr)
        return 130
    if not records:
        records = _accounted(job)
    if not records:
        raise ClusterError(f"Slurm has forgotten job {job}, and sacct does not know it: how it ended is in its log")
    return max(_exit_code(record) for record in records)


class _Log:
    """Prints a growing file, each line behind what says whose it is."""

    def __init__(self, whose: str) -> None:
        self._whose, self._seen, self._in_line = whose.encode(), 0, False

    def print_new(self, path: str) -> None:
        out = sys.stdout.buffer
        try:
            with open(path, "rb") as file:
                file.seek(self._seen)
                while data := file.read(1 << 20):
                    self._seen += len(data)
                    for line in data.splitlines(keepends=True) if self._whose else [data]:
                        out.write(line if self._in_line else self._whose + line)
                        self._in_line = not line.endswith(b"\n")
        except BrokenPipeError:
            raise
        except OSError:  # not there yet, or not visible from this host
            return
        sys.stdout.flush()


def _records(job: str) -> list[dict[str, str]]:
    """What slurmctld knows of the job, one for each of its array; nothing some minutes after its end."""
    text = _ask("scontrol", "show", "job", "-o", job)
    return [fields(line) for line in text.splitlines() if "JobState=" in line]


def fields(line: str) -> dict[str, str]:
    """A line of scontrol as keys and values, which may hold blanks.

    >>> fields("JobId=7 JobName=my job Reason=None StdOut=/a/my job-7.log")["StdOut"]
    '/a/my job-7.log'
    """
    return dict(re.findall(r"(\w[\w:/]*)=(.*?)(?=\s+\w[\w:/]*=|\s*$)", line))


def _accounted(job: str) -> list[dict[str, str]]:
    """The same from the accounting, where a site has it."""
    lines = [line.split("|") for line in _ask("sacct", "-n", "-P", "-X", "-j", job, "-o", "State,ExitCode").splitlines()]
    return [{"JobState": line[0].split()[0], "ExitCode": line[1]} for line in lines if len(line) == 2 and line[0]]


def _in_queue(job: str) -> bool:
    return bool(_ask("squeue", "-h", "-j", job, "-t", "PENDING,RUNNING,SUSPENDED,COMPLETING,REQUEUED", "-o", "%T").strip())


def _ask(*words: str) -> str:
    """What a command of Slurm answers; nothing if it fails, as slurmctld may be busy or the job forgotten."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _state(record: Mapping[str, str]) -> str:
    return record.get("JobState", "")


def _described(records: Sequence[Mapping[str, str]]) -> str:
    if len(records) != 1:
        counts: dict[str, int] = {}
        for record in records:
            counts[_state(record)] = counts.get(_state(record), 0) + 1
        return ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    record, state = records[0], _state(records[0])
    restarts = f", restart {record['Restarts']}" if record.get("Restarts", "0") != "0" else ""
    if state == "PENDING":
        reason = record.get("Reason", "None")
        return f"PENDING{restarts}" if reason == "None" else f"PENDING ({reason}){restarts}"
    return f"{state} on {record['NodeList']}{restarts}" if state == "RUNNING" and record.get("NodeList") else state + restarts


def _exit_code(record: Mapping[str, str]) -> int:
    """As a shell would have it. Slurm says ``code:signal``; a job it has ended itself may have 0:0."""
    code, _, number = record.get("ExitCode", "").partition(":")
    if code.isdigit() and int(code):
        return int(code)
    if number.isdigit() and int(number):
        return 128 + int(number)
    return 0 if _state(record) == "COMPLETED" else 1

