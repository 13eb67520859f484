"""Executors die at chosen moments: the answer is right, the exit code 0, and stderr names the loss
and no more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from runs import Done, Runs, no_recovery

pytestmark = [pytest.mark.skipif(bool(no_recovery()), reason=no_recovery()), pytest.mark.timeout(120)]


def assert_survived(done: Done, out: str, lost: int) -> None:
    assert (done.code, done.out) == (0, out), done.err
    assert len(set(done.lost())) == len(done.lost()) == lost, done.err
    assert done.noise() == []


def test_in_a_narrow_task(runs: Runs) -> None:
    done = runs("""
with Context() as sc:
    print(sc.parallelize(range(40), 8).mapPartitionsWithIndex(die_at(3, "narrow")).map(lambda x: x * x).sum())
""")
    assert_survived(done, "20540\n", 1)


def test_by_its_own_exit_in_a_task(runs: Runs) -> None:
    done = runs("""
def leave(x):
    if x == 7 and times("exit") == 0:
        os._exit(3)
    return x
with Context() as sc:
    print(sc.parallelize(range(40), 8).map(leave).sum())
""")
    assert_survived(done, "780\n", 1)


def test_an_exit_in_a_task_is_told_as_that(runs: Runs) -> None:
    done = runs("""
def leave(x):
    if x == 7 and times("exit") == 0:
        os._exit(7)
    return x
with Context() as sc:
    print(sc.parallelize(range(40), 8).map(leave).sum())
""")
    assert (done.code, done.out) == (0, "780\n")
    assert "a task called os._exit(7) there" in done.err and "signal" not in done.err


@pytest.mark.parametrize("way", ["os._exit(7)", "os.kill(os.getpid(), signal.SIGKILL)"])
@pytest.mark.parametrize("parts", [8, 200])
def test_a_task_that_ends_every_executor_fails_its_job_after_two(runs: Runs, way: str, parts: int) -> None:
    done = runs(f"""
def leave(x):
    if x == 3:
        {way}
    return x
with Context() as sc:
    try:
        sc.parallelize(range({parts}), {parts}).map(leave).sum()
    except Exception as error:
        print(type(error).__name__, "2 executors died while this task ran there" in str(error), "partition 3," in str(error))
    print(sc.parallelize(range(10), 4).sum())
""")
    assert (done.code, done.out) == (0, "TaskError True True\n45\n")
    assert len(done.lost()) == 2


def test_while_writing_map_output(runs: Runs) -> None:
    done = runs("""
with Context() as sc:
    pairs = sc.parallelize([(x % 7, x) for x in range(700)], 8).mapPartitionsWithIndex(die_at(5, "map"))
    print(sorted(pairs.reduceByKey(add, 5).collect()))
""")
    assert_survived(done, f"{[(key, sum(range(key, 700, 7))) for key in range(7)]}\n", 1)


def test_on_the_reduce_side(runs: Runs) -> None:
    done = runs("""
with Context() as sc:
    pairs = sc.parallelize([(x % 7, x) for x in range(700)], 8).groupByKey(3)
    print(sorted(pairs.mapPartitionsWithIndex(die_at(1, "reduce")).mapValues(sum).collect()))
""")
    assert_survived(done, f"{[(key, sum(range(key, 700, 7))) for key in range(7)]}\n", 1)


EXCHANGE = """
def block(i):
    return [(key, np.full(160_000, i)) for key in range(20)]        # 25 MB a map task: 100 MB in all
with Context(exchange_bytes=1 << 14) as sc:
    in_exchange({number}, die_together({ranks}), {first})
    sums = sc.parallelize(range(4), 4).flatMap(block).reduceByKey(add, 4).mapValues(lambda a: int(a.min() + a.max()))
    print(sorted(sums.collect()))
"""


@pytest.mark.parametrize(("buffer", "ranks"), [(1, [2]), (700, [4]), (3000, [1]), (40, [1, 3]), (2000, [2, 4])])
def test_inside_an_exchange_of_100_mb(runs: Runs, buffer: int, ranks: list[int]) -> None:
    """Each executor gets some 5,000 buffers. The first of ``ranks`` ends all of them."""
    done = runs(EXCHANGE.format(number=buffer, ranks=", ".join(map(str, ranks)), first=ranks[0]))
    assert_survived(done, f"{[(key, 12) for key in range(20)]}\n", len(ranks))
    assert sorted(done.lost()) == ranks, done.err


def test_between_jobs_and_between_stages(runs: Runs) -> None:
    done = runs("""
with Context() as sc:
    pairs = sc.parallelize([(x % 7, x) for x in range(700)], 8).reduceByKey(add, 5).cache()
    first = sorted(pairs.collect())
    kill(2)
    again = sorted(pairs.map(lambda kv: (kv[0] % 2, kv[1])).reduceByKey(add).collect())
    kill(1)
    wait_until(lambda: is_dead(1))
    print(first == sorted(pairs.collect()), again)
