"""``python -m benchmarks [--quick] [--output FILE] [names...]``: run the set, or some of it by
name. ``python -m benchmarks report [FILES...] [--output PAGE]``: draw the results. Each benchmark
prints one JSON line on stdout, or appends it to FILE, as soon as it is done. Options unknown here
(``--ranks=5``) go to every benchmark, so name those that take them.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import MINUTES, NAMES


def main(argv: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments[:1] == ["report"]:
        from benchmarks.report import page  # which needs nothing of what runs benchmarks

        return page.main(arguments[1:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0], epilog=listing(),
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help="see below; all by default")
    parser.add_argument("--quick", action="store_true", help="small sizes, for a first look")
    parser.add_argument("--output", help="append the JSON lines to this file instead of printing them")
    options, passed_on = parser.parse_known_args(arguments)
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if options.quick:
        passed_on.append("--quick")
    codes = [run(name, passed_on, options.output) for name in options.names or NAMES]
    return max(codes)


def listing() -> str:
    """Each benchmark's first paragraph, and its minutes."""
    lines = [f"  {name:11} {about(name)}\n{'':14}about {minutes} min" for name, minutes in MINUTES.items()]
    head = "benchmarks, in the order in which they run (--quick: a quarter of a minute to two minutes each, hadoop five):"
    return "\n".join([head, *lines, "",
                      "  report      draw what they found: python -m benchmarks report --help"])


def about(name: str) -> str:
    """The first paragraph of a module's docstring, without importing it."""
    source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n\n")[0].replace("\n", "\n" + 14 * " ")


def run(name: str, arguments: Sequence[str], output: str | None) -> int:
    """Run one benchmark and print or append its line; return its exit code."""
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
