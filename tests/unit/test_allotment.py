from __future__ import annotations

import os
from pathlib import Path

import pytest

from mpirdd.edge.allotment import (
    budget,
    cap_threads,
    check_world,
    cores,
    launched_rank,
    launched_size,
    memory_bytes,
    overcommitted,
    ranks_here,
    slurm_tasks,
)
from mpirdd.words.errors import ClusterError

GIB = 1 << 30
HERE = len(os.sched_getaffinity(0))


def machine(root: Path, files: dict[str, str]) -> str:
    """A root directory with these files."""
    for name, text in {"proc/meminfo": f"MemTotal: {64 * GIB >> 10} kB\nMemFree: 1 kB\n", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def test_without_fences_the_affinity_and_the_machine_count(tmp_path: Path) -> None:
    root = machine(tmp_path, {})
    assert cores({}, root=root) == (HERE, "affinity")
    assert memory_bytes({}, root=root) == (64 * GIB, "machine")


def test_nothing_readable_still_gives_an_answer(tmp_path: Path) -> None:
    assert cores({}, root=str(tmp_path)).amount == HERE
    assert memory_bytes({}, root=str(tmp_path)).amount > 0


def test_cgroup_2_limits(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/job\n",
        "sys/fs/cgroup/job/cpu.max": "50000 100000\n",
        "sys/fs/cgroup/job/memory.max": f"{2 * GIB}\n",
        "sys/fs/cgroup/job/memory.high": f"{GIB}\n",
    }
    root = machine(tmp_path, files)
    assert cores({}, root=root) == (1, "cgroup")
    assert memory_bytes({}, root=root) == (GIB, "cgroup")


def test_cgroup_limits_of_outer_levels_hold_too(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/slurm/job_7/step_0\n",
        "sys/fs/cgroup/slurm/job_7/step_0/memory.max": "max\n",
        "sys/fs/cgroup/slurm/job_7/memory.max": f"{3 * GIB}\n",
        "sys/fs/cgroup/slurm/job_7/step_0/cpu.max": "max 100000\n",
        "sys/fs/cgroup/slurm/cpu.max": "100000 100000\n",
    }
    root = machine(tmp_path, files)
    assert memory_bytes({}, root=root) == (3 * GIB, "cgroup")
    assert cores({}, root=root) == (1, "cgroup")


@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
def test_cgroup_1_limits(tmp_path: Path, folder: str) -> None:
    files = {
        "proc/self/cgroup": "5:memory:/slurm/job_1\n4:cpu,cpuacct:/slurm\n1:name=systemd:/init.scope\n",
        "sys/fs/cgroup/memory/slurm/job_1/memory.limit_in_bytes": f"{4 * GIB}\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        f"sys/fs/cgroup/{folder}/slurm/cpu.cfs_quota_us": "90000\n",
        f"sys/fs/cgroup/{folder}/slurm/cpu.cfs_period_us": "100000\n",
    }
    root = machine(tmp_path, files)
    assert memory_bytes({}, root=root) == (4 * GIB, "cgroup")
    assert cores({}, root=root) == (1, "cgroup")


def test_cgroup_1_without_a_quota_is_no_limit(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:cpu:/\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    }
    assert cores({}, root=machine(tmp_path, files)).source == "affinity"


def test_a_container_that_is_told_the_hosts_path_finds_its_limits_at_the_top(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/../docker/abc\n", "sys/fs/cgroup/memory.max": f"{GIB}\n"}
    assert memory_bytes({}, root=machine(tmp_path, files)) == (GIB, "cgroup")


def test_slurm_memory_is_in_mebibytes(tmp_path: Path) -> None:
    root = machine(tmp_path, {})
    assert memory_bytes({"SLURM_MEM_PER_NODE": "4000"}, root=root) == (4000 << 20, "SLURM_MEM_PER_NODE")
    each = {"SLURM_MEM_PER_CPU": "1000", "SLURM_CPUS_ON_NODE": "3"}
    assert memory_bytes(each, root=root) == (3000 << 20, "SLURM_MEM_PER_CPU")


def test_slurm_memory_of_0_means_the_whole_node(tmp_path: Path) -> None:
    assert memory_bytes({"SLURM_MEM_PER_NODE": "0"}, root=machine(tmp_path, {})).source == "machine"


def test_slurm_cores_count_when_they_are_fewer(tmp_path: Path) -> None:
    root = machine(tmp_path, {})
    assert cores({"SLURM_CPUS_ON_NODE": "1"}, root=root).amount == 1
    assert cores({"SLURM_CPUS_ON_NODE": "4096"}, root=root).source == "affinity"


def test_threads_are_capped_to_one_or_to_what_slurm_gives_a_task() -> None:
    plain: dict[str, str] = {}
    cap_threads(plain)
    assert set(plain.values()) == {"1"}
    task = {"SLURM_CPUS_PER_TASK": "4"}
    cap_threads(task)
    assert task["OPENBLAS_NUM_THREADS"] == task["OMP_NUM_THREADS"] == "4"


def test_thread_counts_of_the_user_stay_and_speak_for_the_other_libraries() -> None:
    environment = {"OMP_NUM_THREADS": "3,2", "MKL_NUM_THREADS": "8", "SLURM_CPUS_PER_TASK": "5"}
    cap_threads(environment)
    assert environment["OMP_NUM_THREADS"] == "3,2"
    assert environment["MKL_NUM_THREADS"] == "8"
    assert environment["OPENBLAS_NUM_THREADS"] == "3"


OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2"}
MPICH = {"PMI_SIZE": "4", "PMI_RANK": "2", "MPI_LOCALNRANKS": "4"}
SRUN = {"SLURM_NTASKS": "4", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}
SRUN_PMI2 = {**SRUN, "PMI_SIZE": "4", "PMI_RANK": "2"}
BATCH_SCRIPT = {"SLURM_JOB_ID": "9", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}


@pytest.mark.parametrize("environment", [OPEN_MPI, MPICH, SRUN, SRUN_PMI2])
def test_launchers_tell_size_and_rank_before_mpi_starts(environment: dict[str, str]) -> None:
    assert launched_size(environment) == 4
    assert launched_rank(environment) == 2


@pytest.mark.parametrize("environment", [OPEN_MPI, MPICH, SRUN, SRUN_PMI2, BATCH_SCRIPT, {}])
def test_a_world_of_all_ranks_is_welcome(environment: dict[str, str]) -> None:
    check_world(environment, 4)


@pytest.mark.parametrize("environment", [SRUN, SRUN_PMI2])
def test_worlds_of_one_under_srun_are_refused_with_the_line_that_helps(environment: dict[str, str]) -> None:
    with pytest.raises(ClusterError, match=r"4 worlds of one rank.\s+fix: srun --mpi=pmix"):
        check_world(environment, 1)


@pytest.mark.parametrize(
    ("environment", "whose"), [(OPEN_MPI, "Open MPI"), (MPICH, "MPICH"), ({**SRUN, **MPICH}, "MPICH")]
)
def test_worlds_of_one_under_the_mpirun_of_another_mpi_are_refused(
    environment: dict[str, str], whose: str
) -> None:
    with pytest.raises(ClusterError, match=f"{whose}.* started 4 .*another MPI"):
        check_world(environment, 1)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        BATCH_SCRIPT,
        {"OMPI_COMM_WORLD_SIZE": "1"},
        {**SRUN, "SLURM_STEP_NUM_TASKS": "1"},
        # mpirun -n 1 in an allocation of two nodes: the step is that of its daemons
        {**SRUN, "OMPI_COMM_WORLD_SIZE": "1"},
    ],
)
def test_a_world_that_was_meant_to_be_of_one_is_welcome(environment: dict[str, str]) -> None:
    check_world(environment, 1)


