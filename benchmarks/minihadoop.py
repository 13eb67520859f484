"""A real Hadoop on this machine: HDFS, and YARN with a JVM for each task, from Maven's jars.

    with MiniHadoop(folder) as hadoop:
        subprocess.run([*hadoop.inside, "a", "command"])     # there, hadoop.url answers
        # in such a command: with hadoop_client(folder) as client: client.ask("empty")

Hadoop's shuffle and its application masters listen on every address. So everything runs in a network namespace of its own,
which has nothing but a loopback, and so must whatever talks to it. Its processes are in a process namespace too: when the
``with`` block ends, however it ends, no JVM of a task is left.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

from tests.stores.jvm import Jvm, fetched, missing_programs

JAVA = Path(__file__).parent / "java"
UP_WITHIN_S = 600.0
"""It takes 9 to 23 s on an idle machine."""
OF_JDK = ("java", "javac", "jar", "mvn")
OF_SYSTEM = ("unshare", "nsenter", "ip")
_SHELL = 'hostname localhost; ip link set lo up; "$@"; exit $?'
"""The shell stays, as the first process of its namespace: it waits for the children of tasks that have ended."""


class MiniHadoop:
    """HDFS and YARN in one JVM, in namespaces of its own. Entering it raises NoJars or JvmEnded.

    Args:
        folder: for the jars (115 MB), logs, and all data in HDFS.

    Attributes:
        url: ``hdfs://127.0.0.1:PORT``, valid inside.
        inside: the words of a command line that run a command inside.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> MiniHadoop:
        compile_into(self.folder)
        classes = f"{self.folder / 'classes'}:{self.folder / 'jars'}/*"
        words = ["-Xmx1g", "-XX:+UseSerialGC", "-cp", classes, "MiniHadoop", self.folder]
        self._jvm = Jvm(words, self.folder / "hadoop.log", folder=self.folder,
                        inside=[*_unshare(), "bash", "-c", _SHELL, "-"])
        try:
            self.url = self._jvm.answer(UP_WITHIN_S).split()[1]
        except BaseException:
            self.__exit__(None, None, None)
            raise
        users = [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
        self.inside = ["nsenter", "--target", str(self._jvm.pid), *users, "--net", "--uts", "--"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._jvm.__exit__(kind, value, trace)


def hadoop_client(folder: Path, log: Path) -> Jvm:
    """The client of Jobs.java, for the cluster of ``folder``; to be made inside."""
    path = f"{folder / 'conf'}:{folder / 'classes'}:{folder / 'jobs.jar'}:{folder / 'jars'}/*"
    # A client as `hadoop jar` starts it, but for the collector and the compiler, which start faster so.
    words = ["-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", path, "Jobs"]
    client = Jvm(words, log, folder=log.parent)
    try:
        client.answer(UP_WITHIN_S)
    except BaseException:
        client.__exit__(None, None, None)
        raise
    return client


def compile_into(folder: Path) -> None:
    """Hadoop's jars, the classes of MiniHadoop, and ``jobs.jar``, which the tasks get. Raises NoJars."""
    jars = fetched(JAVA / "pom.xml", folder / "jars")
    classes, jobs = folder / "classes", folder / "jobs"
    for source, into in (("MiniHadoop", classes), ("Jobs", jobs)):
        command = ["javac", "-nowarn", "-Xlint:none", "-cp", f"{jars}/*", "-d", into, JAVA / f"{source}.java"]
        subprocess.run(command, check=True, capture_output=True)
    subprocess.run(["jar", "cf", folder / "jobs.jar", "-C", jobs, "."], check=True, capture_output=True)
    shutil.copy(JAVA / "log4j.properties", classes)


def why_no_hadoop() -> str | None:
    """What keeps Hadoop from running on this machine."""
    if problem := missing_programs(OF_JDK):
        return problem
    if missing := [name for name in OF_SYSTEM if shutil.which(name) is None]:
        return f"no {', '.join(missing)}: apt-get install util-linux iproute2"
    if importlib.util.find_spec("hdfs_native") is None:
        return "mpirdd cannot read HDFS here: pip install 'mpirdd[hdfs]'"
    tried = subprocess.run([*_unshare(), "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"no namespaces for it (they take root, or user namespaces): {tried.stderr.strip()}"
    return None


def _unshare() -> list[str]:
    users = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *users, "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
