"""Programs under ``mpirdd run`` on a real HDFS and a real S3: every source and sink, and Hadoop's own reader and writer."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from runs import Runs
from servers import ACCESS_KEY, S3, SECRET_KEY, MiniHdfs
from store import Store

from mpirdd.protocol.errors import UsageError

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[2]

EVERYTHING = """
import json, pickle, zlib
from mpirdd import mapreduce
url, options = {url!r}, {options!r}
with Context() as sc:
    lines = sc.parallelize([f"line {{i}}" for i in range(1000)], 6)
    lines.saveAsTextFile(url + "/text", storage_options=options)
    lines.saveAsTextFile(url + "/packed", "gzip", storage_options=options)
    whole = sorted(lines.collect())
    for name in ("text", "packed", "{{text,none*}}", "te*/part-*"):
        assert sorted(sc.textFile(url + "/" + name, storage_options=options).collect()) == whole, name
    assert sc.textFile([url + "/text", url + "/packed"], storage_options=options).count() == 2000
    files = dict(sc.wholeTextFiles(url + "/text", storage_options=options).collect())
    assert len(files) == 6 and sorted("".join(files.values()).split("\\n")[:-1]) and all(name.startswith(url) for name in files)
    assert sum(map(len, sc.binaryFiles(url + "/packed", storage_options=options).values().collect())) > 1000
    sc.parallelize([b"%07d" % i for i in range(999)], 3).saveAsTextFile(url + "/fixed", storage_options=options)
    fixed = sc.binaryRecords(url + "/fixed", 8, storage_options=options)
    assert sorted(map(int, fixed.collect())) == list(range(999))
    sc.parallelize([(i, {{str(i)}}) for i in range(50)], 3).saveAsPickleFile(url + "/pickled", storage_options=options)
    assert sorted(sc.pickleFile(url + "/pickled", storage_options=options).keys().collect()) == list(range(50))
    sc.parallelize([(f"key {{i}}", i) for i in range(500)], 3).saveAsSequenceFile(url + "/pairs", "zlib", storage_options=options)
    assert sc.sequenceFile(url + "/pairs", storage_options=options).values().sum() == sum(range(500))
    assert sc.textFile(url + "/text", 12, storage_options=options).getNumPartitions() >= 12
    def mapper(at, line):
        yield line.split()[0], 1
    def reducer(word, counts):
        yield word, sum(counts)
    for turn in range(2):
        mapreduce.run(url + "/text", mapper, reducer, output=url + "/counts", num_reducers=2, overwrite=bool(turn),
                      storage_options=options)
    assert sc.textFile(url + "/counts", storage_options=options).collect() == ["line\\t1000"]
    try:
        lines.saveAsTextFile(url + "/text", storage_options=options)
    except Exception as error:
        print(type(error).__name__, "exists already" in str(error))
    try:
        sc.textFile(url + "/absent", storage_options=options)
    except Exception as error:
        print(type(error).__name__, url + "/absent" in str(error))
"""


@pytest.mark.parametrize(("kind", "mode"), [
    ("hdfs", "memory"), ("hdfs", "mapreduce"), ("s3", "memory"), ("s3", "mapreduce"), ("az", "memory"), ("gs", "memory")])
def test_every_source_and_sink(request: pytest.FixtureRequest, runs: Runs, tmp_path: Path, kind: str, mode: str) -> None:
    server = request.getfixturevalue(kind)
    options = dict(server.options) if kind != "hdfs" else None
    program = EVERYTHING.format(url=f"{server.url}/{tmp_path.name}", options=options)
    done = runs(program, "--mode", mode, ranks=3)
    assert (done.code, done.out, done.noise()) == (0, "UsageError True\nInputError True\n", []), done.err


def test_hadoops_keys_for_new_files_count_on_hdfs(hdfs: MiniHdfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library takes what the NameNode says, whatever they say: here 2 replicas and blocks of 32 MiB."""
    def layout(name: str, keys: dict[str, str]) -> tuple[int, int]:
        store = Store(f"{hdfs.url}/{tmp_path.name}", keys)
        store.write("x", name)
        found = store.fs._ask("get_file_info", store.path(name).removeprefix(hdfs.url))  # type: ignore[attr-defined]
        return found.replication, found.blocksize

    assert layout("usual", {}) == (2, 32 << 20)
    assert layout("ours", {"dfs.replication": "1", "dfs.blocksize": "8m"}) == (1, 8 << 20)
    (tmp_path / "hdfs-site.xml").write_text(
        "<configuration><property><name>dfs.replication</name><value>1</value></property>"
        "<property><name>dfs.blocksize</name><value>${size}</value></property></configuration>")
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    assert layout("sites", {"dfs.namenode.handler.count": "4"}) == (1, 32 << 20)
    with pytest.raises(UsageError, match=r"dfs.replication='many' is not a size"):
        layout("wrong", {"dfs.replication": "many"})


