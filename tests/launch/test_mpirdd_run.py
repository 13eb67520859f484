"""``mpirdd run`` on real ranks: input, output, and nothing left behind."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from launcher import with_mpirun

from mpirdd.launch.mpirun import find_launcher

ROOT = Path(__file__).parents[2]


pytestmark = [with_mpirun, pytest.mark.timeout(60)]


@dataclass
class Runs:
    """Starts ``mpirdd run`` in a folder, and finds processes of those runs by a mark in their environment."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return {**os.environ, "PYTHONPATH": path, "RUNS_MARK": self.mark, "TMPDIR": str(self.folder)}

    def command(self, text: str, *args: str, ranks: int = 3) -> list[str]:
        (self.folder / "job.py").write_text(text)
        return [sys.executable, "-m", "mpirdd", "run", "-n", str(ranks), "job.py", *args]

    def start(self, text: str, *args: str, ranks: int = 3) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(text, *args, ranks=ranks),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __call__(self, text: str, *args: str, ranks: int = 3, stdin: str = "") -> tuple[int, str, str]:
        child = self.start(text, *args, ranks=ranks)
        out, err = child.communicate(stdin, timeout=50)
        return child.returncode, out, err

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def left(self) -> list[int]:
        """Processes that still live 10 s after the run: killed ranks and the launcher's helpers take a moment to go, a
        longer one on a busy machine."""
        deadline = time.monotonic() + 10
        while (pids := list(self._marked())) and time.monotonic() < deadline:
            time.sleep(0.02)
        return pids

    def ranks_started(self) -> int:
        """How many processes MPI has given a rank so far."""
        found = 0
        for pid in self._marked():
            with suppress(OSError):
                found += any(name in Path(f"/proc/{pid}/environ").read_bytes() for name in (b"COMM_WORLD_RANK=", b"PMI_RANK="))
        return found

    def _marked(self) -> Iterator[int]:
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and self.mark.encode() in Path("/proc", entry, "environ").read_bytes():
                    yield int(entry)
            except OSError:
                pass


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    runs = Runs(tmp_path)
    yield runs
    left = runs.left()
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not left
    assert [name for name in os.listdir(tmp_path) if name.startswith("mpirdd-")] == []


SQUARES = """
from mpirdd import Context
with Context() as sc:
    print(sc.parallelize(range(10)).map(lambda x: x * x).sum())
"""
UP_AND_WAIT = """
import time
from mpirdd import Context
sc = Context()
sc.parallelize(range(10)).sum()
print("up", flush=True)
for _ in range(600):  # a signal right after the line may miss the sleep, which then goes on
    time.sleep(0.1)
"""
BUSY_EXECUTORS = """
import time
from mpirdd import Context
sc = Context()
print("up", flush=True)
sc.parallelize(range(10)).foreach(lambda x: time.sleep(60))
"""


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_a_job_prints_its_result_and_nothing_else(runs: Runs, ranks: int) -> None:
    assert runs(SQUARES, ranks=ranks) == (0, "285\n", "")


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize(
    ("last_line", "code", "said"),
    [("sys.exit(3)", 3, ""), ("sys.exit('bye')", 1, "bye\n"), ("pass", 0, "")],
)
def test_the_exit_code_is_the_programs(runs: Runs, ranks: int, last_line: str, code: int, said: str) -> None:
    assert runs(f"{SQUARES}\nimport sys\n{last_line}", ranks=ranks) == (code, "285\n", said)


def test_an_exception_gives_1_and_the_programs_own_traceback_once(runs: Runs) -> None:
    code, out, err = runs("def f():\n    1 / 0\nprint('x')\nf()")
    assert (code, out) == (1, "x\n")
    assert err.count("Traceback") == 1
    assert err.splitlines()[1].endswith('job.py", line 4, in <module>')
    assert err.endswith("ZeroDivisionError: division by zero\n")


def test_an_exit_before_any_context_ends_all_ranks(runs: Runs) -> None:
    assert runs("import sys; sys.exit(5)") == (5, "", "")


@pytest.mark.parametrize("code", [0, 7])
def test_a_driver_that_leaves_by_os_exit_gives_its_code(runs: Runs, code: int) -> None:
    assert runs(f"import os; os._exit({code})") == (code, "", "")


def test_a_driver_killed_by_a_signal_is_no_success(runs: Runs) -> None:
    code, _, err = runs("import os; os.kill(os.getpid(), 9)")
    assert code != 0
    # MPICH ends all ranks in the moment in which one dies, and reports any of them.
    said = "the driver (rank 0) was lost" if find_launcher().kind == "Open MPI" else "or another one"
    assert (said in err or "the driver (rank 0) was lost" in err) and len(err.splitlines()) == 1, err


