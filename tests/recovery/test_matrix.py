"""Never hang: for each event, victim and moment, how the run must end and how soon. ``expected``
and ``BOUNDS_S`` hold both tables.

By default a sample of the cells runs; its seed is printed and changes every day. ``MPIRDD_MATRIX=all`` runs all of them,
``MPIRDD_MATRIX_SEED=17`` the sample of that seed.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
from runs import Runs, Took, matrix_cells, no_mpirun, no_recovery

pytestmark = [pytest.mark.skipif(bool(no_mpirun()), reason=no_mpirun()), pytest.mark.timeout(90)]

EVENTS = ["exception", "sys.exit", "os._exit", "kill -9", "SIGTERM", "SIGINT", "out of memory", "full disk", "full scratch"]
WHO = ["driver", "executor"]
BESIDE = "executor beside a spare"
MOMENTS = ["start-up", "narrow task", "map side", "exchange", "reduce side", "broadcast", "idle", "shutdown"]
TASKS = ["narrow task", "map side", "reduce side", "broadcast"]
"""Where executors run the user's functions; at other moments, what happens does so in another thread of theirs."""
SPILLS = ["narrow task", "map side", "exchange", "reduce side"]
"""Where a scratch disk can turn out to be full."""
DEADLY = ["os._exit", "kill -9", "SIGTERM", "SIGINT"]
WORDS = {"exception": "ValueError: on purpose", "sys.exit": "SystemExit: 7", "out of memory": "MemoryError",
         "full disk": "No space left on device", "full scratch": "the scratch disk is full: "}
RIGHT = "820\n780\n"
STARTED_S = 40.0
"""Until the event, on a busy machine: five Pythons and MPIs start on two cores."""
BOUNDS_S = {
    "a function raises": 6.0,
    "the driver ends itself": 8.0,
    "nobody is lost": 10.0,
    "an executor is lost": 10.0,
    "the run is lost": 10.0,
    "at start-up": 8.0,
    "at shutdown": 6.0,
}
"""From the event to the end of ``mpirdd run``, by kind of cell. What is done in that time, and what it took at most on two
cores with a load of 15:

a function raises (2.5 s): the driver is told, ends the job, closes its ``with`` block, and all leave MPI.
the driver ends itself (3.7 s): likewise; after SIGTERM it may take 2 s of grace and 1 s.
nobody is lost (2.8 s): a thread of an executor raises, which is printed or takes the executor along; the program goes on.
an executor is lost (2.3 s): that is noticed within 0.5 s, the others make what it had, the program goes on to its end.
the run is lost (1.7 s): 10 s are promised for the loss of the driver, and of any rank where the MPI cannot go on.
at start-up (2.4 s): ``mpirdd run`` waits 1 s for MPI to notice, 1.5 s for mpirun to end after SIGTERM, and as long after SIGKILL.
at shutdown (2.0 s): the program is through; the others leave MPI without the dead.
"""


@dataclass(frozen=True)
class End:
    """How a run must end."""

    kind: str
    """Of ``BOUNDS_S``."""
    codes: range
    words: str = ""
    """Must stand on stderr."""
    out: str | None = None
    """What must stand on stdout; None if that does not matter."""
    lost: int = 0
    """Executors that it may go on without."""


SUCCESS = range(1)
FAILURE = range(1, 256)


def expected(event: str, who: str, moment: str) -> End | None:
    """None where the event cannot happen then."""
    if event == "full scratch":
        return End("a function raises", range(1, 2), WORDS[event]) if who == "executor" and moment in SPILLS else None
    if event in WORDS and (who, moment) == ("executor", "start-up"):
        # No function of the user runs there yet. (sys.exit is what os._exit is.)
        return End("at start-up", FAILURE, "rank ") if event == "sys.exit" else None
    if who == "driver":
        if event == "kill -9":
            return End("the run is lost", FAILURE, "was lost, and the run with it")
        if event == "os._exit" and no_recovery():
            return End("the run is lost", FAILURE)
        code = {"sys.exit": 7, "os._exit": 7, "SIGTERM": 143, "SIGINT": 130}.get(event, 1)
        return End("the driver ends itself", range(code, code + 1), "" if event == "sys.exit" else WORDS.get(event, ""))
    if moment == "start-up":
        return End("at start-up", FAILURE, "rank " if no_recovery() else "rank 2")
    if moment == "shutdown":
        return End("at shutdown", SUCCESS, out=RIGHT, lost=1)
    if event in DEADLY:
        if no_recovery():
            return End("the run is lost", FAILURE, "rank ")
        return End("an executor is lost", SUCCESS, out=RIGHT, lost=1)
    if moment in TASKS:
        return End("a function raises", range(1, 2), WORDS[event])
    return End("nobody is lost", SUCCESS, out=RIGHT, lost=0 if no_recovery() else 1)


