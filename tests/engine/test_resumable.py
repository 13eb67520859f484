"""Resumable state: saved values come back, damaged ones never do."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpirdd import Context
from mpirdd.protocol.errors import InputError, InvalidType, UsageError


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def save(sc: Context, folder: Path, iteration: int, **values: Any) -> None:
    with sc.resumable(str(folder)) as state:
        state.save(iteration, **values)


def test_values_come_back_as_they_were(sc: Context, tmp_path: Path) -> None:
    array = np.linspace(0, 1, 10_000).reshape(100, 100)
    save(sc, tmp_path, 4, array=array, record={"a": (1, [2, 3])}, nothing=None)
    with sc.resumable(str(tmp_path)) as state:
        loaded = state.get("array")
        assert state.iteration == 4
        assert loaded.tobytes() == array.tobytes()
        assert loaded.flags.writeable
        assert state.get("record") == {"a": (1, [2, 3])}
        assert state.get("nothing", 1) is None
        assert "other" not in state
        assert state.get("other", 7) == 7


def test_a_new_folder_starts_from_the_beginning(sc: Context, tmp_path: Path) -> None:
    with sc.resumable(str(tmp_path / "a" / "b")) as state:
        assert state.iteration == 0
        assert state.get("x") is None


def test_an_rdd_comes_back_with_its_records_partitions_and_partitioner(sc: Context, tmp_path: Path) -> None:
    pairs = sc.parallelize([(i, i / 7) for i in range(100)], 5).partitionBy(3)
    save(sc, tmp_path, 1, pairs=pairs, plain=sc.parallelize(range(10), 4), empty=sc.emptyRDD())
    with sc.resumable(str(tmp_path)) as state:
        assert state.get("pairs").glom().collect() == pairs.glom().collect()
        assert state.get("pairs").partitioner == pairs.partitioner
        assert state.get("plain").glom().collect() == sc.parallelize(range(10), 4).glom().collect()
        assert state.get("plain").partitioner is None
        assert state.get("empty").collect() == []
        assert state.get("pairs").reduceByKey(add).count() == 100


@pytest.mark.parametrize("damage", [flip_a_byte, cut_short, Path.unlink])
@pytest.mark.parametrize("file", ["manifest.json", "total.00000", "parts.00001", "parts.partitioner.00000"])
def test_damaged_state_is_never_loaded_but_the_one_before_is(
    sc: Context, tmp_path: Path, file: str, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with sc.resumable(str(tmp_path)) as state:
        for i in (1, 2, 3):
            state.save(i, total=i * 10, parts=sc.parallelize([(i, i)] * 6, 3).partitionBy(2))
    damage(next((tmp_path / "generation-00000003").glob(f"{file}*")))
    with sc.resumable(str(tmp_path)) as state:
        assert (state.iteration, state.get("total")) == (2, 20)
        assert state.get("parts").collect() == [(2, 2)] * 6
        said = capsys.readouterr().err
        assert "generation-00000003 in" in said
        assert file in said
        assert "resuming after iteration 2" in said
        state.save(3, total=30)
        assert sorted(os.listdir(tmp_path)) == ["generation-00000002", "generation-00000004", "lock"]


def test_without_any_whole_state_nothing_is_begun_anew_silently(sc: Context, tmp_path: Path) -> None:
    save(sc, tmp_path, 1, total=1)
    flip_a_byte(next((tmp_path / "generation-00000001").glob("total.00000-*")))
    with pytest.raises(InputError, match="move that folder away"):
        sc.resumable(str(tmp_path)).__enter__()


def test_an_interrupted_save_leaves_the_last_one_and_is_swept_up(sc: Context, tmp_path: Path) -> None:
    def fail(record: int) -> int:
        raise ValueError("in the middle of a save")

    save(sc, tmp_path, 1, total=1)
    with pytest.raises(Exception, match="in the middle"), sc.resumable(str(tmp_path)) as state:
        state.save(2, total=2, parts=sc.parallelize(range(4), 2).map(fail))
    with sc.resumable(str(tmp_path)) as state:
        assert (state.iteration, state.get("total")) == (1, 1)
        state.save(2, total=2)
    assert sorted(os.listdir(tmp_path)) == ["generation-00000001", "generation-00000002", "lock"]


def test_the_last_two_states_are_kept(sc: Context, tmp_path: Path) -> None:
    with sc.resumable(str(tmp_path)) as state:
        for i in range(5):
            state.save(i, x=i)
    assert sorted(os.listdir(tmp_path)) == ["generation-00000004", "generation-00000005", "lock"]


def test_a_second_run_in_the_same_folder_is_refused_and_told_who_has_it(
    sc: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpirdd.api.resumable._LOCK_PATIENCE_S", 0.1)
    with sc.resumable(str(tmp_path)), pytest.raises(UsageError, match=f"in use by.*process {os.getpid()} on"):
        sc.resumable(str(tmp_path)).__enter__()
    with sc.resumable(str(tmp_path)):
        pass


def test_state_of_another_run_is_refused(sc: Context, tmp_path: Path) -> None:
    with sc.resumable(str(tmp_path), about={"k": 3, "data": "a"}) as state:
        state.save(1, x=1)
    with pytest.raises(UsageError, match="k was 3 and is 4"):
        sc.resumable(str(tmp_path), about={"k": 4, "data": "a"}).__enter__()
    with pytest.raises(InvalidType, match=r"about must be a dict, .* not 'k-means'"):
        sc.resumable(str(tmp_path), about="k-means")  # type: ignore[arg-type]
    with sc.resumable(str(tmp_path), about={"k": 3, "data": "a"}) as state:
        assert state.iteration == 1


def test_saves_can_be_made_rarer(sc: Context, tmp_path: Path) -> None:
    with sc.resumable(str(tmp_path), every_s=3600) as state:
        assert [state.save(i, x=i) for i in range(3)] == [False] * 3
    assert os.listdir(tmp_path) == ["lock"]


def test_a_name_that_would_leave_the_folder_is_refused(sc: Context, tmp_path: Path) -> None:
    with sc.resumable(str(tmp_path)) as state, pytest.raises(UsageError, match="no Python name"):
        state.save(1, **{"../x": 1})


def test_when_the_walltime_ends_the_next_save_ends_the_program(sc: Context, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as left, sc.resumable(str(tmp_path), every_s=3600) as state:
        assert not state.save(1, x=1)
        os.kill(os.getpid(), signal.SIGUSR2)
        state.save(2, x=2)
    assert left.value.code == 140
    with sc.resumable(str(tmp_path)) as state:
        assert (state.iteration, state.get("x")) == (2, 2)


# --- onTerminate ------------------------------------------------------------------------------------------------------


def test_a_callback_is_called_in_the_programs_own_code_at_once(sc: Context) -> None:
    called: list[int] = []
    sc.onTerminate(lambda: called.append(sc.range(5).sum()))
    try:
        os.kill(os.getpid(), signal.SIGUSR2)
        assert called == [10]
        assert sc.range(3).sum() == 3
        assert called == [10]
    finally:
        sc._engine.termination.close()


def test_a_callback_is_called_inside_a_waiting_job_and_may_run_one(sc: Context) -> None:
    called: list[int] = []
    driver = os.getpid()
    sc.onTerminate(lambda: called.append(sc.range(5).sum()))
    try:
        # World of one: a task runs inside the driver. Else: the driver waits for it. The job goes on in both.
        def tell(record: int) -> int:
            if record == 0:
                os.kill(driver, signal.SIGUSR2)
            return record

        assert sc.parallelize(range(8), 4).map(tell).sum() == 28
        sc.range(1).sum()
        assert called == [10]
    finally:
        sc._engine.termination.close()


def test_sigterm_ends_the_program_after_the_callbacks(sc: Context) -> None:
    called: list[str] = []
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        sc.onTerminate(lambda: called.append("saved"))
        with pytest.raises(SystemExit) as left:
            os.kill(os.getpid(), signal.SIGTERM)
        assert (called, left.value.code) == (["saved"], 143)
    finally:
        sc._engine.termination.close()
        signal.signal(signal.SIGTERM, before)


def test_a_failing_callback_does_not_hide_sigterm(sc: Context) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        sc.onTerminate(lambda: 1 // 0)
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        sc._engine.termination.close()
        signal.signal(signal.SIGTERM, before)


def test_without_a_folder_nothing_is_kept_and_nothing_else_changes(sc: Context) -> None:
    with sc.resumable(None) as state:
        assert (state.iteration, state.get("x", 5), state.save(1, x=1), state.get("x")) == (0, 5, False, None)


def test_an_empty_path_is_refused(sc: Context) -> None:
    with pytest.raises(UsageError, match="path is empty"):
        sc.resumable("")


@pytest.mark.parametrize("kept", [True, False])
def test_state_is_used_in_its_with_block_only(sc: Context, tmp_path: Path, kept: bool) -> None:
    """Without the block nothing is loaded, and a program would silently begin anew."""
    save(sc, tmp_path, 3, number=1)
    state = sc.resumable(str(tmp_path) if kept else None)
    for use in (lambda: state.iteration, lambda: state.get("number"), lambda: "number" in state, lambda: state.save(1)):
        with pytest.raises(UsageError, match=r"write 'with sc\.resumable"):
            use()
    with state:
        assert state.iteration == (3 if kept else 0)
    assert state.iteration == (3 if kept else 0)
    with pytest.raises(UsageError, match="has ended"):
        state.save(4)
    with pytest.raises(UsageError, match=r"call sc\.resumable again"), state:
        pass
