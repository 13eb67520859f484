"""``python -m mpirdd job.py args``, on each rank of ``mpirun`` or ``srun``.

``python -m mpirdd run ...`` and the like also work, for when ``mpirdd`` is not on PATH.
"""

from __future__ import annotations

import os
import sys


def _main(words: list[str]) -> int:
    if words[:1] == ["--pyspark"]:
        from mpirdd.api.pyspark import VARIABLE

        os.environ[VARIABLE] = "1"
        words = words[1:]
    if words and _is_program(words[0]):
        if words[0] == "-m" and len(words) == 1:
            print("mpirdd: -m needs the name of a module", file=sys.stderr)
            return 2
        from mpirdd.launch.program import main

        return main(words)
    from mpirdd.launch import cli

    return cli.main(words)


def _is_program(word: str) -> bool:
    """Not a command of the command line. A folder named `run` is no program, unless Python could run it."""
    files = word, os.path.join(word, "__main__.py")
    return word == "-m" or word.endswith(".py") or any(map(os.path.isfile, files))


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
