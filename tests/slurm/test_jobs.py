"""Jobs on a real Slurm, as users submit them: their output, and their end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launcher import with_open_mpi
from user import MPICH, ROOT, User, again_after_slurms_fault

pytestmark = [with_open_mpi, pytest.mark.timeout(120)]
with_mpich = pytest.mark.skipif(not MPICH.exists(), reason=f"no {MPICH} (MPIRDD_MPICH_PYTHON)")

WHERE = """
import os, sys
from mpirdd import Context
from mpirdd.launch.resources import memory_bytes
with Context() as sc:
    nodes = sc.parallelize(range(40), 8).mapPartitions(lambda part: [os.environ["SLURMD_NODENAME"]]).collect()
    print("sum", sc.range(100).sum(), "executors", sc.defaultParallelism, "nodes", sorted(set(nodes)))
    print("threads", os.environ["OPENBLAS_NUM_THREADS"], *memory_bytes())
    print("args", sys.argv[1:])
sys.exit(3 if "fail" in sys.argv else 0)
"""
COUNT = f"""
import sys
from operator import add
from mpirdd import Context
with Context() as sc:
    words = sc.textFile({str(ROOT / "jobs" / "data" / "state_union" / "*.txt")!r}, errors="replace").flatMap(str.split)
    print(words.map(lambda w: (w, 1)).reduceByKey(add).takeOrdered(3, key=lambda pair: -pair[1]), *sys.argv[1:])
"""
STEPS = """
import sys, time
from mpirdd import Context
with Context() as sc, sc.resumable("state-" + sys.argv[1]) as state:
    total = state.get("total", 0)
    for i in range(state.iteration, int(sys.argv[2])):
        total = total * 3 % 1000003 + sc.range(i, i + 10).sum()
        time.sleep(float(sys.argv[3]))
        state.save(i + 1, total=total)
        print("finished", i + 1, flush=True)
    print("result", total)
"""
SAVES_NOTHING = """
import time
from mpirdd import Context
with Context() as sc:
    print("up", sc.range(5).sum(), flush=True)
    time.sleep(600)
"""
SAYS = """
import os
print("task", os.environ.get("SLURM_ARRAY_TASK_ID", "none"))
"""
SAVES_SLOWLY = """
import time
from mpirdd import Context
def save():
    time.sleep(4)
    print("saved", sc.range(5).sum(), flush=True)
with Context() as sc:
    sc.onTerminate(save)
    print("up", flush=True)
    time.sleep(600)
