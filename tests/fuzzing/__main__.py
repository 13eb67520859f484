"""See the package."""

from __future__ import annotations

import sys

from fuzzing.programs import random_program, report, right, run, text_of
from mpirdd import Context, StorageLevel

for seed in map(int, sys.argv[1:]):
    program = random_program(seed)
    text = text_of(program)
    print(text)
    with Context() as sc:
        found = run(text, sc, StorageLevel)
        print(f"must give {right(text, StorageLevel)}\nand gives {found}")
        if found != right(text, StorageLevel):
            print(report(seed, program, lambda text: run(text, sc, StorageLevel), StorageLevel))
