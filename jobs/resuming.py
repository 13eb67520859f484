"""``--resume DIR`` for the iterative jobs: saves each finished iteration there, and resumes from
the last one.

The state belongs to one input: files of the same names, sizes and modification times. So a job
refuses files that were written anew, even with the same content: it does not compare contents.
"""

from __future__ import annotations

import argparse
import time
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from mpirdd import Context

if TYPE_CHECKING:
    from mpirdd.api.resumable import Resumable

HOW_FAR = ("iterations", "tolerance", "resume", "top")
"""Options that a resumed run may change, since the computation stays the same."""


def add_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--resume", metavar="DIR", help="save each iteration in DIR, and go on from what is there")


def resumed(sc: Context, options: argparse.Namespace) -> Resumable:
    """The state in the folder of ``--resume``; without the option, one that keeps nothing."""
    about = {name: value for name, value in vars(options).items() if name not in HOW_FAR}
    if options.resume and options.path:
        about["path"], about["data"] = described(options.path)
    return sc.resumable(options.resume, about=about)


def described(path: str) -> tuple[str, str]:
    """An input's real path, and facts that change with its data."""
    places = [Path(place).resolve() for part in path.split(",") for place in sorted(glob(part)) or [part]]
    files = [file for place in places for file in (place.iterdir() if place.is_dir() else [place]) if file.is_file()]
    states = [file.stat() for file in files]
    last = max((state.st_mtime_ns for state in states), default=0)
    changed = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(last // 10**9))}.{last % 10**9:09}"
    size = sum(state.st_size for state in states)
    return ",".join(map(str, places)), f"{len(files)} files of {size:,} bytes, changed {changed}"