"""


def expected_words() -> str:
    from collections import Counter

    counts: Counter[str] = Counter()
    for path in sorted((ROOT / "jobs" / "data" / "state_union").glob("*.txt")):
        counts.update(path.read_text(encoding="utf-8", errors="replace").split())
    return str(counts.most_common(3))


def expected_total(iterations: int) -> str:
    total = 0
    for i in range(iterations):
        total = total * 3 % 1000003 + sum(range(i, i + 10))
    return f"result {total}"


def test_submit_takes_ranks_hosts_threads_and_memory_from_slurm_and_waits(user: User) -> None:
    done = user.submit(
        WHERE, "-N2", "--ntasks-per-node", "2", "-c2", "--mem=600", "-t", "5", "--wait", args=("a b", "--wait"))
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert "sum 4950 executors 3 nodes ['n1', 'n2']" in said
    assert f"threads 2 {600 << 20} SLURM_MEM_PER_NODE" in said
    assert "args ['a b', '--wait']" in said
    assert re.fullmatch(r"job \d+", said[0])
    assert said[1].split()[1].startswith(str(user.folder))
    assert Path(said[2].split()[1]).read_text().startswith("#!/bin/bash")
    assert "COMPLETED" in done.stderr


def test_the_exit_code_comes_back(user: User) -> None:
    done = user.submit(WHERE, "-N1", "-n2", "-t5", "--wait", args=("fail",))
    assert done.returncode == 3, done.stderr


def test_what_sbatch_says_against_it_is_told(user: User) -> None:
    done = user.submit(WHERE, "--partition=nowhere")
    assert done.returncode == 1
    assert "sbatch refused the job" in done.stderr
    assert "invalid partition" in done.stderr


def test_nodes_alone_give_a_rank_for_each_task_that_slurm_counts(user: User) -> None:
    done = user.submit(WHERE, "-N3", "-t5", "--wait")
    assert "executors 2 nodes" in done.stdout, done.stdout + done.stderr


def test_ctrl_c_while_waiting_leaves_the_job_and_says_how_to_end_it(user: User) -> None:
    (user.folder / "job.py").write_text(SAVES_NOTHING)
    waiting = subprocess.Popen(
        [sys.executable, "-m", "mpirdd", "submit", "-N1", "-n2", "-t5", "--wait", "job.py"], cwd=user.folder,
        env=user.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert waiting.stdout is not None
    job = waiting.stdout.readline().split()[1]
    user.wait_for(job, "up 10")
    waiting.send_signal(2)
    _, err = waiting.communicate(timeout=10)
    assert (waiting.returncode, f"scancel {job}" in err) == (130, True)
    assert user.record(job)["JobState"] == "RUNNING"
    user.cluster.command("scancel", job)
    assert user.ended(job)["JobState"] == "CANCELLED"


def test_scripts_for_one_node_and_many(user: User) -> None:
    one = user.sbatch("one-node.sh", COUNT, "--ntasks=3", "--mem=0", args=("x", "a b"))
    many = user.sbatch("many-nodes.sh", COUNT, "--nodes=2", "--ntasks-per-node=2")
    for job, args in (one, " x a b"), (many, ""):
        assert user.ended(job)["JobState"] == "COMPLETED", user.log(job)
        assert user.log(job) == expected_words() + args + "\n"


@with_mpich
@pytest.mark.timeout(240)
@again_after_slurms_fault
def test_script_for_srun_makes_one_world_of_mpich_and_refuses_many(user: User) -> None:
    job = user.sbatch("many-nodes-srun.sh", WHERE, "--nodes=2", "--ntasks-per-node=2", python=MPICH, MPI_TYPE="pmi2")
    assert user.ended(job)["JobState"] == "COMPLETED", user.log(job)
    assert "sum 4950 executors 3 nodes ['n1', 'n2']" in user.log(job)
    job = user.sbatch("many-nodes-srun.sh", WHERE, "--nodes=2", "--ntasks-per-node=2", python=MPICH, MPI_TYPE="none")
    assert user.ended(job)["ExitCode"] == "1:0"
    assert "4 worlds of one rank" in user.log(job)
    assert "sum" not in user.log(job)


BY_HASH = """
import subprocess, sys
from operator import add
from mpirdd import Context
CHILD = "import mpirdd\\nwith mpirdd.Context() as sc: print(sc.range(10).sum())"
def child(_):
    return subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=40).stdout.strip()
words = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff", "ggggggg"]
with Context() as sc:
    groups = sc.parallelize([(word, 1) for word in words * 50], 4).reduceByKey(add, 4, hash).collect()
    print("groups", sorted(groups) == [(word, 50) for word in words], sc.defaultParallelism)
    print("children", child(0), sc.parallelize(range(2), 2).map(child).collect())
