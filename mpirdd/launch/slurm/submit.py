"""``mpirdd submit``: submits a batch job to Slurm from one line, and follows it to its end.

    mpirdd submit --nodes 4 --ntasks-per-node 32 --time 1:00:00 job.py args

``submit`` and ``mpirdd run`` take the options they know; all others go to sbatch unchanged. Everything behind the
program's name goes to the program.

Promises: the job runs with the Python that submits it, in the current folder. Log and script are there, under the job's name
and number. With ``--wait``, it prints the job's log, and the exit code is the job's.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mpirdd.launch import spark_options
from mpirdd.launch.mpirun import find_launcher, import_path
from mpirdd.launch.restarts import check_restarts
from mpirdd.launch.slurm.batch import Batch
from mpirdd.launch.slurm.follow import COMMAND_TIMEOUT_S, NO_INDEX, ending_gently, follow, log_of, records_of
from mpirdd.launch.slurm.pieces import LEAD_S
from mpirdd.launch.spares import ask_slurm
from mpirdd.protocol.errors import ClusterError, UsageError
from mpirdd.protocol.package import page

_SBATCH_FLAGS = frozenset((
    "--contiguous", "--exclusive", "--get-user-env", "--hold", "--ignore-pbs", "--kill-on-invalid-dep", "--no-bell",
    "--no-kill", "--no-requeue", "--overcommit", "--oversubscribe", "--parsable", "--quiet", "--reboot",
    "--spread-job", "--test-only", "--use-min-nodes", "--verbose", "-H", "-k", "-O", "-Q", "-s", "-v",
))
"""Options of sbatch without a value, or with one only behind a =. All others take the next word."""


_NOT_IN_A_NAME = r"[^\w.+-]"
"""Characters that may not be in the name of a job, and so of its log."""


@dataclass(frozen=True, slots=True)
class Sorted:
    """The words of a command line, by their destination."""

    own: list[str] = field(default_factory=list)
    run: list[str] = field(default_factory=list)
    sbatch: list[str] = field(default_factory=list)
    program: list[str] = field(default_factory=list)


def own_parser() -> ArgumentParser:
    """The parser of ``submit``'s own options, which neither ``run`` nor sbatch have."""
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
        "--requeue", action="store_true", help=f"queue the job again when its walltime ends: see {page('CLUSTER.md')}")
    parser.add_argument(
        "--srun", nargs="?", const="", metavar="TYPE",
        help="start ranks with srun instead of mpirun; --srun=pmi2 names the type (default: by the MPI here)")
    parser.add_argument(
        "--setup", action="append", default=[], metavar='"..."',
        help='a line of shell to run first: --setup "module load openmpi" (repeatable)')
    parser.add_argument("-m", action="store_true", dest="is_module", help="run a module, as python -m does")
    return parser