""")
    odd = sum(x for x in range(700) if x % 7 % 2)
    assert_survived(done, f"True {[(0, sum(range(700)) - odd), (1, odd)]}\n", 2)


def test_while_it_takes_a_broadcast(runs: Runs) -> None:
    done = runs("""
class Table:
    def __init__(self, size): self.size = size
    def __setstate__(self, state):
        self.__dict__ = state
        die("broadcast")
with Context() as sc:
    table = sc.broadcast(Table(1000))
    print(sc.parallelize(range(8), 8).map(lambda x: x + table.value.size).sum())
""")
    assert_survived(done, "8028\n", 1)


@pytest.mark.parametrize("moment", ["attach", "BroadcastReceiver._hold", "BroadcastReceiver.value"])
def test_while_100_mb_are_broadcast(runs: Runs, moment: str) -> None:
    """Before the executor opens the shared memory, before it says that it has it, before its first task looks at it."""
    owner, _, name = f"broadcast.{moment}".rpartition(".")
    done = runs(f"""
def die_before():
    from mpirdd.comm import broadcast
    if my_rank() == 2:
        before_call({owner}, {name!r}, 1, lambda: os.kill(os.getpid(), signal.SIGKILL))
with Context() as sc:
    sc.parallelize(range(4), 4).count()
    sc._driver.on_every_executor(die_before)
    table = sc.broadcast(np.arange(12_500_000))
    print(sc.parallelize(range(8), 8).map(lambda x: int(table.value[x])).sum())
""")
    assert_survived(done, "28\n", 1)


def test_in_a_tree_reduce(runs: Runs) -> None:
    done = runs("""
def combine(a, b):
    if max(a, b) > 2_000:
        die("tree")
    return a + b
with Context() as sc:
    print(sc.parallelize(range(100), 16).treeReduce(combine, 3))
""")
    assert_survived(done, "4950\n", 1)


def test_while_caching_and_in_later_iterations(runs: Runs) -> None:
    done = runs("""
with Context() as sc:
    points = sc.parallelize(range(800), 8).mapPartitionsWithIndex(die_at(6, "cache")).cache()
    for turn in range(6):
        print(points.mapPartitionsWithIndex(die_at(turn, f"turn {turn}", turn in (2, 4))).map(lambda x: x * turn).sum())
""")
    assert_survived(done, "".join(f"{turn * sum(range(800))}\n" for turn in range(6)), 3)


def test_during_the_recovery_from_another_loss(runs: Runs) -> None:
    """Recomputing what the first took along kills the second, and so on to the third."""
    done = runs("""
def fragile(partition, records):
    if times(f"made {partition}") > 0:
        die("recovery", 2)
    return records
with Context(most_losses=0) as sc:
    pairs = sc.parallelize([(x % 7, x) for x in range(700)], 8).mapPartitionsWithIndex(fragile)
    sums = pairs.reduceByKey(add, 8)
    print(sums.count())
    kill(3)
    print(sorted(sums.collect()))
""")
    assert_survived(done, f"7\n{[(key, sum(range(key, 700, 7))) for key in range(7)]}\n", 3)


def test_two_at_once(runs: Runs) -> None:
    done = runs("""
with Context() as sc:
    pairs = sc.parallelize([(x % 7, x) for x in range(700)], 8).reduceByKey(add, 5)
    print(pairs.count())
    kill(1, 4)
    print(sorted(pairs.collect()))
""")
    assert_survived(done, f"7\n{[(key, sum(range(key, 700, 7))) for key in range(7)]}\n", 2)


def test_one_after_the_other_until_one_is_left(runs: Runs) -> None:
    done = runs("""
with Context(most_losses=0) as sc:
    pairs = sc.parallelize([(x % 7, x) for x in range(700)], 8).mapPartitionsWithIndex(die_at(2, "one by one", 3))
    print(sorted(pairs.reduceByKey(add, 5).join(pairs.groupByKey().mapValues(len)).collect()))
""")
    assert_survived(done, f"{[(key, (sum(range(key, 700, 7)), 100)) for key in range(7)]}\n", 3)


def test_all_of_them_is_a_clear_error(runs: Runs) -> None:
    done = runs("""
with Context(most_losses=0) as sc:
    print(sc.parallelize(range(40), 8).mapPartitionsWithIndex(die_at(2, "all", 99)).sum())
""", ranks=4)
    assert (done.code, done.out) == (1, "")
    assert sorted(done.lost()) in ([1, 2], [1, 3], [2, 3], [1, 2, 3])
    assert "ClusterError: sum at job.py:" in done.err and "all executors are lost" in done.err


def test_an_error_after_all_were_lost_can_be_caught_and_the_program_goes_on(runs: Runs) -> None:
    done = runs("""
from mpirdd import ClusterError
with Context() as sc:
    kill(1, 2)
    try:
        sc.parallelize(range(40), 8).sum()
    except ClusterError:
        print("caught")
