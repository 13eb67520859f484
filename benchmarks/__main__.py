"""``python -m benchmarks [--quick] [--output FILE] [names...]``: run the set, or some of it by name.

One JSON line a benchmark goes to stdout, or is appended to FILE, as soon as the benchmark is done. Options
that are not known here (``--ranks=5``) go to every benchmark, so name those that take them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import sys
from collections.abc import Sequence

from benchmarks import NAMES


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(NAMES)}; all by default")
    parser.add_argument("--output", help="append the JSON lines to this file instead of printing them")
    options, passed_on = parser.parse_known_args(argv)
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    codes = [run(name, passed_on, options.output) for name in options.names or NAMES]
    return max(codes)


def run(name: str, arguments: Sequence[str], output: str | None) -> int:
    """Run one benchmark and put its line where it belongs; its exit code."""
    line = io.StringIO()
    with contextlib.redirect_stdout(line):
        code: int = importlib.import_module(f"benchmarks.{name}").main(list(arguments))
    if output is None:
        sys.stdout.write(line.getvalue())
        sys.stdout.flush()
    else:
        with open(output, "a", encoding="utf-8") as file:
            file.write(line.getvalue())
    return code


if __name__ == "__main__":
    raise SystemExit(main())