CELLS = [cell for cell in product(EVENTS, WHO, MOMENTS) if expected(*cell) is not None]
CELLS += [] if no_recovery() else [(event, BESIDE, moment) for event in ("kill -9", "SIGTERM") for moment in MOMENTS]

JOB = """
import atexit, resource
EVENT, WHO, MOMENT = {event!r}, {who!r}, {moment!r}

def happening():
    touch("happened")

def reach():
    '''The moment at which the driver is hit: whoever comes there stays until then.'''
    if WHO == "driver":
        touch("reached")
        wait_for_file("happened")

def happen():
    happening()
    if EVENT == "exception":
        raise ValueError("on purpose")
    if EVENT == "sys.exit":
        sys.exit(7)
    if EVENT == "os._exit":
        os._exit(7)
    if EVENT == "full disk":
        with open("full/file", "wb") as file:
            file.write(bytes(8 << 20))
    if EVENT == "out of memory":
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (16 << 20), resource.RLIM_INFINITY))
        bytearray(1 << 30)
    os.kill(os.getpid(), getattr(signal, {{"kill -9": "SIGKILL"}}.get(EVENT, EVENT)))

def here(moment):
    return (WHO, MOMENT) == ("executor", moment) and times("event") == 0

def at(moment):
    def function(partition, records):
        for place, record in enumerate(records):
            if partition == 3 and place == 1 and here(moment):
                happen()
            if place == 1 and MOMENT == moment:
                reach()
            yield record
    return function

def later(partition, records):
    if partition == 3 and here(MOMENT):
        atexit.register(happen) if MOMENT == "shutdown" else threading.Thread(target=when_idle).start()
    return records

def when_idle():
    wait_for_file("idle")
    happen()

def inside_exchange():
    if here("exchange"):
        thread = threading.Thread(target=happen)
        thread.start()
        thread.join(5)
    reach()

class Table:
    size = 1
    def __setstate__(self, state):
        if here("broadcast"):
            happen()
        reach()
    def __getstate__(self):
        return [1]

def block(x):
    return [(key, np.full(20_000, x)) for key in range(20)]

def much(x):
    '''A MB that does not shrink much.'''
    happening()
    random = np.random.default_rng(x)
    return [(x, random.bytes(1000)) for _ in range(1000)]

def fill_scratch(numbers):
    if MOMENT == "narrow task":
        return numbers.flatMap(much).persist(StorageLevel.DISK_ONLY).count()
    if MOMENT == "map side":
        return numbers.flatMap(much).groupByKey(40).count()
    if MOMENT == "exchange":        # some 0.7 MB of map output on each executor, all of it for one of them
        return numbers.flatMap(lambda x: much(x)[:70]).map(lambda pair: (time.sleep(0.001), pair)).repartition(1).count()
    return numbers.repartition(2).flatMap(much).map(lambda pair: pair[1]).sortBy(lambda text: text, numPartitions=1).count()

def phase(numbers):
    if EVENT == "full scratch":
        return fill_scratch(numbers)
    if MOMENT == "narrow task":
        return numbers.mapPartitionsWithIndex(at(MOMENT)).sum()
    if MOMENT == "map side":
        return numbers.mapPartitionsWithIndex(at(MOMENT)).map(lambda x: (x % 7, x)).reduceByKey(add, 4).values().sum()
    if MOMENT == "reduce side":
        grouped = numbers.map(lambda x: (x, x)).groupByKey(5).mapPartitionsWithIndex(at(MOMENT))
        return grouped.mapValues(sum).values().sum()
    if MOMENT == "broadcast":
        table = sc.broadcast(Table())
        return numbers.map(lambda x: x * table.value.size).sum()
    if MOMENT == "exchange":
        sc._driver.on_every_executor(lambda: before_buffer(20, inside_exchange))
        sums = numbers.flatMap(block).reduceByKey(add, 4)       # 130 MB
        return sums.mapValues(lambda a: int(a[-1]) // 20).values().sum()
    total = numbers.mapPartitionsWithIndex(later).sum()
    if MOMENT == "idle":
        touch("idle")
        reach()
        wait_for_file("happened")
        time.sleep(0.5)         # the driver is idle while it sinks in
    return total

def happen_when_reached():
    wait_for_file("reached")
    os.kill(os.getpid(), signal.SIGALRM)

def arm():
    signal.signal(signal.SIGALRM, lambda *_: happen())
    threading.Thread(target=happen_when_reached, daemon=True).start()

if (WHO, MOMENT) == ("driver", "start-up"):
    happen()
spilling = dict(memory=1 << 20, scratch="full") if EVENT == "full scratch" else {{}}
with Context(exchange_bytes=1 << 16, **spilling) as sc:
    sc.parallelize(range(4), 4).count()
    if WHO == "driver" and MOMENT not in ("start-up", "shutdown"):
        arm()
    print(phase(sc.parallelize(range(1, 41), 8)))
    print(sc.parallelize(range(40), 8).sum(), flush=True)
if (WHO, MOMENT) == ("driver", "shutdown"):
    happen()
"""
EXECUTOR_START = """
import os, signal, sys
EVENT = {event!r}
if os.environ.get("OMPI_COMM_WORLD_RANK", os.environ.get("PMI_RANK")) == "2":
    open("happened", "a").close()
    if EVENT == "sys.exit":
        sys.exit(7)
    if EVENT == "os._exit":
        os._exit(7)
    os.kill(os.getpid(), getattr(signal, {{"kill -9": "SIGKILL"}}.get(EVENT, EVENT)))
"""
"""A sitecustomize.py, which Python runs before anything else."""


