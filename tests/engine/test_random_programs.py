"""Random programs give what the same programs give on plain lists.

By default the same programs run every time, other ones on each number of ranks and in each mode. MPIRDD_FUZZ_SEED=n
makes others of them, MPIRDD_FUZZ_PROGRAMS=n so many. A failure prints the shortest program that still differs, and
``python -m fuzzing SEED``, in tests/, runs one again.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fuzzing.programs import random_program, report, right, run, text_of

from mpirdd import Context, StorageLevel

PROGRAMS = int(os.environ.get("MPIRDD_FUZZ_PROGRAMS", "400"))
FIRST = int(os.environ.get("MPIRDD_FUZZ_SEED", "0"))
MOST_REPORTS = 3
pytestmark = pytest.mark.timeout(max(120, PROGRAMS))


def test_random_programs_give_what_lists_give(sc: Context, ranks: int, tmp_path: Path) -> None:
    sc.setCheckpointDir(str(tmp_path))
    first = FIRST * 1_000_000 + ranks * 100_000 + (50_000 if os.environ.get("MPIRDD_MODE") == "mapreduce" else 0)
    wrong = []
    for seed in range(first, first + PROGRAMS):
        program = random_program(seed)
        text = text_of(program)
        if run(text, sc, StorageLevel) != right(text, StorageLevel):
            wrong.append(report(seed, program, lambda text: run(text, sc, StorageLevel), StorageLevel))
            if len(wrong) == MOST_REPORTS:
                break
    assert not wrong, "\n\n".join(wrong)
