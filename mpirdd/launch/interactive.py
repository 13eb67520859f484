"""The commands ``shell``, ``kernel`` and ``stack``: their options, and the functions that carry them out.

They share the options of ``mpirdd run``, which ``cli`` gives them.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from mpirdd.launch import spark_options
from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.package import page

if TYPE_CHECKING:
    from argparse import _SubParsersAction  # the type has no public name

    Commands = _SubParsersAction[ArgumentParser]


class OfRun(NamedTuple):
    """The options of ``mpirdd run``."""

    add: Callable[[ArgumentParser], None]
    launch: Callable[..., int]
    settings: Callable[[Namespace], dict[str, str]]


def add_commands(commands: Commands, of_run: OfRun) -> None:
    """Add the commands to the command line."""
    _add_shell(commands, of_run)
    _add_kernel(commands, of_run)
    _add_stack(commands)


def _add_shell(commands: Commands, of_run: OfRun) -> None:
    parser = commands.add_parser(
        "shell",
        help="Python with a Context ready as sc, on several ranks",
        description="A prompt of Python with a Context ready as sc: IPython's where it is installed, else Python's own. Ctrl-C "
        f"interrupts a job. Where standard input is no terminal, the program there is run. See {page('NOTEBOOKS.md')}",
        allow_abbrev=False,
    )
    parser.set_defaults(carry_out=partial(_shell, of_run))
    of_run.add(parser)
    parser.add_argument("--plain", action="store_true", help="Python's own prompt, also where IPython is installed")


def _shell(of_run: OfRun, options: Namespace) -> int:
    return of_run.launch(options, ["-m", "mpirdd.launch.shell", *(["--plain"] if options.plain else [])], interactive=True)


def _add_kernel(commands: Commands, of_run: OfRun) -> None:
    parser = commands.add_parser(
        "kernel",
        help="notebooks on several ranks: install a kernel for Jupyter",
        description=f"Install a kernel for Jupyter, whose notebooks have a Context ready as sc. See {page('NOTEBOOKS.md')}",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    install = actions.add_parser(
        "install", help="make Jupyter know a kernel", allow_abbrev=False, conflict_handler="resolve",  # both have --name
        description="Make Jupyter know a kernel that starts ranks. `jupyter kernelspec remove NAME` takes it away again.")
    install.set_defaults(carry_out=partial(_kernel_install, of_run))
    of_run.add(install)
    install.add_argument(
        "--name", default="mpirdd", dest="kernel", help="what Jupyter calls it in commands and folders (default: mpirdd)")
    install.set_defaults(name=None)
    install.add_argument("--display-name", metavar="TEXT", help="what notebooks show (default: the name and the ranks)")
    install.add_argument("--prefix", metavar="DIR", help="install below DIR/share/jupyter (default: for this user)")
    install.add_argument(
        "--sys-prefix", action="store_const", const=sys.prefix, dest="prefix", help="install into this Python's environment")
    start = actions.add_parser("start", help="be a kernel; Jupyter calls this", allow_abbrev=False)
    start.set_defaults(carry_out=partial(_kernel_start, of_run))
    of_run.add(start)
    start.add_argument("-f", required=True, dest="connection_file", metavar="FILE", help="Jupyter's connection file")


def _kernel_install(of_run: OfRun, options: Namespace) -> int:
    from mpirdd.launch import kernel

    if options.report is not None or options.ui:
        raise UsageError("a kernel has neither --report nor --ui: give --events DIR/, for `mpirdd top` and `mpirdd report`")
    if options.restarts:
        raise UsageError("a kernel has no --restarts: started again, it would have lost its notebook's variables")
    for remark in spark_options.remarks(options):
        print(f"mpirdd: {remark}", file=sys.stderr)
    count = spark_options.ranks_of(spark_options.conf_of(options), options.ranks)
    words = [] if count is None else ["-n", str(count)]
    words += [] if options.mpirun is None else ["--mpirun", options.mpirun]
    words += [f"--mpi-args={options.mpi_args}"] if options.mpi_args else []
    words += [] if options.recover else ["--no-ft"]
    words += ["--stage-environment"] if options.stage_environment else []
    ranks = f"{count} ranks" if count else "all cores"
    folder = kernel.install(
        options.kernel, options.display_name or f"{options.kernel} ({ranks})", words, of_run.settings(options),
        prefix=options.prefix)
    print(f"installed the kernel {options.kernel} in {folder}")
    return 0


def _kernel_start(of_run: OfRun, options: Namespace) -> int:
    from mpirdd.launch import kernel

    kernel.end_with_parent()
    if options.progress is None and "MPIRDD_PROGRESS" not in os.environ:
        options.progress = True  # stderr is no terminal here, but the notebook draws the bar
    return of_run.launch(options, ["-m", "mpirdd.launch.kernel", "-f", options.connection_file], interactive=True)


def _add_stack(commands: Commands) -> None:
    parser = commands.add_parser(
        "stack",
        help="print the Python stacks of all ranks of a run",
        description="Print the Python stacks of all ranks of a run: what each is doing now. A process id gives the ranks on this "
        "host. With the run's event log, mpirdd also asks the run for the stacks of ranks on other hosts. The run goes on.",
        allow_abbrev=False,
    )
    parser.set_defaults(carry_out=_stack)
    parser.add_argument(
        "run", metavar="PID|EVENTS", help="process id of `mpirdd run`, of mpirun or of a rank; or the event log of the run")


def _stack(options: Namespace) -> int:
    from mpirdd.launch import stacks

    print(stacks.of_run(options.run))
    return 0
