"""Checkpoints and saves that fail: the next try works, and nothing of the failed one stays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from beside import Flag

from mpirdd import Context
from mpirdd.protocol.errors import TaskError, UsageError


class Stubborn:
    """Cannot be pickled while its flag is up."""

    def __init__(self, flag: Flag) -> None:
        self.flag = flag

    def __reduce__(self) -> Any:
        if self.flag:
            raise OSError("not now")
        return int, (7,)


def files_below(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names]


def test_a_checkpoint_that_failed_is_tried_again_and_its_parts_do_not_stay(sc: Context, tmp_path: Path) -> None:
    """It once was a FileExistsError at every later action."""
    flag = Flag(str(tmp_path / "flag"))
    sc.setCheckpointDir(str(tmp_path / "checkpoints"))
    rdd = sc.parallelize(range(6), 3).map(lambda i: i if i < 4 else Stubborn(flag))
    rdd.checkpoint()
    for _ in range(2):
        with pytest.raises(TaskError):
            rdd.count()
        assert files_below(tmp_path / "checkpoints") == []
        assert not rdd.isCheckpointed()
    flag.lower()
    assert rdd.count() == 6
    assert rdd.isCheckpointed()
    assert rdd.collect() == [0, 1, 2, 3, 7, 7]
    assert sorted(name.rpartition("-")[0] for name in files_below(tmp_path / "checkpoints")) == [
        "", "part-00000", "part-00001", "part-00002"]


def test_a_save_that_failed_leaves_nothing_and_the_next_one_works(sc: Context, tmp_path: Path) -> None:
    flag = Flag(str(tmp_path / "flag"))
    folder = tmp_path / "state"
    rdd = sc.parallelize(range(6), 3).map(lambda i: i if i < 4 else Stubborn(flag))
    with sc.resumable(str(folder)) as state:
        state.save(1, x=1)
        before = sorted(files_below(folder))
        for _ in range(2):
            with pytest.raises(TaskError):
                state.save(2, x=2, rdd=rdd)
            assert sorted(files_below(folder)) == before
        flag.lower()
        assert state.save(2, x=2, rdd=rdd)
    with sc.resumable(str(folder)) as state:
        assert (state.iteration, state.get("x")) == (2, 2)
        assert state.get("rdd").collect() == [0, 1, 2, 3, 7, 7]


def test_folders_that_others_may_write_to_are_refused(sc: Context, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(UsageError, match="everybody may write to it"):
        sc.setCheckpointDir(str(tmp_path))
    with pytest.raises(UsageError, match="everybody may write to it"), sc.resumable(str(tmp_path)):
        pass
    with pytest.raises(UsageError, match="everybody may replace it"):
        sc.setCheckpointDir(str(tmp_path / "private"))
    tmp_path.chmod(0o1777)
    sc.setCheckpointDir(str(tmp_path / "private"))
    assert sc.parallelize(range(3)).count() == 3
