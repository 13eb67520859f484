"""``--resume DIR`` for the iterative jobs: save each finished iteration there, and go on from the last one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mpirdd import Context

if TYPE_CHECKING:
    from mpirdd.user.resumable import Resumable

HOW_FAR = ("iterations", "tolerance", "resume", "top")
"""Options that a resumed run may change: they make it no other computation."""


def add_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--resume", metavar="DIR", help="save each iteration in DIR, and go on from what is there")


def resumed(sc: Context, options: argparse.Namespace) -> Resumable:
    """The state in ``--resume``; without that, one that keeps nothing."""
    about = {name: value for name, value in vars(options).items() if name not in HOW_FAR}
    return sc.resumable(options.resume, about=about)
