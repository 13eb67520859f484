"""spark-submit's options on real ranks: what the program, its imports and its tasks see of them."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from launcher import with_mpirun

ROOT = Path(__file__).parents[2]
pytestmark = [with_mpirun, pytest.mark.timeout(60)]

PROGRAM = """
import helper                                   # the driver imports what --py-files names, before there is a Context
from pyspark import SparkConf, SparkContext, SparkFiles
conf = SparkConf().set("spark.own", "set by the program")
sc = SparkContext(conf=conf)
def seen(_):
    import packed
    with open(SparkFiles.get("table.txt")) as table, open(SparkFiles.get("words/list.txt")) as words:
        return helper.double(21), packed.NAME, table.read(), words.read()
print(sc.appName, sc.getConf().get("spark.x"), sc.getConf().get("spark.own"), sc.defaultParallelism)
print(set(sc.parallelize(range(4), 4).map(seen).collect()))
sc.stop()
"""


def test_a_command_line_of_spark_submit_runs_unchanged(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(PROGRAM)
    code = tmp_path / "code"
    code.mkdir()
    (code / "helper.py").write_text("def double(x): return 2 * x\n")
    with zipfile.ZipFile(code / "packed.zip", "w") as archive:
        archive.writestr("packed.py", "NAME = 'packed'\n")
    with zipfile.ZipFile(tmp_path / "words.zip", "w") as archive:
        archive.writestr("list.txt", "one two")
    (tmp_path / "table.txt").write_text("a table")
    done = subprocess.run(
        [sys.executable, "-m", "mpirdd", "run", "--pyspark", "--master", "yarn", "--deploy-mode", "client", "--name", "by line",
         "--num-executors", "2", "--executor-memory", "500m", "--conf", "spark.x=7", "--conf", "spark.own=by the line",
         "--py-files", "code/helper.py,code/packed.zip", "--files", "table.txt", "--archives", "words.zip#words", "job.py"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout.splitlines()) == (0, [
        "by line 7 set by the program 2", "{(42, 'packed', 'a table', 'one two')}"]), done.stderr
    assert "--master yarn has no effect" in done.stderr and "--deploy-mode client has no effect" in done.stderr
