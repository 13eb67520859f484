"""What launchers tell a process through its environment."""

from __future__ import annotations

import os

import pytest

from mpirdd.launch.launchers import (
    by_a_launcher,
    forget_launcher,
    keep_from_children,
    launched_rank,
    launched_size,
    ranks_here,
    slurm_tasks,
    started_by_a_rank,
)
from mpirdd.launch.world import check_world
from mpirdd.protocol.errors import ClusterError

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
        # Two components of a step. The second node of the first one is not the second node of the step.
        ({"SLURM_PROCID": "1", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "7", "SLURM_NODEID": "1",
          "SLURM_STEP_TASKS_PER_NODE": "1(x2)"}, 0),
        ({"SLURM_PROCID": "6", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "7", "SLURM_NODEID": "2",
          "SLURM_STEP_TASKS_PER_NODE": "5"}, 0),
    ],
)
def test_launchers_tell_the_ranks_of_this_host(environment: dict[str, str], ranks: int) -> None:
    assert ranks_here(environment, 7) == ranks


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


def test_what_a_rank_starts_is_no_rank_and_what_a_launcher_starts_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for launch in (OPEN_MPI, MPICH, SRUN, SRUN_PMI2):
        rank = {**launch, "PMIX_NAMESPACE": "a", "PMIX_SERVER_URI4": "b", "PMI_FD": "9", "MINE": "x", "SLURM_JOB_ID": "7"}
        monkeypatch.setattr(os, "getpid", lambda: 11)
        keep_from_children(rank)
        assert not started_by_a_rank(rank)
        assert not {"PMIX_NAMESPACE", "PMIX_SERVER_URI4", "PMI_FD", "PMI_RANK"} & rank.keys()
        monkeypatch.setattr(os, "getpid", lambda: 12)
        assert started_by_a_rank(rank)
        for nested in ({"PMIX_NAMESPACE": "c"}, {"PMI_RANK": "0"}, {"SLURM_STEP_ID": "5"}):
            assert not started_by_a_rank({**rank, **nested})
        forget_launcher(rank)
        assert launched_size(rank) == 1
        assert not by_a_launcher(rank)
        assert rank["MINE"] == "x"
        assert ("SLURM_OVERLAP" in rank) == (launch in (SRUN, SRUN_PMI2))
        assert rank["SLURM_JOB_ID"] == "7"


def test_a_process_without_a_launcher_is_nobodys_child() -> None:
    assert not started_by_a_rank({})
