"""Cores, memory and threads, from all that may limit them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mpirdd.launch.resources import budget, cap_threads, cores, memory_bytes, most_ranks, overcommitted

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
    assert "memory=9.0 GiB, is more than the 8.0 GiB of this host (SLURM_MEM_PER_NODE)" in told
    assert "at most 4.7 GiB (--memory, MPIRDD_MEMORY)" in told
    told = overcommitted(3 << 30, 3, environment, root="/nowhere")
    assert "memory=3.0 GiB for each of 3 executors on this host, 9.0 GiB in all, is more than the 8.0 GiB" in told
    assert overcommitted(8 << 30, 1, environment, root="/nowhere") == overcommitted(0, 5, environment, root="/nowhere") == ""


def test_a_host_holds_so_many_ranks_as_memory_and_limits_of_threads_allow(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/pids.max": "max\n", "proc/sys/kernel/pid_max": "32768\n"}
    root = machine(tmp_path, files)
    assert most_ranks({}, root=root) == (64 * 64, "16.0 MiB of memory each, of 64.0 GiB (machine)")
    assert most_ranks({"SLURM_MEM_PER_NODE": "1024"}, root=root).amount == 64
    root = machine(tmp_path, {"sys/fs/cgroup/job/pids.max": "300\n"})
    assert most_ranks({}, root=root) == (100, "3 threads each, of 300 (cgroup)")
