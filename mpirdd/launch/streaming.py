"""The program behind ``mpirdd mapreduce``: mapper and reducer are commands over standard input and output.

``cli`` has checked the command line and started the ranks. This runs on rank 0.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from mpirdd.api.mapreduce import stream
from mpirdd.launch.session import Context
from mpirdd.protocol.errors import MpirddError, UsageError


def main(argv: Sequence[str]) -> int:
    """Run the job. Returns the exit code: 1 if it failed, 2 if the options make no sense."""
    parser = ArgumentParser(allow_abbrev=False)
    for name in ("--input", "--output", "--mapper", "--reducer", "--combiner"):
        parser.add_argument(name)
    parser.add_argument("--num-reducers", type=int)
    parser.add_argument("--overwrite", action="store_true")
    options = parser.parse_args(argv)
    try:
        with Context("mapreduce") as sc:
            lines = stream(sc, options.input, options.mapper, options.reducer, options.combiner,
                           num_reducers=options.num_reducers)
            lines.saveAsTextFile(options.output, overwrite=options.overwrite)
    except MpirddError as error:
        print(f"mpirdd: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
