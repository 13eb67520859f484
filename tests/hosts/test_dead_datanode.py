"""A save to HDFS from hosts one of which has a DataNode that has died, which its NameNode does not know yet."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from launcher import with_open_mpi
from network import Hosts

sys.path.append(str(Path(__file__).parents[1] / "stores"))

from jvm import NoJars
from servers import MiniHdfs, why_no_hdfs

from mpirdd.formats.filesystems import Options, filesystem_of

pytestmark = [with_open_mpi, pytest.mark.timeout(300)]

WRITES = """
import sys
from mpirdd.formats.filesystems import filesystem_of
fs = filesystem_of(sys.argv[1])
with fs.create(sys.argv[2]) as file:
    file.write(b"x")
"""
JOB = """
from mpirdd import Context
with Context() as sc:
    sc.parallelize(range(80), 8).map(str).saveAsTextFile("{url}/out")
    print(sc.textFile("{url}/out").map(int).sum())
"""


@pytest.fixture
def hdfs(hosts: Hosts, tmp_path: Path) -> Iterator[MiniHdfs]:
    """Two DataNodes on the first host."""
    if problem := why_no_hdfs():
        pytest.skip(f"no HDFS here: {problem}")
    hosts.name_itself(1)
    try:
        with MiniHdfs(tmp_path / "hdfs", address=hosts.address(1), inside=hosts.inside(1), hosts=("h1", "h3")) as up:
            yield up
    except NoJars as reason:
        pytest.skip(f"no HDFS here: {reason}")


@contextmanager
def datanode(hosts: Hosts, hdfs: MiniHdfs, number: int) -> Iterator[subprocess.Popen[bytes]]:
    """A further DataNode, on another host: the first choice for all blocks that are written there."""
    conf = hdfs.folder / "datanode"
    conf.mkdir()
    keys = {"dfs.datanode.data.dir": f"{conf}/data", "dfs.datanode.hostname": f"h{number}"}
    keys |= {f"dfs.datanode.{name}": "0.0.0.0:0" for name in ("address", "http.address", "ipc.address")}
    more = "".join(f"<property><name>{name}</name><value>{value}</value></property>" for name, value in keys.items())
    for name in ("core-site.xml", "hdfs-site.xml"):
        text = (hdfs.conf / name).read_text()
        (conf / name).write_text(text.replace("</configuration>", more + "</configuration>"))
    with (hdfs.folder / "datanode.log").open("w") as log:
        process = subprocess.Popen(
            [*hosts.inside(number), "java", "-Xmx128m", "-cp", f"{conf}:{hdfs.folder}/jars/*",
             "org.apache.hadoop.hdfs.server.datanode.DataNode"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while f"h{number}" not in holders(hosts, hdfs, number):
            assert time.monotonic() < deadline and process.poll() is None, (hdfs.folder / "datanode.log").read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def holders(hosts: Hosts, hdfs: MiniHdfs, number: int) -> list[str]:
    """The DataNodes that get a block written on that host."""
    path = f"{hdfs.url}/probe-{uuid4().hex}"
    subprocess.run([*hosts.inside(number), sys.executable, "-c", WRITES, hdfs.url, path], check=True, timeout=30)
    return list(filesystem_of(hdfs.url, Options.of({"webhdfs": hdfs.http})).block_hosts(path, 0, 1))


def test_a_part_is_written_on_another_host_when_the_datanode_of_its_own_is_dead(
    hosts: Hosts, hdfs: MiniHdfs, tmp_path: Path
) -> None:
    """HDFS offers the writer's own host first, for each block, until it has noticed. Without --task-retries."""
    (tmp_path / "job.py").write_text(JOB.format(url=hdfs.url))
    with datanode(hosts, hdfs, 2) as process:
        process.kill()
        process.wait()
        done = subprocess.run(
            [sys.executable, "-m", "mpirdd", "run", *hosts.words(), "job.py"], cwd=tmp_path, capture_output=True, text=True,
            timeout=100, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (0, f"{sum(range(80))}\n"), done.stderr[-3000:]
