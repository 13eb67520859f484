"""Random programs (``fuzzing``) give what they give on plain lists, while executors die at random.

One process holds the whole engine, as in test_chaos.py. Programs without local checkpoints: what those held is lost with
its executor. MPIRDD_FUZZ_SEED=n makes others.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from chaos import Cluster
from fuzzing.programs import Outcome, random_program, report, right, run, text_of

from mpirdd import StorageLevel

FIRST = int(os.environ.get("MPIRDD_FUZZ_SEED", "0")) * 1_000_000 + 600_000
BATCHES, BATCH = 6, 50


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_programs_are_right_whoever_dies(batch: int, tmp_path: Path) -> None:
    wrong, ran, killed = [], 0, 0
    for seed in range(FIRST + batch * BATCH, FIRST + (batch + 1) * BATCH):

        def run_text(text: str, seed: int = seed) -> list[Outcome]:
            nonlocal killed
            random = Random(seed)
            with Cluster(random.randint(3, 5), seed, kills=random.randint(1, 2), every=random.randint(5, 60)) as cluster:
                cluster.sc.setCheckpointDir(str(tmp_path))
                outcomes = run(text, cluster.sc, StorageLevel)
                killed += len(cluster.killed)
                return outcomes

        program = random_program(seed)
        text = text_of(program)
        if "localCheckpoint" in text:
            continue
        ran += 1
        if run_text(text) != right(text, StorageLevel):
            wrong.append(report(seed, program, run_text, StorageLevel))
    assert not wrong, "\n\n".join(wrong)
    assert killed > ran / 4
