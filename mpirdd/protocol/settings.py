"""All settings, in one place, each with its unit and default.

The first of these gives a setting: an argument of ``Context``, an environment variable ``MPIRDD_<NAME>`` (which ``mpirdd run``
sets from its options), the default here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Any

from mpirdd.protocol.errors import UsageError

MIB = 1 << 20
Size = int
_PREFIX = "MPIRDD_"
_MODES = ("memory", "mapreduce")
MOST_PARTITIONS = 10_000_000
"""Of an RDD: a scheduler keeps some 200 bytes of each, and a map task a list for each."""
EXCHANGES = ("auto", "collective", "pairwise")
_KINDS = {"bool": "yes or no (1, 0, true, false)", "int": "a whole number", "float": "a number", "str": "a text"}
_NOT_NEGATIVE = ("broadcast_bytes", "report_interval_s", "poll_sleep_s", "spin_s", "task_retries", "most_losses", "spares",
                 "grace_s")
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_OTHERS = ("CONF", "DEBUG", "LAUNCHED_SPARES", "MPI_ARGS", "PYSPARK", "RANK", "RESTARTED", "STAGE", "STAGE_LOCK", "STAGE_PACK",
           "STATUS_FILE", "STREAMS")
"""Variables that are no settings: keys of the command line, whole tracebacks, words for mpirun, the stand-in for PySpark, and
what launcher and driver tell each other."""
_DEVELOPERS = re.compile("TEST_|BENCHMARK_|MATRIX|SCHEDULES|CHAOS_|FUZZ_|.*_PYTHON$")
"""Variables of our own tests and benchmarks."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Frozen, sent from the driver to every executor when the Context starts."""

    app_name: str = "mpirdd"
    mode: str = "memory"
    """``memory``, or ``mapreduce``: run jobs as Hadoop MapReduce would, through files, with nothing cached."""
    parallelism: int = 0
    """Default number of partitions; 0 means one for each executor."""
    exchange_bytes: int = 64 * MIB
    """Send buffer of a rank in one round of an exchange, for all destinations together; the receive buffer is as large."""
    exchange: str = "auto"
    """How executors exchange bytes: ``collective``: by MPI's own all-to-all, which nobody can leave; ``pairwise``: by
    messages; ``auto``: pairwise where the MPI survives the loss of a rank, else collective."""
    broadcast_bytes: int = 64 << 10
    """Broadcast values of this size (encoded) and more lie in shared memory, once on each host."""
    memory: Size = 0
    """The memory budget of a rank, in bytes or as text (``512m``, ``2g``); 0: a share of the memory that
    the machine, the cgroup or Slurm gives the host's ranks."""
    scratch: str = ""
    """Parent of the scratch folders; empty: ``SLURM_TMPDIR``, ``TMPDIR``, or the system's."""
    max_result_bytes: Size = -1
    """Limit of a job's result at the driver; 0: none; -1: 1 GiB, or a quarter of the driver's
    budget where that is less (but never below 64 MiB)."""
    report_interval_s: float = 0.005
    """An executor with more tasks in its queue reports finished tasks this often."""
    poll_sleep_s: float = 0.01
    """Longest sleep of a waiting rank between two looks at the network; five times as long after half a minute."""
    spin_s: float = 0.0001
    """A waiting rank yields its core without sleeping for this long first."""
    task_retries: int = 0
    """Further attempts for a task that raised, on another executor if there is one."""
    most_losses: int = 2
    """A task fails its job once so many executors have died while they ran it, before it kills the
    others; 0: no limit."""
    spares: int = 0
    """The last so many ranks wait, and take the place of lost executors. Without recovery there are no spares."""
    speculation: bool = False
    """Start a second attempt, elsewhere, of a task that takes far longer than its siblings; the first result wins."""
    ping_s: float = 1.0
    """The driver pings an executor that has been silent for this long."""
    executor_timeout_s: float = 25.0
    """The driver gives up an executor that has not answered for this long, but not one on its own host
    that uses its core: one long call of C code may keep that one from answering."""
    grace_s: float = 2.0
    """After SIGTERM a program may save and clean up for this long."""
    trust_folders: bool = False
    """Also load checkpoints and resumable state from folders that others may write to. They are pickles, which can run any
    code."""
    events: str = ""
    """Write the event log to this file, or to a new file in this folder; empty: write none. A URL gets it, whole, when the
    Context stops."""
    hot_keys: int = 0
    """Count the keys of each shuffle, and write this many of the commonest to the event log; costs 0.1 to 0.4 us a
    record."""
    summary: bool = False
    """Print a summary of stages and hints on stderr when the Context stops."""
    progress: bool = False
    """Draw a progress bar on stderr."""
    progress_every_s: float = 60.0
    """Without a progress bar, write a line of progress on stderr this often; 0: never."""
    log_level: str = "WARNING"
    profile: bool = False
    """Profile the Python code of all tasks; ``Context.show_profiles`` prints them."""

    def __post_init__(self) -> None:
        if self.mode not in _MODES:
            raise UsageError(f"mode must be {' or '.join(_MODES)}, not {self.mode!r}")
        if self.exchange not in EXCHANGES:
            raise UsageError(f"exchange must be {', '.join(EXCHANGES[:-1])} or {EXCHANGES[-1]}, not {self.exchange!r}")
        if not 0 <= self.parallelism <= MOST_PARTITIONS:
            raise UsageError(f"parallelism must be 0 (automatic) to {MOST_PARTITIONS:,} partitions, not {self.parallelism}")
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if not value >= 0:  # also NaN
                raise UsageError(f"{name} must be 0 or more, not {value}")
        if self.grace_s == inf:  # timers have a limit
            raise UsageError("grace_s must be a number of seconds, not infinite")
        if not self.progress_every_s >= 0:
            raise UsageError(f"progress_every_s must be 0 (never) or more, not {self.progress_every_s}")
        if self.hot_keys < 0:
            raise UsageError(f"hot_keys must be 0 (off) or more, not {self.hot_keys}")
        if not 0 < self.ping_s <= self.executor_timeout_s:
            raise UsageError(
                f"executor_timeout_s ({self.executor_timeout_s}) must be at least ping_s ({self.ping_s}), and both above 0")
        if self.log_level.upper() not in _LOG_LEVELS:
            raise UsageError(f"log_level must be one of {', '.join(_LOG_LEVELS)}, not {self.log_level!r}")
        if self.memory and self.memory < MIB:
            raise UsageError(f"memory must be 0 (automatic) or at least 1 MiB for each rank, not {self.memory} bytes")
        if self.max_result_bytes < -1:
            raise UsageError(f"max_result_bytes must be 0 (no limit) or more, not {self.max_result_bytes}")
        if not 4096 <= self.exchange_bytes < 1 << 30:
            raise UsageError(f"exchange_bytes must lie between 4 KiB and 1 GiB, not {self.exchange_bytes}")

    def collective(self, recovers: bool) -> bool:
        """Are exchanges MPI's own collectives? ``recovers``: this MPI survives the loss of a rank, which no collective does."""
        return not recovers and self.exchange != "pairwise"

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ, **given: Any) -> Settings:
        """The settings of this process: ``given`` over the environment over the defaults; None means not given.

        Raises:
            UsageError: a setting is unknown, or its value makes no sense.
        """
        known = {field.name: field.type for field in fields(cls)}
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise UsageError(f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        values = {name: _parse(_variable(name), str(kind), environment[_variable(name)])
                  for name, kind in known.items() if _variable(name) in environment}
        values.update({
            name: parse_size(value, name) if isinstance(value, str) and known[name] == "Size" else value
            for name, value in given.items() if value is not None})
        return replace(cls(), **values)


def parse_setting(name: str, text: str, shown: str) -> Any:
    """The value that ``text`` gives the setting ``name``. Errors call the setting ``shown``, the user's
    name for it.

    Raises:
        UsageError: ``text`` is no such value.
    """
    kind = next(str(field.type) for field in fields(Settings) if field.name == name)
    value = _parse(shown, kind, text)
    try:
        Settings(**{name: value})
    except UsageError as error:
        raise UsageError(str(error).replace(name, shown, 1)) from None
    return value


def unknown_variables(names: Iterable[str]) -> list[tuple[str, str | None]]:
    """The environment variables that look like ours but mean nothing, each with the variable that the
    user may have meant."""
    known = [*(_variable(field.name) for field in fields(Settings)), *map(_variable, _OTHERS)]
    unknown = [name for name in sorted(names) if name.startswith(_PREFIX) and name not in known
               and not _DEVELOPERS.match(name.removeprefix(_PREFIX))]
    if not unknown:
        return []
    from difflib import get_close_matches  # late, as hardly any run needs it

    return [(name, next(iter(get_close_matches(name, known, 1, 0.8)), None)) for name in unknown]


def parse_size(text: str, name: str) -> int:
    """Bytes from a number with a unit (``512m``, ``1.5gib``, ``2 GB``); units are powers of 1,024.

    Raises:
        UsageError: ``text`` is no size; the message calls it ``name``.
    """
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d*)?)\s*([kmgt]?)(?:i?b)?\s*", text.lower())
    if match is None:
        raise UsageError(f"{name}={text!r} is not a size; write it as 512m, 2g, 1.5gib, or as plain bytes")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " "))


def hash_seed_is_fixed(environment: Mapping[str, str] = os.environ) -> bool:
    """Does ``hash`` of text give the same number in every process with this environment?"""
    return environment.get("PYTHONHASHSEED", "random").isdigit()


def _variable(name: str) -> str:
    return _PREFIX + name.upper()


def _parse(shown: str, kind: str, text: str) -> Any:
    try:
        if kind == "bool":
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}[text.lower()]
        if kind == "Size":
            return -1 if text == "-1" else parse_size(text, shown)
        return {"int": int, "float": float, "str": str}[kind](text)
    except (KeyError, ValueError):
        raise UsageError(f"{shown}={text!r} is not {_KINDS[kind]}") from None
