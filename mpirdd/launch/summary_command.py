"""``mpirdd summary EVENTS``: the summary that a run prints at its end, from its event log, at any time."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from mpirdd.launch.observing import add_log, driver_lives, log_of

if TYPE_CHECKING:
    from argparse import _SubParsersAction  # the type has no public name

    from mpirdd.observe.event_files import Log


def add(commands: _SubParsersAction[ArgumentParser]) -> None:
    parser = commands.add_parser(
        "summary",
        help="say what a run did, from its event log",
        description="Print a line for each stage of a run, what dominated, and hints, from the event log that "
        "`mpirdd run --events` writes. Works while the run goes on, and after a failure.",
        allow_abbrev=False,
    )
    parser.set_defaults(carry_out=_summary)
    add_log(parser)
    parser.add_argument("--all", action="store_true", help="all stages, however many")


def _summary(options: Namespace) -> int:
    from mpirdd.observe.run_state import RunState
    from mpirdd.observe.summary import summary, terminal_width

    def made(log: Log) -> str:
        state = RunState()
        log.give(state.take)
        return summary(
            state, most=None if options.all else 40, width=terminal_width(sys.stdout.isatty()), gone=not driver_lives(state))

    log = log_of(options.events, options.run)
    text = log.made(made)
    for note in log.notes:
        print(f"mpirdd: {note}", file=sys.stderr)
    print(text, end="")
    return 0