"""


@with_mpich
@pytest.mark.timeout(240)
@pytest.mark.parametrize("words", ["-m mpirdd job.py", "job.py"], ids=["-m mpirdd", "python"])
@again_after_slurms_fault
def test_under_srun_hash_of_text_is_the_same_on_all_ranks_and_children_are_no_ranks(words: str, user: User) -> None:
    (user.folder / "srun.sh").write_text(
        f"#!/bin/bash\n#SBATCH --output=%x-%j.log --nodes=2 --ntasks-per-node=2 --time=5\nsrun --mpi=pmi2 {MPICH} {words}\n")
    (user.folder / "job.py").write_text(BY_HASH)
    done = subprocess.run(["sbatch", "--parsable", "srun.sh"], cwd=user.folder, env=user.environment(MPICH), capture_output=True,
                          text=True, timeout=30)
    job = done.stdout.strip()
    assert user.ended(job)["JobState"] == "COMPLETED", user.log(job)
    assert "groups True 3\nchildren 45 ['45', '45']\n" in user.log(job)


@with_mpich
@pytest.mark.timeout(240)
@again_after_slurms_fault
def test_submit_with_srun_and_with_mpirun_of_mpich(user: User) -> None:
    for words in (["--srun"], []):
        done = user.submit(WHERE, "-N2", "--ntasks-per-node=2", "-c2", "-t5", "--wait", *words, python=MPICH)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "sum 4950 executors 3 nodes ['n1', 'n2']" in done.stdout
        assert "threads 2 " in done.stdout


def test_script_for_arrays_runs_each_job_with_its_number(user: User) -> None:
    job = user.sbatch("array.sh", COUNT, "--array=1-3", "--ntasks=2", "--mem=0")
    for i in (1, 2, 3):
        assert user.ended(f"{job}_{i}")["JobState"] == "COMPLETED"
        assert user.log(f"{job}_{i}") == f"{expected_words()} {i}\n"


def test_scancel_ends_all_ranks_and_loses_no_finished_iteration(user: User) -> None:
    done = user.submit(STEPS, "-N2", "--ntasks-per-node=2", "-t5", args=("a", "30", "0.3"))
    job = done.stdout.split()[1]
    user.wait_for(job, "finished 3")
    user.cluster.command("scancel", job)
    assert user.ended(job)["JobState"] == "CANCELLED"
    last = max(int(number) for number in re.findall(r"finished (\d+)", user.log(job)))
    deadline = time.monotonic() + 10
    while (left := ranks_in(user.folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left, left
    again = user.submit(STEPS, "-N1", "-n2", "-t5", "--wait", args=("a", str(last + 2), "0"))
    assert f"resuming after iteration {last}" in again.stdout + again.stderr
    assert expected_total(last + 2) in again.stdout.splitlines()


def ranks_in(folder: Path) -> list[str]:
    """Python processes whose current folder this is."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.readlink(f"/proc/{entry}/cwd") == str(folder):
                words = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
                if b"mpirdd" in words:
                    found.append(f"{entry}: {words}")
        except OSError:
            pass
    return found


@pytest.mark.timeout(300)
def test_a_walltime_that_hits_is_survived_by_requeueing_and_told_otherwise(user: User) -> None:
    """The one slow test, since Slurm counts walltimes in minutes: of two jobs, one saves and one
    does not."""
    lost = user.submit(SAVES_NOTHING, "-N1", "-n2", "-t1", "-J", "lost").stdout.split()[1]
    (user.folder / "other").mkdir()
    saving = User(user.cluster, user.folder / "other")
    done = saving.submit(
        STEPS, "-N2", "--ntasks-per-node=2", "-t1", "--requeue", "--wait", args=("b", "60", "1"), timeout_s=240)
    assert done.returncode == 0, done.stdout + done.stderr
    log = done.stdout
    assert "leaving, as the walltime ends" in log
    assert "is queued again" in log
    resumed = int(re.findall(r"resuming after iteration (\d+)", log)[0])
    finished = [int(number) for number in re.findall(r"^finished (\d+)", log, re.MULTILINE)]
    assert sorted({*finished, resumed}) == list(range(1, 61))  # none twice, none left out
    assert expected_total(60) in log.splitlines()
    assert "restart 1" in done.stderr
    assert user.ended(lost)["ExitCode"] != "0:0"
    assert user.record(lost)["JobState"] in ("FAILED", "TIMEOUT")
    assert "nothing to be saved so far" in user.log(lost)


def test_a_job_may_save_for_seconds_if_its_script_alone_is_told_to_end(user: User) -> None:
    """A plain scancel would end mpirun's daemons, too, and the ranks with them."""
    done = user.submit(SAVES_SLOWLY, "-N2", "--ntasks-per-node=2", "-t9")
    job = done.stdout.split()[1]
    told = f"scancel --batch --signal=TERM {job}"
    assert f"to let it save: {told})" in done.stdout
    user.wait_for(job, "up")
    user.cluster.command(*f"scancel --batch --signal=USR2 {job}".split())  # save now: the job goes on
    user.wait_for(job, "saved 10")
    assert user.record(job)["JobState"] == "RUNNING"
    user.cluster.command(*told.split())
    assert user.ended(job)["ExitCode"] == "143:0"
    assert user.log(job).count("saved 10") == 2


