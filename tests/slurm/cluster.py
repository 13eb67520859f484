"""A real Slurm of several nodes on this machine: munged, slurmctld and one slurmd a node, without systemd.

    with Cluster() as cluster: subprocess.run(["sbatch", ...], env=cluster.environment())
    python tests/slurm/cluster.py bash          a shell in which sbatch, squeue and the like talk to such a cluster

Each cluster has a private folder and ports of its own, so several can run side by side, and beside
the machine's own Slurm. The end cancels all jobs and ends all processes, by their ids.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
PACKAGES = "munge slurmctld slurmd slurm-wlm"
UP_WITHIN_S = 30.0
CREDENTIALS_LAST_S = 30
"""A job that is requeued waits until its credentials have run out: 2 minutes, unless told otherwise. A machine that stands
still for longer than this loses jobs, and Slurm drains their nodes."""

CONFIGURATION = """
ClusterName=mpirddtest
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire={credentials}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmctldPort={port}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1,sched_min_interval=100000
ReturnToService=2
MpiDefault=none
SwitchType=switch/none
JobRequeue=1
KillWait=5
UnkillableStepTimeout=300
OverTimeLimit=0
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SlurmdParameters=config_overrides
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory=4000 State=UNKNOWN\n"


def why_not() -> str | None:
    """Why no such cluster can run here; None if one can."""
    missing = [program for program in PROGRAMS if _path_of(program) is None]
    if missing:
        return f"no {', '.join(missing)}: apt-get install {PACKAGES}"
    if os.geteuid() != 0:
        return "slurmd starts jobs as their users, which only root may"
    return None