def test_arguments_reach_the_program_untouched(runs: Runs) -> None:
    words = ["-n", "--help", "--", "a b", "", "*", "-m", "'\""]
    _, out, _ = runs("import sys, json; print(json.dumps(sys.argv))", *words)
    assert json.loads(out) == ["job.py", *words]


def test_a_module_is_run_by_m(runs: Runs) -> None:
    command = runs.command("import sys; print(sys.argv[1:], __spec__.name, __name__)")
    command[-1:] = ["-m", "job", "-n", "7"]
    done = runs.run(command)
    assert (done.returncode, done.stdout) == (0, "['-n', '7'] job __main__\n")


def test_a_program_behind_a_link_finds_the_modules_beside_it(runs: Runs) -> None:
    command = runs.command("""
import beside
from mpirdd import Context
with Context() as sc:
    print(sc.range(4).map(beside.following).sum())
""")
    (runs.folder / "beside.py").write_text("def following(number):\n    return number + 1\n")
    links = runs.folder / "links"
    links.mkdir()
    (links / "link.py").symlink_to(runs.folder / command[-1])
    command[-1] = str(links / "link.py")
    done = runs.run(command)
    assert (done.returncode, done.stdout) == (0, "10\n"), done.stderr


def test_standard_input_reaches_the_driver_whole_and_ends(runs: Runs) -> None:
    text = "".join(f"{i}\n" for i in range(100_000))  # 0.6 MB: Open MPI's own forwarding repeats or hangs
    count = "import sys, hashlib; print(hashlib.md5(sys.stdin.buffer.read()).hexdigest())"
    import hashlib

    assert runs(count, stdin=text) == (0, hashlib.md5(text.encode()).hexdigest() + "\n", "")