def test_sequence_files_and_text_both_ways_with_hadoop(runs: Runs, hdfs: MiniHdfs, tmp_path: Path) -> None:
    url = f"{hdfs.url}/{tmp_path.name}"
    written = [("NONE", "none"), ("RECORD", "DefaultCodec"), ("BLOCK", "DefaultCodec"), ("BLOCK", "BZip2Codec")]
    for number, (kind, codec) in enumerate(written):
        hdfs.ask("write-sequence", f"{url}/java/{number}/part-r-00000", kind, codec, 3000)
    done = runs(f"""
url = {url!r}
with Context() as sc:
    for number in range({len(written)}):
        pairs = sc.sequenceFile(f"{{url}}/java/{{number}}").collect()
        print(sorted(pairs) == sorted((f"key {{i}}", i) for i in range(3000)))
    ours = sc.parallelize([(f"key {{i}}", i) for i in range(3000)], 4)
    for codec in (None, "zlib", "bzip2"):
        ours.saveAsSequenceFile(f"{{url}}/ours/{{codec}}", codec)
    for codec in (None, "gzip", "bzip2"):
        ours.keys().saveAsTextFile(f"{{url}}/lines/{{codec}}", codec)
""", ranks=3)
    assert (done.code, done.out) == (0, "True\n" * len(written)), done.err
    right = hdfs.ask("read-sequence", f"{url}/java/0")
    assert right.startswith("3000 ") and right.endswith(f" {sum(range(3000))}")
    assert [hdfs.ask("read-sequence", f"{url}/ours/{codec}") for codec in ("None", "zlib", "bzip2")] == [right] * 3
    lines = [hdfs.ask("text", f"{url}/lines/{codec}") for codec in ("None", "gzip", "bzip2")]
    assert lines[0].startswith("3000 ") and lines == lines[:1] * 3


def test_a_word_count_from_hdfs_to_hdfs_and_commands_as_in_hadoop_streaming(runs: Runs, hdfs: MiniHdfs, tmp_path: Path) -> None:
    url = f"{hdfs.url}/{tmp_path.name}"
    store = Store(url, {})
    for path in sorted((ROOT / "jobs" / "data" / "state_union").glob("*.txt"))[:5]:
        store.write(path.read_text(encoding="utf-8", errors="replace"), "in", path.name)
    done = runs(f"""
with Context() as sc:
    words = sc.textFile("{url}/in").flatMap(str.split)
    words.map(lambda w: (w, 1)).reduceByKey(add, 2).map("{{0[0]}}\\t{{0[1]}}".format).saveAsTextFile("{url}/out")
    print(words.count(), words.distinct().count())
""", ranks=3)
    assert done.code == 0, done.err
    every, distinct = map(int, done.out.split())
    assert hdfs.ask("text", f"{url}/out").split()[0] == str(distinct)
    streaming = subprocess.run(
        [sys.executable, "-m", "mpirdd", "mapreduce", "-n", "3", "--input", f"{url}/in", "--output", f"{url}/out", "--overwrite",
         "--mapper", "sh -c 'tr -s \" \\t\" \"\\n\" | grep .'", "--reducer", "uniq -c", "--num-reducers", "2"],
        capture_output=True, text=True, timeout=100, cwd=tmp_path)
    assert streaming.returncode == 0, streaming.stderr
    counts = [line.split()[0] for part in store.names("out") for line in store.text("out", part).splitlines()]
    assert (len(counts), sum(map(int, counts))) == (distinct, every)


class KeysOfContainer(BaseHTTPRequestHandler):
    """The service that gives a container the keys of its role."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.headers["Authorization"])
        answer = {"AccessKeyId": ACCESS_KEY, "SecretAccessKey": SECRET_KEY, "Expiration": "2100-01-01T00:00:00Z"}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


def test_keys_of_a_role_read_and_upload(runs: Runs, s3: S3, tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), KeysOfContainer)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            runs.environment.pop(name)
        runs.environment |= {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{server.server_port}/keys", "HOME": str(tmp_path),
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "mine"}
        done = runs(f"""
from mpirdd.formats.filesystems import filesystem_of
with Context() as sc:
    sc.parallelize(range(10), 2).saveAsTextFile("s3://test/{tmp_path.name}/out")
    print(sc.textFile("s3://test/{tmp_path.name}/out").count(), filesystem_of("s3://test/x").uploads is not None)
""", ranks=3)
    finally:
        server.shutdown()
        server.server_close()
    assert (done.code, done.out) == (0, "10 True\n"), done.err
    assert set(KeysOfContainer.asked) == {"mine"} and len(KeysOfContainer.asked) <= 6  # once or twice a process


def test_programs_find_s3_by_the_environment(runs: Runs, s3: object, tmp_path: Path) -> None:
    done = runs(f"""
with Context() as sc:
    sc.parallelize(range(10), 2).saveAsTextFile("s3://test/{tmp_path.name}/out")
    print(sc.textFile("s3a://test/{tmp_path.name}/out").count())
""", ranks=3)
    assert (done.code, done.out) == (0, "10\n"), done.err