@pytest.fixture
def full_disk(runs: Runs) -> object:
    """A file system of 1 MB at ``full``."""
    folder = runs.folder / "full"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize(("event", "who", "moment"), matrix_cells(CELLS), ids=str)
def test_the_run_ends_as_expected(
    runs: Runs, took: Took, request: pytest.FixtureRequest, event: str, who: str, moment: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    options = ["--spares", "1"] if who == BESIDE else []
    who = who.partition(" ")[0]
    end = expected(event, who, moment)
    assert end is not None
    if event.startswith("full "):
        request.getfixturevalue("full_disk")
    if (who, moment) == ("executor", "start-up"):
        folder = tmp_path_factory.mktemp("site")
        (folder / "sitecustomize.py").write_text(EXECUTOR_START.format(event=event))
        runs.environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(Path(__file__).parents[2])])
    bound_s = BOUNDS_S[end.kind]
    started = runs.start(JOB.format(event=event, who=who, moment=moment), *options)
    happened = started.wait_for_file(runs.folder / "happened", STARTED_S)
    done = started.done(happened + bound_s - time.time())
    took.note(end.kind, time.time() - happened, f"{event}, {who}, {moment}")
    assert done.code in end.codes, (done.code, done.err)
    assert end.words in done.err, done.err
    assert end.out in (None, done.out), (done.out, done.err)
    assert len(done.lost()) <= end.lost, done.err


def test_output_to_a_full_disk_fails_and_leaves_nothing_half(runs: Runs, full_disk: Path) -> None:
    done = runs("""
with Context() as sc:
    try:
        sc.parallelize(["x" * 1000] * 8000, 8).saveAsTextFile("full/out")
    except Exception as error:
        print(type(error).__name__, "No space left on device" in str(error), os.listdir("full"))
    print(sc.parallelize(range(40), 8).sum())
""")
    assert (done.code, done.out) == (0, "TaskError True []\n780\n"), (done.out, done.err)
