"""The ``mpirdd`` command: words in, a call of the module that does the work, an exit code out.

A command is a function that adds its options and a function that carries it out; the module behind it is
imported only when it is called for. A mistake of the user gives one line and exit code 2; trouble with the
cluster gives 1.
"""

from __future__ import annotations

import os
import sys
from argparse import REMAINDER, ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mpirdd import __version__
from mpirdd.words.errors import MpirddError, UsageError

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
    for add in (_add_run, _add_mapreduce, _add_submit, _add_doctor):  # a further command goes here
        add(commands)
    options = parser.parse_args(sys.argv[1:] if argv is None else argv)
    try:
        code: int = options.carry_out(options)
    except MpirddError as error:
        print(f"mpirdd: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return code


def _add_run(commands: _Commands) -> None:
    parser = commands.add_parser(
        "run",
        help="run a program on several ranks",
        usage="mpirdd run [-n RANKS] [options] [-m] PROGRAM [args ...]",
        description="Run a program: rank 0 is its driver, the other ranks are executors. "
        "All that follows the program's name is the program's own.",
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


def _launch(options: Namespace, program: list[str]) -> int:
    """Run a program under the options of ``_add_run_options``."""
    from mpirdd.edge import launch

    return launch.run(
        launch.Order(
            program=program,
            ranks=options.ranks,
            mpirun=options.mpirun,
            mpi_words=launch.mpi_words(options.mpi_args, os.environ),
            recover=options.recover,
            settings=_settings(options),
        )
    )


def _add_run_options(parser: ArgumentParser, *, of_program: bool = True) -> None:
    """``of_program``: with those that only make sense for a program in Python."""
    _add_launch_options(parser)
    parser.set_defaults(pyspark=None)
    if of_program:
        parser.add_argument(
            "--pyspark", action="store_true", default=None, help="run an unchanged PySpark program: see docs/API.md"
        )
    parser.add_argument(
        "--mode", choices=["memory", "mapreduce"], help="mapreduce: through files, as Hadoop would, for comparison (memory)"
    )
    parser.add_argument(
        "--parallelism", metavar="N", help="default number of partitions (one for each executor)"
    )
    parser.add_argument("--log-level", metavar="LEVEL", help="DEBUG, INFO, WARNING (default) or ERROR")
    parser.add_argument(
        "--progress", action=BooleanOptionalAction, help="a progress bar (default: on a terminal)"
    )
    parser.add_argument(
        "--no-ft", action="store_false", dest="recover", help="let the loss of a rank end the run, as MPI does by itself"
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


def _settings(options: Namespace) -> dict[str, str]:
    """The variables that say to all ranks what the options of ``run`` say.

    Raises:
        UsageError: an option's value makes no sense; it is named as the user has typed it.
    """
    from mpirdd.words.settings import parse_setting

    flags = {"PROGRESS": options.progress, "PYSPARK": options.pyspark, "SPECULATION": options.speculation}
    given = {name.upper(): parse_setting(name, text, option) for option, name, text in (
        ("--mode", "mode", options.mode), ("--parallelism", "parallelism", options.parallelism),
        ("--log-level", "log_level", options.log_level), ("--task-retries", "task_retries", options.task_retries),
        ("--executor-timeout", "executor_timeout_s", options.executor_timeout), ("--memory", "memory", options.memory),
        ("--scratch", "scratch", options.scratch), ("--max-result", "max_result_bytes", options.max_result),
    ) if text is not None}
    return {f"MPIRDD_{key}": _as_text(value) for key, value in {**given, **flags}.items() if value is not None}


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
        "--input", action="append", required=True, metavar="PATH", help="file, folder, glob, or comma list; may be repeated"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to make, with a part file a reducer")
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
    if options.reducer is None and options.num_reducers != 0:
        raise UsageError("which reducer? --reducer CMD, or --num-reducers 0 for a job without one")
    return _launch(options, ["-m", "mpirdd.edge.streaming", *words])


def _add_submit(commands: _Commands) -> None:
    # Without prefix characters nothing is an option, so that all words come through: most options are sbatch's.
    parser = commands.add_parser("submit", help="run a program as a Slurm job", add_help=False, prefix_chars="\0")
    parser.set_defaults(carry_out=_submit)
    parser.add_argument("words", nargs=REMAINDER)


def _submit(options: Namespace) -> int:
    from mpirdd.edge import submit

    of_run = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    _add_run_options(of_run)
    return submit.submit(options.words, of_run, _settings)


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
    from mpirdd.edge import doctor
    from mpirdd.edge.launch import mpi_words

    return doctor.main(
        ranks=options.ranks,
        mpirun=options.mpirun,
        mpi_words=mpi_words(options.mpi_args, os.environ),
        as_json=options.json,
    )


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
