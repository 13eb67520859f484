"""Several hosts on this machine: network namespaces with an address and a host name each, and a stand-in for ssh.

    with Hosts(3) as hosts: subprocess.run(["mpirdd", "run", *hosts.words(ranks_each=2), "job.py"])
    python tests/hosts/network.py bash        a shell with $MPIRDD_MPI_ARGS set, so that mpirdd run uses three such hosts

Ranks of different hosts talk TCP over virtual cables to one bridge. A test can pull a cable, or
kill all processes of a host. Names contain this process's id, so several networks can be up at
once. The end removes everything.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

PROGRAMS = ("ip", "unshare")

AGENT = """#!/bin/bash
# Stands in for ssh: agent [options] ADDRESS COMMAND...
while [[ $1 == -* ]]; do shift; done
number=${{1##*.}}; number=$((number - 10)); shift
exec ip netns exec "{prefix}$number" unshare --uts bash -c "hostname h$number; $*"
"""


def why_not() -> str | None:
    """Why this machine cannot make such hosts; None if it can."""
    missing = [program for program in PROGRAMS if _path_of(program) is None]
    if missing:
        return f"no {', '.join(missing)}: apt-get install iproute2 util-linux"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    probe = f"mrdprobe{os.getpid()}"
    done = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, env=_environment())
    subprocess.run(["ip", "netns", "del", probe], capture_output=True, env=_environment())
    return f"network namespaces are not permitted here: {done.stderr.strip()}" if done.returncode else None


class Hosts:
    """A context manager; hosts are called h1, h2, ... and counted from 1."""

    def __init__(self, count: int = 3) -> None:
        self.names = [f"h{i}" for i in range(1, count + 1)]
        self._prefix = f"mrd{os.getpid()}h"  # names of devices have at most 15 characters
        self._bridge = f"mrb{os.getpid()}"
        self._net = _free_net()
        self.folder = Path(tempfile.mkdtemp(prefix="mpirdd-hosts-"))

    def __enter__(self) -> Hosts:
        agent = self.folder / "agent"
        agent.write_text(AGENT.format(prefix=self._prefix))
        agent.chmod(0o700)
        try:
            _ip(f"link add {self._bridge} type bridge")
            _ip(f"addr add {self._net}.1/24 dev {self._bridge}")
            _ip(f"link set {self._bridge} up")
            for number in range(1, len(self.names) + 1):
                space, cable = f"{self._prefix}{number}", self._cable(number)
                _ip(f"netns add {space}")
                _ip(f"link add {cable} type veth peer name eth0 netns {space}")
                _ip(f"link set {cable} master {self._bridge} up")
                _ip(f"-n {space} addr add {self.address(number)}/24 dev eth0")
                _ip(f"-n {space} link set eth0 up")
                _ip(f"-n {space} link set lo up")
        except BaseException:
            self._take_away()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_away()

    def address(self, number: int) -> str:
        return f"{self._net}.{10 + number}"

    def inside(self, number: int) -> list[str]:
        """The words that run a command on host ``number``."""
        return ["ip", "netns", "exec", f"{self._prefix}{number}"]

    def name_itself(self, number: int) -> None:
        """From now on the host's connections to 127.0.0.1 come from its address, which others can reach."""
        space, address = f"{self._prefix}{number}", self.address(number)
        _ip(f"-n {space} route replace local 127.0.0.1 dev lo table local src {address}")

    def mpi_words(self, ranks_each: int = 2) -> list[str]:
        """Words for Open MPI's mpirun: each host in turn gets ``ranks_each`` ranks."""
        hosts = ",".join(f"{self.address(number)}:{ranks_each}" for number in range(1, len(self.names) + 1))
        return shlex.split(
            f"--host {hosts} --mca plm ssh --prtemca plm_ssh_agent {self.folder}/agent "
            f"--prtemca prte_if_include {self._net}.0/24 --mca btl_tcp_if_include {self._net}.0/24 "
            "--mca pml ob1 --mca btl self,tcp,sm")

    def words(self, ranks_each: int = 2) -> list[str]:
        """Options for ``mpirdd run``."""
        return ["-n", str(ranks_each * len(self.names)), f"--mpi-args={shlex.join(self.mpi_words(ranks_each))}"]

    def pids(self, number: int) -> list[int]:
        """The processes of host ``number``: ranks, and the daemon of mpirun."""
        return [int(pid) for pid in _ip(f"netns pids {self._prefix}{number}").split()]

    def kill(self, number: int) -> None:
        """The host loses its power: kill all its processes at once."""
        for pid in self.pids(number):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def pull_cable(self, number: int) -> None:
        """The host's processes go on, and reach nobody."""
        _ip(f"link set {self._cable(number)} down")

    def plug_in(self, number: int) -> None:
        """Undo ``pull_cable``, and wait until the host can be reached: the others remember for seconds that it could not."""
        _ip(f"link set {self._cable(number)} up")
        for other in range(1, len(self.names) + 1):
            _ip(f"-n {self._prefix}{other} neigh flush all")
        _ip(f"neigh flush dev {self._bridge}")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex((f"{self._net}.{10 + number}", 9)) == errno.ECONNREFUSED:  # nothing listens there
                    return
            time.sleep(0.05)

    def _cable(self, number: int) -> str:
        return f"mrv{os.getpid()}_{number}"

    def _take_away(self) -> None:
        for number in range(1, len(self.names) + 1):
            with suppress(RuntimeError):
                self.kill(number)
            with suppress(RuntimeError):
                _ip(f"link del {self._cable(number)}")  # its other end goes with it
            with suppress(RuntimeError):
                _ip(f"netns del {self._prefix}{number}")
        with suppress(RuntimeError):
            _ip(f"link del {self._bridge}")
        shutil.rmtree(self.folder, ignore_errors=True)


def _free_net() -> str:
    used = _ip("-o addr")
    return next(net for i in range(256) if f" {(net := f'10.77.{(os.getpid() + i) % 256}')}." not in used)


def _ip(words: str) -> str:
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True, env=_environment(), timeout=20)
    if done.returncode:
        raise RuntimeError(f"ip {words}: {done.stderr.strip()}")
    return done.stdout


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}


def _path_of(program: str) -> str | None:
    return shutil.which(program, path=_environment()["PATH"])


if __name__ == "__main__":
    problem = why_not()
    if problem:
        sys.exit(problem)
    with Hosts() as up:
        variables = {**_environment(), "MPIRDD_MPI_ARGS": shlex.join(up.mpi_words())}
        code = subprocess.run(sys.argv[1:] or ["bash"], env=variables).returncode
    sys.exit(code)