def test_doctor_and_run_work_inside_of_a_step_that_holds_the_cores(user: User) -> None:
    """mpirun's own srun would wait for the cores for ever."""
    (user.folder / "job.py").write_text(WHERE)
    (user.folder / "steps.sh").write_text(
        "#!/bin/bash\n#SBATCH -N2 --ntasks-per-node=2 -t2 -o out-%j.log\n"
        f"srun -N1 -n1 {sys.executable} -m mpirdd doctor\n"
        f"srun -N2 -n2 --ntasks-per-node=1 {sys.executable} -m mpirdd run -n 2 job.py\n")
    done = subprocess.run(
        ["sbatch", "--parsable", "steps.sh"], cwd=user.folder, env=user.environment(), capture_output=True, text=True)
    job = done.stdout.strip()
    user.ended(job)
    assert "ranks in one world" in user.log(job)
    assert user.log(job).count("srun has started this command 2 times") == 2
    assert "sum" not in user.log(job)


def test_a_job_with_a_clean_environment_runs_on_all_its_nodes(user: User) -> None:
    done = user.submit(WHERE, "-N2", "--ntasks-per-node=2", "-t2", "--export=NONE", "--wait",
                       "--setup", f"export PYTHONPATH={ROOT}")
    assert "sum 4950 executors 3 nodes ['n1', 'n2']" in done.stdout, done.stdout + done.stderr


def test_logs_of_arrays_blanks_and_folders_are_where_they_are_said_to_be(user: User) -> None:
    done = user.submit(SAYS, "-N1", "-n1", "-t1", "--array", "1-3%2", "--wait")
    lines = done.stdout.splitlines()
    job = lines[0].split()[1]
    assert lines[1].split()[1] == str(user.folder / f"job-{job}_%a.log")
    assert {f"[{i}] task {i}" for i in (1, 2, 3)} <= set(lines), done.stdout + done.stderr
    assert all((user.folder / f"job-{job}_{i}.log").exists() for i in (1, 2, 3))
    done = user.submit(SAYS, "-N1", "-n1", "-t1", "-J", "my job", "-o", "logs/%x-%N.log", "--wait")
    assert "task none" in done.stdout.splitlines(), done.stdout + done.stderr
    assert [path.suffix for path in (user.folder / "logs").glob("my job-*")].count(".log") == 1
    assert "made the folder logs" in done.stderr
    done = user.submit(SAYS, "-N1", "-n1", "-t1", "--test-only")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.timeout(330)
def test_the_script_for_resuming_is_queued_again_until_the_program_is_through(user: User) -> None:
    """A minute is less than the 120 s that it keeps for saving, so it is told as soon as Slurm looks."""
    job = user.sbatch("resume.sh", STEPS, "--nodes=1", "--ntasks-per-node=2", "--mem=0", "--time=1", args=("c", "35", "1"))
    assert user.ended(job, within_s=300)["JobState"] == "COMPLETED", user.log(job)
    assert "is queued again" in user.log(job)
    assert expected_total(35) in user.log(job).splitlines()


def test_a_node_taken_down_ends_in_the_answer_of_an_undisturbed_run(user: User) -> None:
    done = user.submit(STEPS, "-N3", "--ntasks-per-node", "2", "-t5", "--restarts", "1", args=("d", "25", "0.3"))
    job = done.stdout.split()[1]
    user.wait_for(job, "finished 5")
    try:
        user.cluster.power_off("n3")
        assert user.ended(job, within_s=100)["JobState"] == "COMPLETED", user.log(job)
    finally:
        user.cluster.power_on("n3")
    assert "starting the program again on the hosts that are left (n1, n2), with 4 ranks (restart 1 of 1)" in user.log(job)
    assert "resuming after iteration" in user.log(job)
    assert expected_total(25) in user.log(job).splitlines()
