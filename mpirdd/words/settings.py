"""Every bound and choice that a user may set, in one place, with its unit and default.

A setting comes from, in order: an argument of ``Context``, an environment variable ``MPIRDD_<NAME>`` (which
``mpirdd run`` sets from its options), the default here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from mpirdd.words.errors import UsageError

MIB = 1 << 20
Size = int
_MODES = ("memory", "mapreduce")
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True)
class Settings:
    """Frozen, sent from the driver to every executor when the Context starts."""

    app_name: str = "mpirdd"
    mode: str = "memory"
    """``memory``; or ``mapreduce``: as Hadoop MapReduce would run the same job, through files, with nothing cached."""
    parallelism: int = 0
    """Default number of partitions; 0 means one for each executor."""
    exchange_bytes: int = 64 * MIB
    """Send buffer of a rank in one round of an exchange, shared by all destinations; as much again to receive."""
    broadcast_bytes: int = 64 << 10
    """Broadcast values of this size (encoded) and more lie in shared memory, once on each host."""
    memory: Size = 0
    """The memory budget of a rank, in bytes (``512m``, ``2g`` and the like are understood); 0: what the machine, the cgroup or
    Slurm gives this host, shared by its ranks."""
    scratch: str = ""
    """Folder to make scratch folders in; empty: ``SLURM_TMPDIR``, ``TMPDIR``, or the system's."""
    max_result_bytes: Size = -1
    """What a job may bring to the driver; 0: no limit; -1: 1 GiB, or a quarter of the driver's budget where that is less
    (but never below 64 MiB)."""
    report_interval_s: float = 0.005
    """An executor with more tasks queued reports the finished ones this often."""
    poll_sleep_s: float = 0.01
    """Longest sleep of a waiting rank between two looks at the network."""
    spin_s: float = 0.0001
    """A waiting rank yields its core without sleeping for this long first."""
    task_retries: int = 0
    """How often a task that raised an exception is tried again, on another executor where there is one."""
    most_losses: int = 4
    """A task that was under way on so many executors that died fails its job, before it takes the others; 0: no limit."""
    speculation: bool = False
    """Run a task that takes far longer than its siblings a second time elsewhere; the first result wins."""
    ping_s: float = 1.0
    """An executor that has said nothing for so long is asked whether it is alive."""
    executor_timeout_s: float = 25.0
    """An executor that has not answered for so long is taken for lost. One on the driver's host that uses its core is not:
    a single long call of C code keeps it from answering."""
    grace_s: float = 2.0
    """A program that is told to end (SIGTERM) may save and clean up for this long."""
    progress: bool = False
    """Draw a progress bar on stderr."""
    log_level: str = "WARNING"
    profile: bool = False
    """Profile the Python code of all tasks; ``Context.show_profiles`` prints where the time went."""

    def __post_init__(self) -> None:
        if self.mode not in _MODES:
            raise UsageError(f"mode must be {' or '.join(_MODES)}, not {self.mode!r}")
        if self.parallelism < 0:
            raise UsageError(f"parallelism must be 0 (automatic) or more, not {self.parallelism}")
        if self.task_retries < 0:
            raise UsageError(f"task_retries must be 0 or more, not {self.task_retries}")
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

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ, **given: Any) -> Settings:
        """The settings of this process: ``given`` over the environment over the defaults; None means not given."""
        known = {field.name: field.type for field in fields(cls)}
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise UsageError(f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        values = {name: _parse(name, str(kind), environment[_variable(name)])
                  for name, kind in known.items() if _variable(name) in environment}
        values.update({
            name: parse_size(value, name) if isinstance(value, str) and known[name] == "Size" else value
            for name, value in given.items() if value is not None})
        return replace(cls(), **values)


def parse_size(text: str, name: str) -> int:
    """Bytes: a number with a unit, as people write it (``512m``, ``1.5gib``, ``2 GB``); units are powers of 1,024.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([kmgt]?)(?:i?b)?\s*", text.lower())
    if match is None:
        raise UsageError(f"{name}={text!r} is not a size; write it as 512m, 2g, 1.5gib, or as plain bytes")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " "))


def _variable(name: str) -> str:
    return "MPIRDD_" + name.upper()


def _parse(name: str, kind: str, text: str) -> Any:
    try:
        if kind == "bool":
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}[text.lower()]
        if kind == "Size":
            return -1 if text == "-1" else parse_size(text, _variable(name))
        return {"int": int, "float": float, "str": str}[kind](text)
    except (KeyError, ValueError):
        raise UsageError(f"{_variable(name)}={text!r} is not a valid {kind}") from None
