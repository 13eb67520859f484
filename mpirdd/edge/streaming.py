"""The program behind ``mpirdd mapreduce``: mapper and reducer are commands over standard input and output.

The command line has been looked at by ``cli``; this runs on rank 0 of the ranks that it started.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from mpirdd.edge.session import Context
from mpirdd.user.mapreduce import stream
from mpirdd.words.errors import MpirddError, UsageError


def main(argv: Sequence[str]) -> int:
    """Run the job. Returns the exit code: 1 for one that failed, 2 for one that cannot be run so."""
    parser = ArgumentParser(allow_abbrev=False)
    for name in ("--input", "--output", "--mapper", "--reducer", "--combiner"):
        parser.add_argument(name)
    parser.add_argument("--num-reducers", type=int)
    options = parser.parse_args(argv)
    try:
        with Context("mapreduce") as sc:
            lines = stream(sc, options.input, options.mapper, options.reducer, options.combiner,
                           num_reducers=options.num_reducers)
            lines.saveAsTextFile(options.output)
    except MpirddError as error:
        print(f"mpirdd: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