class Cluster:
    """A context manager; the cluster is up inside its block.

    Raises:
        RuntimeError: the cluster does not come up; with the ends of its logs.
    """

    def __init__(self, nodes: int = 3, cpus: int = 4) -> None:
        self.nodes = [f"n{i}" for i in range(1, nodes + 1)]
        self._cpus = cpus
        self.folder = Path(tempfile.mkdtemp(prefix="mpirdd-slurm-"))
        self.configuration = self.folder / "slurm.conf"
        self._daemons: list[subprocess.Popen[bytes]] = []

    def environment(self) -> dict[str, str]:
        """This process's environment for commands that talk to the cluster, without variables of a
        surrounding Slurm."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))}
        path = os.pathsep.join([mine.get("PATH", os.defpath), "/usr/sbin"])
        return {**mine, "PATH": path, "SLURM_CONF": str(self.configuration)}

    def __enter__(self) -> Cluster:
        try:
            self._configure()
            self._start("munged", "--foreground", f"--key-file={self.folder}/munge.key", f"--socket={self.folder}/munge.socket",
                        f"--pid-file={self.folder}/munge.pid", f"--log-file={self.folder}/munge.log",
                        f"--seed-file={self.folder}/munge.seed", "--force")
            _wait("munged", (self.folder / "munge.socket").exists, self._logs)
            self._start("slurmctld", "-D", "-f", str(self.configuration))
            for node in self.nodes:
                self._start_node(node)
            _wait("Slurm", self._all_idle, self._logs)
        except BaseException:
            self._take_down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_down()

    def command(self, *words: str, timeout_s: float = 30) -> str:
        """The output of a Slurm command; raises with its words if it fails."""
        done = subprocess.run(
            words, env=self.environment(), capture_output=True, text=True, timeout=timeout_s, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: exit code {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def cancel_all(self) -> None:
        """End all jobs, and wait until they are gone."""
        self.command("scancel", "--user=root", timeout_s=10)
        _wait("jobs", lambda: not self.command("squeue", "-h", timeout_s=5).strip(), self.state, within_s=15)

    def state(self) -> str:
        """Of the nodes and of the jobs that are not over, for messages."""
        with suppress(RuntimeError, subprocess.TimeoutExpired):
            return self.command("sinfo", "-N", "-o", "%N %T %E", timeout_s=10) + self.command("squeue", "-o", "%i %j %T %r")
        return "Slurm does not answer"

    def resume(self) -> str:
        """Take nodes that Slurm has drained into service again. Returns its reasons, "" if there are none."""
        drained = [line for line in self.command("sinfo", "-h", "-N", "-o", "%N %t %E").splitlines()
                   if line.split()[1].startswith(("drain", "drng", "down"))]
        for line in drained:
            self.command("scontrol", "update", f"nodename={line.split()[0]}", "state=resume")
        return "\n".join(drained)

    def power_off(self, node: str) -> None:
        """Kill all processes of a node at once, and tell Slurm that it is down."""
        for daemon in self._daemons:
            if isinstance(daemon.args, list) and daemon.args[-2:] == ["-N", node]:
                self._daemons.remove(daemon)
                daemon.kill()
                daemon.wait()
                break
        for pid in self._left(f"SLURMD_NODENAME={node}".encode()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.command("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def power_on(self, node: str) -> None:
        """Undo ``power_off``."""
        self._start_node(node)
        self.command("scontrol", "update", f"nodename={node}", "state=resume")
        _wait("the node", lambda: "down" not in self.command("sinfo", "-h", "-n", node, "-o", "%t"), self._logs)

    def _start_node(self, node: str) -> None:
        self._start("slurmd", "-D", "-f", str(self.configuration), "-N", node)

    def _configure(self) -> None:
        for name in ["state", *(f"spool-{node}" for node in self.nodes)]:
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.touch(mode=0o400)
        key.write_bytes(os.urandom(1024))
        host = socket.gethostname().split(".")[0]
        first, *others = _free_ports(1 + len(self.nodes))
        text = CONFIGURATION.format(host=host, folder=self.folder, port=first, credentials=CREDENTIALS_LAST_S)
        for name, port in zip(self.nodes, others, strict=True):
            text += NODE.format(name=name, host=host, port=port, cpus=self._cpus)
        text += f"PartitionName=main Nodes={','.join(self.nodes)} Default=YES MaxTime=INFINITE State=UP\n"
        self.configuration.write_text(text)

    def _start(self, name: str, *words: str) -> None:
        log = (self.folder / f"{name}.out").open("ab")
        path = _path_of(name)
        assert path is not None
        with log:
            self._daemons.append(subprocess.Popen(
                [path, *words], env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True))

    def _all_idle(self) -> bool:
        died = [daemon.args for daemon in self._daemons if daemon.poll() is not None]
        if died:
            raise RuntimeError(f"ended at once: {died}\n{self._logs()}")
        with suppress(RuntimeError, subprocess.TimeoutExpired):
            return self.command("sinfo", "-h", "-N", "-o", "%t", timeout_s=5).split() == ["idle"] * len(self.nodes)
        return False

    def _logs(self) -> str:
        files = [*self.folder.glob("*.log"), *self.folder.glob("*.out")]
        return "".join(f"--- {file.name}\n{file.read_text(errors='replace')[-2000:]}\n" for file in sorted(files))

    def _take_down(self) -> None:
        with suppress(RuntimeError, subprocess.TimeoutExpired, OSError):
            self.cancel_all()
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in reversed(self._daemons):
            try:
                daemon.wait(5)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for pid in self._left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _left(self, also: bytes = b"") -> Iterator[int]:
        """Living processes of the cluster or its jobs: their environment names its configuration, and ``also``."""
        mark = f"SLURM_CONF={self.configuration}".encode()
        for entry in os.listdir("/proc"):
            with suppress(OSError):
                if entry.isdigit() and int(entry) != os.getpid():
                    environment = Path("/proc", entry, "environ").read_bytes()
                    if mark in environment and also in environment:
                        yield int(entry)


def _path_of(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _wait(what: str, condition: Callable[[], bool], explain: Callable[[], str], within_s: float = UP_WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not ready within {within_s:.0f} s\n{explain()}")
        time.sleep(0.1)


if __name__ == "__main__":
    problem = why_not()
    if problem:
        sys.exit(problem)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # or the daemons would stay
    with Cluster() as up:
        print(f"export SLURM_CONF={up.configuration}", file=sys.stderr, flush=True)
        code = subprocess.run(sys.argv[1:] or ["sinfo"], env=up.environment()).returncode
    sys.exit(code)
