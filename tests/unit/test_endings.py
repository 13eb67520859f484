"""How processes have ended, from the kernel's files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mpirdd.executor.stacks import fatal_error, main_stack, readable
from mpirdd.observe.endings import Ending, MemoryKills, in_kernel_log, killed_for_memory, memory_counts

FAULT = """Fatal Python error: Segmentation fault

Stack (most recent call first):
  File "/usr/lib/python3/ctypes/__init__.py", line 519 in string_at
  File "{here}", line 3 in fails
  File "{engine}", line 5 in run_task

Extension modules: numpy.core (total: 1)
"""


def test_the_cgroups_count_of_kills_is_found_in_both_versions(tmp_path: Path) -> None:
    for version, line, folder, name in (
        ("v2", "0::/job/step\n", "sys/fs/cgroup/job/step", "memory.events"),
        ("v1", "9:name=x:/\n4:memory:/job\n", "sys/fs/cgroup/memory/job", "memory.oom_control"),
    ):
        root = tmp_path / version
        (root / "proc" / "7").mkdir(parents=True)
        (root / "proc" / "7" / "cgroup").write_text(line)
        assert memory_counts(7, root=str(root)) == ""
        (root / folder).mkdir(parents=True)
        (root / folder / name).write_text("oom 9\nunder_oom 0\noom_kill 2\n")
        found = memory_counts(7, root=str(root))
        assert found.endswith(name) and killed_for_memory(found) == 2
    assert killed_for_memory("") == -1


def test_a_kill_for_memory_explains_one_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = tmp_path / "memory.events"
    counts.write_text("oom_kill 2\n")
    monkeypatch.setattr("mpirdd.observe.endings.memory_counts", lambda pid: str(counts))
    monkeypatch.setattr("mpirdd.observe.endings.in_kernel_log", lambda pid: False)
    monkeypatch.setattr(Ending, "_status", lambda self: signal.SIGKILL)
    kills = MemoryKills()
    first, second, third = (Ending(os.getpid(), kills) for _ in range(3))
    counts.write_text("oom_kill 3\n")
    told = [ending.told() for ending in (first, second, first, third)]
    assert ["its cgroup" in (each or "") for each in told] == [True, False, True, False]
    later = Ending(os.getpid(), kills)
    counts.write_text("oom_kill 4\n")
    assert "its cgroup" in (later.told() or "")


def test_the_kernels_log_names_the_process(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    log.write_text("6,1;x\n3,2;Memory cgroup out of memory: Killed process 1234 (python) total-vm:1kB\n")
    assert in_kernel_log(1234, str(log)) and not in_kernel_log(123, str(log)) and not in_kernel_log(1, str(tmp_path / "absent"))


def test_a_faults_stack_becomes_a_traceback_without_the_engine(tmp_path: Path) -> None:
    from mpirdd.executor import task

    text = FAULT.format(here=__file__, engine=task.__file__)
    assert fatal_error(text) == "Segmentation fault" and fatal_error("Stack") == ""
    assert list(readable(text)) == [
        f'  File "{__file__}", line 3, in fails', "    from __future__ import annotations",
        '  File "/usr/lib/python3/ctypes/__init__.py", line 519, in string_at']


def test_the_stack_that_a_rank_tells_of_itself_reads_alike() -> None:
    told = list(readable(main_stack()))
    assert told[-2:] == [
        f'  File "{__file__}", line {told_line()}, in test_the_stack_that_a_rank_tells_of_itself_reads_alike',
        "    told = list(readable(main_stack()))"]


def told_line() -> int:
    return test_the_stack_that_a_rank_tells_of_itself_reads_alike.__code__.co_firstlineno + 1


JUST_BEGUN = """
import os
import subprocess
import sys
from mpirdd.executor.stacks import Seen
begun = os.memfd_create("mpirdd-rank-4")
before = len(os.listdir("/proc/self/fd"))
print(Seen.of(os.getpid()), len(os.listdir("/proc/self/fd")) - before)
"""


def test_a_rank_that_has_just_begun_has_no_note_yet() -> None:
    """In a process of its own: other tests have made executors in this one, which have notes."""
    done = subprocess.run([sys.executable, "-c", JUST_BEGUN], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("None 0\n", "")
