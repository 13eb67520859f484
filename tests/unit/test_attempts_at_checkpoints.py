"""Two attempts at a partition of a checkpoint, whose records differ: the one that the driver counts is there, whole."""

from __future__ import annotations

import os
from pathlib import Path

from mpirdd.formats import checkpoint, state
from mpirdd.formats.filesystems import NO_OPTIONS


def test_a_late_attempt_does_not_replace_the_one_that_counts(tmp_path: Path) -> None:
    folder = str(tmp_path / "checkpoint")
    with checkpoint.new_checkpoint(folder, NO_OPTIONS) as unfinished:
        counted = checkpoint.write_part(unfinished, 0, ["of the first"], options=NO_OPTIONS)
        checkpoint.write_part(unfinished, 0, ["of the second, which was given up"], options=NO_OPTIONS)
        checkpoint.commit(unfinished, [counted], NO_OPTIONS)
    parts = checkpoint.open_checkpoint(folder, NO_OPTIONS)
    assert [list(checkpoint.read_part(part)) for part in parts] == [["of the first"]]
    assert len(os.listdir(folder)) == 2, "the file of the other attempt takes up space"


def test_nor_does_it_in_resumable_state(tmp_path: Path) -> None:
    with state.new_generation(str(tmp_path), 1, NO_OPTIONS) as unfinished:
        counted = checkpoint.write_part(unfinished, 0, [1], options=NO_OPTIONS, name="ranks.")
        checkpoint.write_part(unfinished, 0, [2, 3], options=NO_OPTIONS, name="ranks.")
        state.commit_generation(
            unfinished, NO_OPTIONS, iteration=1, about={}, values={"ranks": [counted]}, partitioned={"ranks": None})
    found = state.open_generation(str(tmp_path), 1, NO_OPTIONS)
    assert state.damages(found.parts()) == []
    assert list(checkpoint.read_part(found.parts()[0])) == [1]
    assert len(os.listdir(found.folder)) == 2
