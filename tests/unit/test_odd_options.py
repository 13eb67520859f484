"""Options that make no sense are told in one line, in the words that the user has typed, before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpirdd.launch.cli import main


@pytest.fixture(autouse=True)
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.py").write_text("raise SystemExit(99)")
    (tmp_path / "log.jsonl").write_text('{"event":"run","t":0.0,"app":"job","host":"elsewhere","pid":1,"unix":0.0}\n')


@pytest.mark.parametrize(("words", "said"), [
    (["run", "--mpi-args", '"--host a', "job.py"], '--mpi-args "--host a cannot be split into words: No closing quotation'),
    (["doctor", "--mpi-args", "'x"], "--mpi-args 'x cannot be split into words: No closing quotation"),
    (["doctor", "-n", "0"], "-n must be 1 or more, not 0"),
    (["doctor", "-n", "-3"], "-n must be 1 or more, not -3"),
    (["doctor", "-n", "1000000"], "1000000 ranks do not fit on this host"),
    (["run", "--task-retries", "-1", "job.py"], "--task-retries must be 0 or more, not -1"),
    (["run", "--spares", "-3", "job.py"], "--spares must be 0 or more, not -3"),
    (["run", "--executor-timeout", "0", "job.py"], "--executor-timeout (0.0) must be at least ping_s (1.0)"),
    (["run", "--parallelism", "99999999999999", "job.py"], "--parallelism must be 0 (automatic) to 10,000,000 partitions"),
    (["run", "--memory", "9" * 400, "job.py"], "999' is not a size"),
    (["submit", "--dry-run", "--restarts", "-1", "job.py"], "--restarts must be 0 or more, not -1"),
    (["submit", "--dry-run", "--stage-enviroment", "job.py"], "did you mean --stage-environment?"),
    (["run", "--log-level", "LOUD", "job.py"], "--log-level must be one of DEBUG"),
    (["run", "-n", "1", "--report", "", "job.py"], "--report '': cannot be written"),
    (["report", "log.jsonl", "-o", "."], ". cannot be written: it is a folder; give a file's name"),
    (["trace", "log.jsonl", "-o", ""], "an empty name cannot be written: give a file's name"),
    (["mapreduce", "--input", "job.py", "--output", "out", "--mapper", "cat", "--reducer", "cat", "--num-reducers", "-1"],
     "--num-reducers must be 0 or more, not -1"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_one_line_says_what_is_wrong(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1, err


def test_the_variable_for_options_of_mpirun_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MPIRDD_MPI_ARGS", "'")
    assert main(["run", "-n", "2", "job.py"]) == 2
    assert "MPIRDD_MPI_ARGS ' cannot be split" in capsys.readouterr().err
