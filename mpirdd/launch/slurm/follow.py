"""Following a batch job of Slurm to its end: its state, its log, its exit code."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from mpirdd.protocol.errors import ClusterError

COMMAND_TIMEOUT_S = 60.0
"""A command of Slurm may take at most this long."""
NO_INDEX = "4294967294"
"""Slurm shows this as the index of an array's jobs that have not started yet."""
_LOOK_S = 2.0
_FORGOTTEN = "Invalid job id"
"""How Slurm's commands say that they do not know the job any more."""
_OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE", "PREEMPTED")


def follow(job: str) -> int:
    """Print the job's log until the job has ended. Returns its exit code; for an array, the largest one.

    Raises:
        ClusterError: Slurm does not know any more how the job ended.
    """
    said, logs = "", dict[str, _Log]()
    try:
        while True:
            records = records_of(job)
            over = records is not None and all(_state(record) in _OVER for record in records)
            state = "no answer from Slurm; asking again" if records is None else _described(records)
            if state != said and state:
                print(f"mpirdd: job {job}: {state}", file=sys.stderr, flush=True)
                said = state
            for record in records or ():
                path, index = log_of(record), record.get("ArrayTaskId", "")
                if path and NO_INDEX not in path:
                    logs.setdefault(path, _Log(f"[{index}] " if index else "")).print_new(path)
            if over and _in_queue(job) is False:
                break
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        print(f"\nmpirdd: job {job} goes on without being followed; to end it: scancel {job}, or to let it save "
              f"first: {ending_gently(job)}", file=sys.stderr)
        return 130
    if not records:
        records = [record for record in _accounted(job) if _state(record) in _OVER]
    if not records:
        raise ClusterError(f"Slurm has forgotten job {job}, and sacct does not know its end: how it ended is in its log")
    return max(_exit_code(record) for record in records)


def ending_gently(job: str) -> str:
    """The command that signals the script alone, so mpirun lives until the program has saved."""
    return f"scancel --batch --signal=TERM {job}"


def log_of(record: Mapping[str, str]) -> str:
    """The path of a job's log; with %a for an array that has not started, and with %N before there is a node."""
    node, path = record.get("BatchHost", ""), record.get("StdOut", "")
    if "%N" not in path or not node:
        return path
    host = fields(_ask("scontrol", "show", "node", "-o", node) or "").get("NodeHostName", node)  # a node's name may be another
    return path.replace("%N", host.split(".")[0])  # scontrol leaves this one to the reader


class _Log:
    """Prints a growing file, each line after a mark that names its job."""

    def __init__(self, whose: str) -> None:
        self._whose, self._seen, self._in_line = whose.encode(), 0, False

    def print_new(self, path: str) -> None:
        out = sys.stdout.buffer
        try:
            with open(path, "rb") as file:
                file.seek(self._seen)
                while data := file.read(1 << 20):
                    self._seen += len(data)
                    for line in data.splitlines(keepends=True) if self._whose else [data]:
                        out.write(line if self._in_line else self._whose + line)
                        self._in_line = not line.endswith(b"\n")
        except BrokenPipeError:
            raise
        except OSError:  # not there yet, or not visible from this host
            return
        sys.stdout.flush()


def records_of(job: str) -> list[dict[str, str]] | None:
    """slurmctld's records of the job, one for each job of an array; empty some minutes after its end. None: no answer."""
    text = _ask("scontrol", "show", "job", "-o", job)
    return None if text is None else [fields(line) for line in text.splitlines() if "JobState=" in line]


def fields(line: str) -> dict[str, str]:
    """The keys and values of a line of scontrol. Values may hold blanks.

    >>> fields("JobId=7 JobName=my job Reason=None StdOut=/a/my job-7.log")["StdOut"]
    '/a/my job-7.log'
    """
    return dict(re.findall(r"(\w[\w:/]*)=(.*?)(?=\s+\w[\w:/]*=|\s*$)", line))


def _accounted(job: str) -> list[dict[str, str]]:
    """The same from the accounting, if the site has one."""
    text = _ask("sacct", "-n", "-P", "-X", "-j", job, "-o", "State,ExitCode") or ""
    lines = [line.split("|") for line in text.splitlines()]
    return [{"JobState": line[0].split()[0], "ExitCode": line[1]} for line in lines if len(line) == 2 and line[0]]


def _in_queue(job: str) -> bool | None:
    """None: no answer."""
    text = _ask("squeue", "-h", "-j", job, "-t", "PENDING,RUNNING,SUSPENDED,COMPLETING,REQUEUED", "-o", "%T")
    return None if text is None else bool(text.strip())


def _ask(*words: str) -> str | None:
    """The answer of a command of Slurm: empty if Slurm has forgotten the job, or has no such command. None: no answer, as
    slurmctld may be busy, or just restart."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S)
    except FileNotFoundError:
        return ""
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode and _FORGOTTEN not in done.stderr else done.stdout


def _state(record: Mapping[str, str]) -> str:
    return record.get("JobState", "")


def _described(records: Sequence[Mapping[str, str]]) -> str:
    if len(records) != 1:
        counts: dict[str, int] = {}
        for record in records:
            counts[_state(record)] = counts.get(_state(record), 0) + 1
        return ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    record, state = records[0], _state(records[0])
    restarts = f", restart {record['Restarts']}" if record.get("Restarts", "0") != "0" else ""
    if state == "PENDING":
        reason = record.get("Reason", "None")
        return f"PENDING{restarts}" if reason == "None" else f"PENDING ({reason}){restarts}"
    return f"{state} on {record['NodeList']}{restarts}" if state == "RUNNING" and record.get("NodeList") else state + restarts


def _exit_code(record: Mapping[str, str]) -> int:
    """The exit code as a shell gives it. Slurm says ``code:signal``; a job that Slurm has ended may have 0:0."""
    code, _, number = record.get("ExitCode", "").partition(":")
    if code.isdigit() and int(code):
        return int(code)
    if number.isdigit() and int(number):
        return 128 + int(number)
    return 0 if _state(record) == "COMPLETED" else 1

