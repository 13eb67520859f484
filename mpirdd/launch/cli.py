"""The ``mpirdd`` command: parses the command line, calls the module that does the work, and returns its exit code.

Each command has a function that adds its options and a function that carries it out, which imports the module behind the
command. A mistake of the user gives one line and exit code 2; trouble with the cluster gives 1.
"""

from __future__ import annotations

import os
import sys
from argparse import REMAINDER, ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mpirdd import __version__
from mpirdd.launch import observing, spark_options
from mpirdd.launch.interactive import OfRun
from mpirdd.launch.interactive import add_commands as add_interactive
from mpirdd.observe.event_file import is_url
from mpirdd.protocol.errors import MpirddError, UsageError
from mpirdd.protocol.package import page

if TYPE_CHECKING:
    from argparse import _SubParsersAction  # the type has no public name

    _Commands = _SubParsersAction[ArgumentParser]


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command line. Returns the exit code."""
    parser = ArgumentParser(
        prog="mpirdd", description="Resilient distributed datasets on MPI.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"mpirdd {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_run, _add_mapreduce, _add_submit, _add_summary, observing.add_report, observing.add_top, observing.add_trace,
                _add_doctor, _add_examples):  # a further command goes here
        add(commands)
    add_interactive(commands, OfRun(_add_run_options, _launch, _settings))
    words = sys.argv[1:] if argv is None else argv
    if words and not words[0].startswith("-") and words[0] not in commands.choices:
        parser.error(_no_command(words, commands.choices))
    options, unknown = parser.parse_known_args(words)
    if unknown:
        command: ArgumentParser = commands.choices.get(words[0], parser)
        command.error(f"no option {unknown[0]}{nearest(unknown[0], command)}")
    try:
        code: int = options.carry_out(options)
    except MpirddError as error:
        print(f"mpirdd: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return code


def _no_command(words: Sequence[str], known: Iterable[str]) -> str:
    if words[0].endswith(".py"):
        return f"no command {words[0]}; to run a program: mpirdd run {words[0]}"
    from difflib import get_close_matches

    meant = get_close_matches(words[0], known, 1, 0.5)
    return f"no command {words[0]}" + (f"; did you mean {meant[0]}?" if meant else f"; there are {', '.join(known)}")


def nearest(word: str, *parsers: ArgumentParser, cutoff: float = 0.7) -> str:
    """The option that the user may have meant, as the end of a sentence; "" if none is near."""
    import re
    from difflib import get_close_matches

    known = {option for parser in parsers for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", parser.format_help())}
    if word.partition("=")[0] in known:  # the help names some of sbatch's options
        return ""
    meant = get_close_matches(word.partition("=")[0], sorted(known), 1, cutoff)
    return f"; did you mean {meant[0]}?" if meant and meant[0] != word.partition("=")[0] else ""  # help texts name sbatch's


def _add_run(commands: _Commands) -> None:
    parser = commands.add_parser(
        "run",
        help="run a program on several ranks",
        usage="mpirdd run [-n RANKS] [options] [-m] PROGRAM [args ...]",
        description="Run a program: rank 0 is its driver, the other ranks are executors. "
        "Everything behind the program's name goes to the program.",
        allow_abbrev=False,
    )
    parser.set_defaults(carry_out=_run)
    _add_run_options(parser)
    parser.add_argument("-m", action="store_true", dest="is_module", help="run a module, as python -m does")
    # REMAINDER, so that -n or --help behind the program's name are the program's.
    parser.add_argument("program", nargs=REMAINDER, metavar="PROGRAM", help="with its arguments behind it")


def _run(options: Namespace) -> int:
    program = options.program[1:] if options.program[:1] == ["--"] else options.program
    if not program:
        raise UsageError("which program? mpirdd run [-n RANKS] job.py [args ...]")
    return _launch(options, ["-m", *program] if options.is_module else program)


def _launch(options: Namespace, program: list[str], *, interactive: bool = False) -> int:
    """Run a program under the options of ``_add_run_options``."""
    from mpirdd.launch.launchers import mpi_words
    from mpirdd.launch.mpirun import LaunchRequest, run

    for remark in spark_options.remarks(options):
        print(f"mpirdd: {remark}", file=sys.stderr)
    request = LaunchRequest(
        program=program,
        ranks=spark_options.ranks_of(spark_options.conf_of(options), options.ranks),
        mpirun=options.mpirun,
        mpi_words=mpi_words(options.mpi_args, os.environ),
        recover=options.recover,
        restarts=options.restarts,
        stage=options.stage_environment,
        settings=_settings(options),
        interactive=interactive,
    )
    events = {**os.environ, **(request.settings or {})}.get("MPIRDD_EVENTS", "")
    if options.report is None and not options.ui and not is_url(events):
        return run(request)
    from mpirdd.launch.observed_run import run_observed

    return run_observed(request, report=options.report, ui=options.ui)


def _add_run_options(parser: ArgumentParser, *, of_program: bool = True) -> None:
    """Give a parser the options of ``run``. ``of_program``: also those that only make sense for a program in Python."""
    _add_launch_options(parser)
    parser.set_defaults(pyspark=None)
    if of_program:
        parser.add_argument(
            "--pyspark", action="store_true", default=None, help=f"run an unchanged PySpark program: see {page('API.md')}"
        )
    parser.add_argument(
        "--mode", choices=["memory", "mapreduce"], help="mapreduce: through files, as Hadoop would, for comparison (memory)"
    )
    parser.add_argument(
        "--parallelism", metavar="N", help="default number of partitions (one for each executor)"
    )
    parser.add_argument("--log-level", metavar="LEVEL", help="DEBUG, INFO, WARNING (default) or ERROR")
    parser.add_argument(
        "--progress", action=BooleanOptionalAction, help="a progress bar (default: on a terminal; elsewhere a line every minute, "
        "which --no-progress turns off, too)",
    )
    parser.add_argument(
        "--no-ft", action="store_false", dest="recover", help="let the loss of a rank end the run, as MPI does by itself"
    )
    parser.add_argument(
        "--exchange", choices=["auto", "collective", "pairwise"], help="collective: shuffle by MPI's own all-to-all, with which "
        "no run survives a loss; pairwise: by messages (auto: collective where the MPI survives no loss anyway)",
    )
    parser.add_argument(
        "--report", metavar="FILE.html", help="write a report of the run at its end, also after a failure, here or at a URL; the "
        "event log goes beside it, if --events names no other place",
    )
    parser.add_argument(
        "--ui", action="store_true", help="serve the report while the run goes on, on this host only; prints the address"
    )
    parser.add_argument(
        "--summary", action=BooleanOptionalAction, help="a line for each stage, and hints, on stderr at the end (default: on "
        "a terminal)",
    )
    parser.add_argument(
        "--events", metavar="FILE|DIR", help="write the event log to this file, or to a new one in this folder; to a URL when "
        "the run ends"
    )
    parser.add_argument("--hot-keys", metavar="N", help="name the N commonest keys of each shuffle in event log and report")
    parser.add_argument(
        "--profile", action="store_true", default=None, help="profile the Python code of all tasks"
    )
    parser.add_argument(
        "--restarts", type=int, default=0, metavar="N",
        help="start the program again, up to N times, on the hosts that are left when a lost host ends the run (0)",
    )
    parser.add_argument(
        "--spares", metavar="N",
        help="start N more ranks, which wait at no cost and take the place of executors that are lost (0)",
    )
    parser.add_argument(
        "--stage-environment", action="store_true",
        help=f"read Python and its packages once a host, from a slow shared file system: see {page('CLUSTER.md')}",
    )
    parser.add_argument("--task-retries", metavar="N", help="try a failed task again, up to N times (default: 0)")
    parser.add_argument(
        "--speculation", action="store_true", default=None,
        help="run tasks that take far longer than their siblings a second time elsewhere",
    )
    parser.add_argument(
        "--executor-timeout", metavar="SECONDS", help="give up an executor that does not answer for so long (default: 25)"
    )
    parser.add_argument(
        "--memory", metavar="SIZE", help="memory budget of a rank, as 512m or 2g (default: from this host's memory)"
    )
    parser.add_argument(
        "--scratch", metavar="DIR", help="folder for what does not fit in memory (SLURM_TMPDIR, TMPDIR, /tmp)"
    )
    parser.add_argument(
        "--max-result", metavar="SIZE", help="most that a job may bring to the driver (1g; 0: no limit)"
    )
    spark_options.add_options(parser)


def _settings(options: Namespace) -> dict[str, str]:
    """The variables that bring the options of ``run`` to all ranks.

    Raises:
        UsageError: an option's value makes no sense; the message names the option as the user has typed it.
    """
    from mpirdd.protocol.settings import parse_setting

    flags = {"PROGRESS": options.progress, "SUMMARY": options.summary, "PROFILE": options.profile,
             "PYSPARK": options.pyspark, "SPECULATION": options.speculation}
    given = {name.upper(): parse_setting(name, text, option) for option, name, text in (
        ("--mode", "mode", options.mode), ("--parallelism", "parallelism", options.parallelism),
        ("--log-level", "log_level", options.log_level), ("--spares", "spares", options.spares),
        ("--exchange", "exchange", options.exchange), ("--task-retries", "task_retries", options.task_retries),
        ("--executor-timeout", "executor_timeout_s", options.executor_timeout), ("--memory", "memory", options.memory),
        ("--events", "events", options.events), ("--hot-keys", "hot_keys", options.hot_keys),
        ("--scratch", "scratch", options.scratch), ("--max-result", "max_result_bytes", options.max_result),
    ) if text is not None}
    if options.progress is False:
        given["PROGRESS_EVERY_S"] = 0
    chosen = {f"MPIRDD_{key}": _as_text(value) for key, value in {**given, **flags}.items() if value is not None}
    return chosen | spark_options.variable(spark_options.conf_of(options))


def _add_mapreduce(commands: _Commands) -> None:
    parser = commands.add_parser(
        "mapreduce",
        help="run commands as mapper and reducer, as Hadoop Streaming does",
        description="Run commands as mapper and reducer over lines, as Hadoop Streaming does. Each is started once a partition, "
        "gets lines on its standard input, and writes lines: a key, a tab, a value; a line without a tab is all key. The "
        "reducer's (and combiner's) lines are sorted by key, as bytes. Commands are split into words as a shell does, but run "
        "without one: write pipes as \"sh -c 'cat | grep x'\". Input is bytes of any encoding; \\r\\n and a lone \\r end a "
        "line, too.",
        allow_abbrev=False,
    )
    parser.set_defaults(carry_out=_mapreduce)
    parser.add_argument(
        "--input", action="append", required=True, metavar="PATH", help="file, folder, glob, comma list, or URL; may be repeated"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder or URL to make, with a part file a reducer")
    parser.add_argument("--overwrite", action="store_true", help="replace an older output")
    parser.add_argument("--mapper", required=True, metavar="CMD")
    parser.add_argument("--reducer", metavar="CMD", help="needed unless --num-reducers is 0")
    parser.add_argument("--combiner", metavar="CMD", help="runs over each mapper's sorted output")
    parser.add_argument(
        "--num-reducers", type=int, metavar="N", help="(one for each executor); 0: no shuffle, the mappers' lines are the output"
    )
    _add_run_options(parser, of_program=False)


def _mapreduce(options: Namespace) -> int:
    words = ["--input", ",".join(options.input), "--output", options.output, "--mapper", options.mapper]
    for name in ("reducer", "combiner", "num_reducers"):
        value = getattr(options, name)
        words += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
    words += ["--overwrite"] if options.overwrite else []
    if options.num_reducers is not None and options.num_reducers < 0:
        raise UsageError(f"--num-reducers must be 0 or more, not {options.num_reducers}")
    if options.reducer is None and options.num_reducers != 0:
        raise UsageError("which reducer? --reducer CMD, or --num-reducers 0 for a job without one")
    return _launch(options, ["-m", "mpirdd.launch.streaming", *words])


def _add_submit(commands: _Commands) -> None:
    # Without prefix characters no word is an option, so all words come through: most options are sbatch's.
    parser = commands.add_parser("submit", help="run a program as a Slurm job", add_help=False, prefix_chars="\0")
    parser.set_defaults(carry_out=_submit)
    parser.add_argument("words", nargs=REMAINDER)


def _submit(options: Namespace) -> int:
    from mpirdd.launch.slurm import submit

    of_run = ArgumentParser("mpirdd submit", add_help=False, allow_abbrev=False, exit_on_error=False)
    _add_run_options(of_run)
    return submit.submit(options.words, of_run, _settings, lambda word: nearest(word, of_run, submit.own_parser(), cutoff=0.85))


def _add_summary(commands: _Commands) -> None:
    from mpirdd.launch import summary_command

    summary_command.add(commands)


def _add_doctor(commands: _Commands) -> None:
    parser = commands.add_parser(
        "doctor",
        help="find out what keeps MPI from working here",
        description="Look at MPI, launcher, cores, memory and Slurm, start a few ranks, and say what to fix. "
        "Exit code 1 if something keeps programs from running.",
        allow_abbrev=False,
    )
    parser.set_defaults(carry_out=_doctor)
    _add_launch_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _doctor(options: Namespace) -> int:
    from mpirdd.launch import doctor
    from mpirdd.launch.launchers import mpi_words

    return doctor.main(
        ranks=options.ranks,
        mpirun=options.mpirun,
        mpi_words=mpi_words(options.mpi_args, os.environ),
        as_json=options.json,
    )


def _add_examples(commands: _Commands) -> None:
    parser = commands.add_parser(
        "examples",
        help="list or copy the programs that come with mpirdd",
        description="List the programs that come with mpirdd; or copy them into a folder, with batch scripts for Slurm.",
        allow_abbrev=False,
    )
    parser.set_defaults(carry_out=_examples)
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="where to copy them to; is made if need be")


def _examples(options: Namespace) -> int:
    from mpirdd.launch import examples

    print(examples.shown() if options.folder is None else examples.copy(options.folder))
    return 0


def _add_launch_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "-n",
        "--ranks",
        type=int,
        metavar="RANKS",
        help="ranks to start (default: Slurm's tasks, else cores + 1)",
    )
    parser.add_argument(
        "--mpirun", metavar="PATH", help="the mpirun to use (default: beside this Python, then PATH)"
    )
    parser.add_argument(
        "--mpi-args", metavar='"..."', default="",
        help='more words for mpirun: --mpi-args="--host a,b"; those in $MPIRDD_MPI_ARGS come before them',
    )


def _as_text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