# --- a rank's budget --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "ranks"),
    [
        ({}, 0),
        ({"OMPI_COMM_WORLD_LOCAL_SIZE": "4"}, 4),
        ({"MPI_LOCALNRANKS": "3"}, 3),
        ({"SLURM_PROCID": "0", "SLURM_TASKS_PER_NODE": "8"}, 0),  # a batch script is no step
        ({"SLURM_PROCID": "5", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "7", "SLURM_NODEID": "2",
          "SLURM_STEP_TASKS_PER_NODE": "2(x3),1"}, 2),
        ({"SLURM_PROCID": "6", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "7", "SLURM_NODEID": "3",
          "SLURM_STEP_TASKS_PER_NODE": "2(x3),1"}, 1),
    ],
)
def test_launchers_tell_the_ranks_of_this_host(environment: dict[str, str], ranks: int) -> None:
    assert ranks_here(environment) == ranks


def test_a_rank_s_budget_is_a_part_of_its_share_of_the_host() -> None:
    environment = {"SLURM_MEM_PER_NODE": "8192"}
    alone, with_others = (budget(ranks, environment, root="/nowhere") for ranks in (1, 4))
    assert alone.amount == int(0.6 * ((8 << 30) - (100 << 20)))
    assert with_others.amount == int(0.6 * ((2 << 30) - (100 << 20)))
    assert "SLURM_MEM_PER_NODE" in with_others.source


def test_on_a_crowded_host_a_rank_still_gets_something() -> None:
    assert budget(1_000, {"SLURM_MEM_PER_NODE": "1024"}, root="/nowhere").amount == 64 << 20


def test_more_memory_than_there_is_is_told_with_what_there_is_and_what_to_give() -> None:
    environment = {"SLURM_MEM_PER_NODE": "8192"}
    told = overcommitted(9 << 30, 1, environment, root="/nowhere")
    assert "memory=9.0 GiB, is more than the 8.0 GiB that there are (SLURM_MEM_PER_NODE)" in told
    assert "at most 4.7 GiB (--memory, MPIRDD_MEMORY)" in told
    told = overcommitted(3 << 30, 3, environment, root="/nowhere")
    assert "memory=3.0 GiB for each of 3 executors on this host, 9.0 GiB in all, is more than the 8.0 GiB" in told
    assert overcommitted(8 << 30, 1, environment, root="/nowhere") == overcommitted(0, 5, environment, root="/nowhere") == ""


@pytest.mark.parametrize(
    ("variables", "tasks"),
    [
        ({}, 0),
        ({"SLURM_NTASKS": "8"}, 0),
        ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "8", "SLURM_TASKS_PER_NODE": "1(x2)"}, 8),
        ({"SLURM_JOB_ID": "1", "SLURM_TASKS_PER_NODE": "1(x3)"}, 3),
        ({"SLURM_JOB_ID": "1", "SLURM_TASKS_PER_NODE": "4(x2),1,2"}, 11),
        ({"SLURM_JOB_ID": "1"}, 0),
    ],
)
def test_tasks_are_those_of_the_allocation_with_nodes_alone_too(variables: dict[str, str], tasks: int) -> None:
    assert slurm_tasks(variables) == tasks