print("end")
""", ranks=3)
    assert_survived(done, "caught\nend\n", 2)


@pytest.mark.parametrize("ranks", ["1", "1, 2", "1, 2, 3, 4"])
def test_in_shutdown(runs: Runs, ranks: str) -> None:
    done = runs(f"""
import atexit
with Context() as sc:
    print(sc.parallelize(range(40), 8).sum())
    atexit.register(kill, {ranks})
""")
    assert (done.code, done.out, done.noise()) == (0, "780\n", [])


@pytest.mark.parametrize("rank", [1, 4])
def test_just_before_the_context_stops(runs: Runs, rank: int) -> None:
    done = runs(f"""
with Context() as sc:
    print(sc.parallelize(range(40), 8).sum())
    kill({rank})
""")
    assert (done.code, done.out, done.noise()) == (0, "780\n", [])


START_UP = """
import os, signal, sys
from importlib.machinery import PathFinder

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

class Finder:
    def find_spec(self, name, path, target=None):
        if name != {module!r}:
            return None
        if not {method!r}:
            die()
        spec = PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (load(module), setattr(module.Executor, {method!r}, die))
        return spec

if os.environ.get("OMPI_COMM_WORLD_RANK") == "{rank}":
    if not {module!r}:
        die()
    sys.meta_path.insert(0, Finder())
"""
"""A sitecustomize.py, which Python runs before anything else: one rank ends when it imports the module, or when it calls
the method of the module's ``Executor``."""


@pytest.mark.parametrize(("rank", "module", "method", "survives"), [
    (1, "", "", False),
    (4, "mpirdd.launch.process", "", False),
    (2, "mpi4py.MPI", "", False),
    (3, "mpirdd.launch.world", "", False),
    (3, "mpirdd.executor.executor", "", True),  # each rank imports it once there is a world
    (1, "mpirdd.executor.executor", "__init__", True),
    (3, "mpirdd.executor.executor", "_start", True),
])
def test_in_start_up_it_survives_or_says_what_was_lost(
    runs: Runs, tmp_path_factory: pytest.TempPathFactory, rank: int, module: str, method: str, survives: bool
) -> None:
    """While MPI itself starts nobody survives a loss; once there is a world, the others go on."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(START_UP.format(module=module, method=method, rank=rank))
    runs.environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(Path(__file__).parents[2])])
    done = runs("with Context() as sc:\n    print(sc.parallelize(range(40), 8).sum())\n")
    if survives:
        assert (done.code, done.out, done.noise()) == (0, "780\n", []), done.err
    else:
        assert done.code != 0
        assert f"rank {rank}" in done.err, done.err
        assert len(done.noise()) == 1, done.err


def test_at_a_barrier(runs: Runs) -> None:
    done = runs("""
from mpirdd import BarrierTaskContext
def talk(records):
    total = sum(records)
    if total == 12:
        die("barrier")
    said = BarrierTaskContext.get().allGather(str(total))
    BarrierTaskContext.get().barrier()
    yield sum(map(int, said))
with Context() as sc:
    print(sc.parallelize(range(10), 3).barrier().mapPartitions(talk).collect())
""")
    assert_survived(done, "[45, 45, 45]\n", 1)


def test_of_a_kept_barrier_stage_all_runs_again(runs: Runs) -> None:
    """Alone, the lost tasks would wait for tasks whose partitions are kept, or talk to nobody."""
    done = runs("""
from mpirdd import BarrierTaskContext
def talk(records):
    yield sum(map(int, BarrierTaskContext.get().allGather(str(sum(records)))))
with Context() as sc:
    kept = sc.parallelize(range(10), 3).barrier().mapPartitions(talk).cache()
    shuffled = kept.map(lambda total: (total, 1)).reduceByKey(add, 3)
    print(kept.collect(), shuffled.collect())
    kill(*sc._driver._loop.scheduler._state.locations.indexes("rdd", kept._node.id)[1])
    print(kept.map(lambda total: total + 1).collect(), shuffled.collect())
""")
    assert_survived(done, "[45, 45, 45] [(45, 3)]\n[46, 46, 46] [(45, 3)]\n", 1)


def test_while_it_sends_a_large_result(runs: Runs) -> None:
    done = runs("""
with Context() as sc:
    def die_sending(rank):
        from mpirdd.executor.reports import Reports
        report = Reports.send
        def report_and_die(reports):
            results = reports.waiting
            report(reports)
            if results and my_rank() == rank:       # the sends have begun
                os.kill(os.getpid(), signal.SIGKILL)
        Reports.send = report_and_die
    rdd = sc.parallelize(range(8), 8).map(lambda x: np.full(2_500_000, x))     # 160 MB in all
    for rank in (1, 2):
        sc._driver.on_every_executor(lambda: die_sending(rank))
        print(sum(int(a[-1]) for a in rdd.collect()))
""")
    assert (done.code, done.out, done.noise()) == (0, "28\n28\n", []), done.err
    assert set(done.lost()) <= {1, 2}