def test_standard_input_is_not_read_ahead(runs: Runs) -> None:
    child = subprocess.Popen(
        ["sh", "-c", '"$@"; head -n 1', "sh", *runs.command("import os; print(os.read(0, 6))")],
        cwd=runs.folder,
        env=runs.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.communicate("first\nsecond\n", timeout=50)[0] == "b'first\\n'\nsecond\n"


def test_bytes_on_stdout_arrive_as_they_are_and_a_pipe_is_no_terminal(runs: Runs) -> None:
    child = subprocess.run(
        runs.command("import sys, os; os.isatty(1) or sys.stdout.buffer.write(bytes(range(256)) * 1000)"),
        cwd=runs.folder,
        env=runs.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=50,
    )
    assert child.stdout == bytes(range(256)) * 1000


def wait_for(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdout is not None
    while (read := child.stdout.readline()) != line:
        assert read, child.communicate()[1]


@pytest.mark.parametrize("text", [UP_AND_WAIT, BUSY_EXECUTORS], ids=["idle", "busy"])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
@pytest.mark.parametrize("to", ["process", "group"])
def test_a_signal_ends_all_ranks_within_5_seconds(
    runs: Runs, text: str, number: signal.Signals, code: int, to: str
) -> None:
    child = runs.start(text)
    wait_for(child, "up\n")
    (os.kill if to == "process" else os.killpg)(child.pid, number)
    assert child.wait(20) == code
    assert runs.left() == []


@pytest.mark.parametrize("words", [("-n", "100000"), ("-n", "2", "--spares", "100000")], ids=" ".join)
def test_more_ranks_than_the_host_holds_are_refused_with_numbers(runs: Runs, words: tuple[str, ...]) -> None:
    """mpirun tries for minutes. (Only Open MPI has spares.)"""
    if "--spares" in words and find_launcher().kind != "Open MPI":
        pytest.skip("no spares with this MPI")
    (runs.folder / "job.py").write_text("print('runs')")
    ended = runs.run([sys.executable, "-m", "mpirdd", "run", *words, "job.py"])
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    assert re.fullmatch(r"mpirdd: (100000 ranks|2 ranks and 100000 spares) do not fit on this host, which holds at most "
                        r"[\d,]+: .* each, of .*\n", ended.stderr)


def test_ctrl_c_while_the_ranks_start_ends_them(runs: Runs) -> None:
    child = runs.start(UP_AND_WAIT)
    while not runs.ranks_started():
        assert child.poll() is None
        time.sleep(0.002)
    child.send_signal(signal.SIGINT)
    assert child.wait(20) == 130


def test_a_program_can_clean_up_on_ctrl_c(runs: Runs) -> None:
    body = "    ".join(UP_AND_WAIT.splitlines(True)).strip()
    child = runs.start(f"try:\n    {body}\nfinally:\n    print('cleaned up')")
    wait_for(child, "up\n")
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=5)
    assert (child.returncode, out) == (130, "cleaned up\n")
    assert err.endswith("KeyboardInterrupt\n")


def test_kill_9_of_the_launcher_takes_the_ranks_along(runs: Runs) -> None:
    child = runs.start(UP_AND_WAIT)
    wait_for(child, "up\n")
    child.kill()
    child.wait()
    assert runs.left() == []
    for name in os.listdir(runs.folder):  # the private folder stays, as nobody is left to remove it
        if name.startswith("mpirdd-"):
            subprocess.run(["rm", "-r", runs.folder / name], check=True)


def test_kill_9_of_mpirun_takes_the_ranks_along(runs: Runs) -> None:
    child = runs.start(UP_AND_WAIT)
    wait_for(child, "up\n")
    mpirun = int(Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()[0])
    os.kill(mpirun, signal.SIGKILL)
    assert child.wait(20) == 137


def on_a_terminal(runs: Runs, command: list[str], typed: list[tuple[str, str]]) -> tuple[int, str]:
    """Exit code and screen of a command on a terminal; types each text once the screen shows its
    word."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(runs.folder)
        os.execve(command[0], command, runs.environment())
    screen = ""
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # the terminal is closed when the last process has left it
            break
        if not data:
            break
        screen += data.decode()
        if typed and typed[0][0] in screen:
            os.write(terminal, typed.pop(0)[1].encode())
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), screen


def test_a_program_can_ask_on_a_terminal(runs: Runs) -> None:
    text = "import os; print(input('name? ')[::-1], [os.isatty(i) for i in range(3)])"
    code, screen = on_a_terminal(runs, runs.command(text), [("name? ", "reldda\n")])
    assert code == 0
    assert "addler [True, True, True]" in screen


def test_ctrl_c_typed_on_a_terminal_gives_130(runs: Runs) -> None:
    code, screen = on_a_terminal(runs, runs.command(UP_AND_WAIT), [("up", "\x03")])
    assert code == 130
    assert screen.count("Traceback") == 1


def test_settings_reach_the_driver(runs: Runs) -> None:
    command = runs.command("from mpirdd import Context\nprint(Context().defaultParallelism)")
    command[4:4] = ["--parallelism", "17"]
    done = subprocess.run(command, cwd=runs.folder, env=runs.environment(), capture_output=True, text=True)
    assert done.stdout == "17\n"


def test_mode_mapreduce_says_on_stderr_that_cache_is_ignored_once(runs: Runs) -> None:
    command = runs.command("from mpirdd import Context\nsc = Context()\n"
                           "print(sum(sc.range(4).cache().sum() for _ in range(3)))")
    command[4:4] = ["--mode", "mapreduce"]
    done = subprocess.run(command, cwd=runs.folder, env=runs.environment(), capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (0, "18\n")
    assert done.stderr.splitlines()[0].endswith("mode mapreduce: cache() and persist() are accepted, and ignored")
    assert len(done.stderr.splitlines()) == 1


def test_threads_are_capped_before_numpy_is_imported(runs: Runs) -> None:
    text = "import os; print(os.environ['OPENBLAS_NUM_THREADS'], 'MPIRDD_STATUS_FILE' in os.environ)"
    environment = {
        key: value for key, value in runs.environment().items() if not key.endswith("_NUM_THREADS")
    }
    done = subprocess.run(
        runs.command(text), cwd=runs.folder, env=environment, capture_output=True, text=True
    )
    assert done.stdout == "1 False\n"


def test_a_driver_on_another_host_still_tells_its_exit_code(runs: Runs) -> None:
    """With named hosts the launcher must not expect the driver beside it: mpirun carries the
    output."""
    command = runs.command("print('far'); raise SystemExit(4)")
    hosts = "--host localhost:3" if find_launcher().kind == "Open MPI" else "-hosts localhost"
    command[4:4] = [f"--mpi-args={hosts}"]
    done = runs.run(command)
    assert (done.returncode, done.stdout.strip()) == (4, "far"), done.stderr
    assert [name for name in os.listdir(runs.folder) if name.startswith(".mpirdd-")] == []


def test_an_executor_imports_neither_driver_nor_scheduler(runs: Runs) -> None:
    code, out, err = runs("""
import sys
from mpirdd import Context
with Context() as sc:
    folders = ("driver", "scheduler", "observe")
    seen = sc.parallelize(range(2), 2).mapPartitions(lambda _: [[
        name for name in sys.modules if name.startswith(tuple("mpirdd." + folder for folder in folders))]]).collect()
    print(*seen)
""")
    assert (code, out) == (0, "[] []\n"), err
