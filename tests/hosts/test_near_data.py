"""Tasks run on the hosts that have their blocks: a real HDFS whose DataNodes are known as the hosts of the network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from launcher import with_open_mpi
from network import Hosts

sys.path.append(str(Path(__file__).parents[1] / "stores"))

from jvm import NoJars
from servers import MiniHdfs, why_no_hdfs

pytestmark = [with_open_mpi, pytest.mark.timeout(300)]

JOB = """
import socket
from mpirdd import Context
with Context() as sc:
    for turn in range(5):
        lines = sc.textFile("{files}", storage_options={{"webhdfs": "{http}"}})
        ran = lines.mapPartitions(lambda part: [(next(part), socket.gethostname())]).collect()
        print(sum(line.startswith(host) for line, host in ran), len(ran))
    many = sc.textFile("{many}", storage_options={{"webhdfs": "{http}"}})
    ran = many.mapPartitions(lambda part: [(next(part), socket.gethostname())]).collect()
    print(sorted(len(line) for line, host in ran) == [63] * 24)
"""


@pytest.fixture(scope="module")
def hdfs(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniHdfs]:
    """Its DataNodes report the names of the three hosts, though all are on the first one."""
    if problem := why_no_hdfs():
        pytest.skip(f"no HDFS here: {problem}")
    hosts.name_itself(1)  # DataNodes have the address with which they come to their NameNode
    folder = tmp_path_factory.mktemp("hdfs")
    try:
        with MiniHdfs(folder, address=hosts.address(1), inside=hosts.inside(1), hosts=("h1", "h2.site", "h3")) as up:
            yield up
    except NoJars as reason:
        pytest.skip(f"no HDFS here: {reason}")


def test_tasks_go_to_the_hosts_of_their_blocks(hosts: Hosts, hdfs: MiniHdfs, tmp_path: Path) -> None:
    """h1 has the driver and one executor, the others two each: one task for each executor, so where they go does not depend
    on time."""
    for number, node in enumerate((1, 2, 0, 2, 1)):
        hdfs.ask("place", f"{hdfs.url}/near/{number}", node, 64, f"h{node + 1}")
    for number in range(24):
        hdfs.ask("place", f"{hdfs.url}/many/{number:02}", number % 3, 64, f"h{number % 3 + 1}")
    (tmp_path / "job.py").write_text(JOB.format(files=f"{hdfs.url}/near", many=f"{hdfs.url}/many", http=hdfs.http))
    done = subprocess.run(
        [sys.executable, "-m", "mpirdd", "run", *hosts.words(), "job.py"], cwd=tmp_path, capture_output=True, text=True,
        timeout=100, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["5 5"] * 5 + ["True"]), done.stderr[-3000:]