def submit(
    words: Sequence[str], run_parser: ArgumentParser, settings_of: Callable[[Namespace], Mapping[str, str]],
    nearest: Callable[[str], str],
) -> int:
    """Carry out ``mpirdd submit words``. Returns the exit code.

    Args:
        run_parser: the parser of the options of ``mpirdd run``.
        settings_of: gives the ``MPIRDD_*`` variables for such options.
        nearest: "; did you mean ...?" for an option that sbatch does not know, or "".

    Raises:
        UsageError: there is no such program, or the options make no sense.
        ClusterError: there is no Slurm here, or Slurm refuses the job.
    """
    parser = own_parser()
    found = sort_words(words, parser, run_parser)
    try:
        own, run = parser.parse_args(found.own), run_parser.parse_args(found.run)
    except ArgumentError as error:
        raise UsageError(f"submit: {error}") from None
    program = ["-m", *found.program] if own.is_module else found.program
    check_restarts(run.restarts)
    misspelt = [f"{option} goes to sbatch, as it is no option of mpirdd{meant}" for option in found.sbatch
                if (meant := nearest(re.split("[= ]", option)[0]))]
    if misspelt and not program:
        raise UsageError(f"submit: {misspelt[0]}")
    if not program:
        raise UsageError("which program? mpirdd submit [options] job.py [args ...]")
    if not own.is_module and not os.path.exists(program[0]):
        hint = "; the value of an option of sbatch is best written with =, as in --nodes=4" if found.sbatch else ""
        raise UsageError(f"no such program: {program[0]}{hint}")
    for said in misspelt:
        print(f"mpirdd: {said}", file=sys.stderr)
    settings, keys = settings_of(run), spark_options.conf_of(run)
    for remark in spark_options.remarks(run):
        print(f"mpirdd: {remark}", file=sys.stderr)
    found.sbatch[:0] = _asked_of_slurm(keys, found.sbatch)
    if run.restarts and "--no-kill" not in found.sbatch:
        found.sbatch.insert(0, "--no-kill")  # else Slurm would end the job with the host
    spares = int(settings.get("MPIRDD_SPARES", 0))
    lead = lead_s(found.sbatch)
    notice = _notice(found.sbatch)
    srun = _srun_type(own.srun, elsewhere=bool(own.setup or run.mpirun))
    if srun is not None:
        _refuse_with_srun(run)
    if spares and srun is not None:
        print(f"mpirdd: the job goes without --spares {spares}: srun ends it with its first lost rank, so that a spare could "
              "never join", file=sys.stderr)
        settings = {name: value for name, value in settings.items() if name != "MPIRDD_SPARES"}
    elif spares > 0 and (said := ask_slurm(found.sbatch, spares)):
        print(said, file=sys.stderr)
    batch = Batch(
        program=program,
        python=sys.executable,
        options=_sbatch_options(found.sbatch, name=_job_name(program, own.is_module), requeue=own.requeue, lead_s=lead),
        run_words=found.run if srun is None else (),
        exports=(*import_path(os.environ).items(), *(sorted(settings.items()) if srun is not None else ())),
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
        job = _sbatch(batch.text(), nearest)
        if not job:  # --test-only
            return 0
        _say_where(job, batch.text())
        return follow(job) if own.wait else 0
    except BrokenPipeError:  # `| head -1`, say
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


def _asked_of_slurm(keys: Mapping[str, str], given: Sequence[str]) -> list[str]:
    """The options for sbatch that the options of spark-submit imply, unless the user gives such options."""
    ranks = spark_options.ranks_of(keys, None)
    asked = [] if ranks is None or any(re.match(r"--ntasks\b|-n|--ntasks-per-node\b", option) for option in given) else [
        f"--ntasks={ranks}"]
    if "spark.app.name" in keys and not any(re.match(r"--job-name\b|-J", option) for option in given):
        asked.append(f"--job-name={re.sub(_NOT_IN_A_NAME, '_', keys['spark.app.name'])}")
    return asked


def sort_words(words: Sequence[str], own: ArgumentParser, run: ArgumentParser) -> Sorted:
    """The destination of each word. The first word that is neither an option nor an option's value is the program."""
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
            name, equals, value = word.partition("=")
            result.sbatch.append(f"{name}={shlex.quote(value)}" if equals and value else word)
            if not glued and word not in _SBATCH_FLAGS:
                result.sbatch[-1] += ("=" if word.startswith("--") else " ") + shlex.quote(_value_of(word, left))
    result.program.extend(left)
    return result


def _asked(parser: ArgumentParser, word: str) -> tuple[bool, bool]:
    """Does the parser know this option, and does the option take the next word as its value?"""
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
    return re.sub(_NOT_IN_A_NAME, "_", name)


def _sbatch_options(given: Sequence[str], *, name: str, requeue: bool, lead_s: int) -> list[str]:
    """Our options, without those that the user gives, and then the user's."""
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
    """The signal that the script expects before the walltime ends: the user's, if they name one."""
    for option in given:
        if option.startswith("--signal="):
            found = re.fullmatch(r"(?:([RB]+):)?(?:SIG)?([A-Z]+\d*|\d+)(@\d+)?", option.partition("=")[2].upper())
            if found is None:
                return "USR2"  # sbatch says what is wrong with it
            if "B" not in (found[1] or ""):
                print("mpirdd: --signal without B: goes to the steps and not to the script, so the program gets no signal "
                      f"before its walltime ends; it does with --signal=B:{found[2]}{found[3] or ''}", file=sys.stderr)
            return found[2] if found[2] != "TERM" else "USR2"  # TERM is passed on in any case
    return "USR2"


def _make_log_folder(options: Sequence[str]) -> None:
    """Make the folder of the log. Without it Slurm would end the job without a word."""
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
    """Slurm's ``minutes``, ``m:s``, ``h:m:s``, ``d-h``, ``d-h:m`` or ``d-h:m:s`` in seconds; 0 for any other text.

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


def _refuse_with_srun(run: Namespace) -> None:
    """Raises UsageError for an option that ``mpirdd run`` itself carries out. (``--no-ft`` changes nothing: srun recovers from
    no loss.)"""
    if run.report or run.ui:
        raise UsageError("--report and --ui need `mpirdd run`, which --srun does not use: give --events FILE, and then run "
                         "`mpirdd report FILE -o report.html`")
    for option, given, instead in (
        ("--restarts", run.restarts, ""), ("--stage-environment", run.stage_environment, ""), ("--mpirun", run.mpirun, ""),
        ("--mpi-args", run.mpi_args, ""), ("--ranks", run.ranks, ": give --ntasks"),
    ):
        if given:
            raise UsageError(f"{option} needs `mpirdd run`, which --srun does not use{instead}")


def _srun_type(given: str | None, *, elsewhere: bool) -> str | None:
    """The ``--mpi`` of srun; empty leaves it to the site; None starts the ranks with mpirun.

    Args:
        elsewhere: the user names an mpirun, or lines of shell that may bring one.
    """
    if given:
        return given
    try:
        kind = find_launcher().kind
    except ClusterError:
        if given is None and not elsewhere and shutil.which("srun"):
            print("mpirdd: no mpirun here, so srun is to start the ranks (--setup or --mpirun otherwise)", file=sys.stderr)
            given = ""
        kind = "unknown"
    if given is None:
        return None
    return {"Open MPI": "pmix", "MPICH": "pmi2", "Intel MPI": "pmi2"}.get(kind, "")


def _sbatch(text: str, nearest: Callable[[str], str]) -> str:
    """Submit a script. Returns the job's id."""
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        raise ClusterError(
            "no sbatch here, so this is no login node of a cluster with Slurm.\n"
            "  fix: log in to one, or load its module (`module load slurm`),\n"
            "   or: mpirdd submit --dry-run ...   (prints the script, to be submitted elsewhere)\n"
            "   or: mpirdd run ...                (runs the program on this machine)"
        )
    # The batch script inherits our environment. Variables that say that *we* are inside a job must not reach it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_") or name == "SLURM_CONF"}
    try:
        done = subprocess.run(
            [sbatch, "--parsable"], input=text, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S,
            env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"{sbatch} does not work: {error}") from error
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        wrong = re.search(r"(?:unrecognized|ambiguous|invalid) option:? .?(--[\w-]+)", said)
        raise ClusterError(f"sbatch refused the job:\n{said}{nearest(wrong[1]) if wrong else ''}")
    if done.stderr:
        sys.stderr.write(done.stderr)
    return done.stdout.strip().split("\n")[-1].split(";")[0]


def _say_where(job: str, text: str) -> None:
    known = records_of(job)
    log = log_of(known[0]).replace(NO_INDEX, "%a") if known else ""
    print(f"job {job}")
    if log:
        print(f"log     {log}")
        script = re.sub("%[a-zA-Z]", "all", os.path.splitext(log)[0]) + ".sh"
        try:
            with open(script, "x") as file:
                file.write(text)
            print(f"script  {script}")
        except OSError:
            pass  # a courtesy: scontrol write batch_script gives it, too
    print(f"state   squeue -j {job}\nend it  scancel {job}   (at once; to let it save: {ending_gently(job)})", flush=True)
