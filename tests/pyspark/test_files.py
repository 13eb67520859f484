"""PySpark and mpirdd read each other's files, and make the same partitions. One run of PySpark serves all tests."""

from __future__ import annotations

import ast
import gzip
import os
import random
from pathlib import Path
from typing import Any

import installed
import pytest

from mpirdd import Context

if installed.why_not_run():
    pytest.skip(installed.why_not_run(), allow_module_level=True)

CODEC = "org.apache.hadoop.io.compress."
PAIRS: dict[str, list[Any]] = {
    "int-text": [(1, "a"), (-3, "é" * 100), (2**31 - 1, "")],
    "long-double": [(2**40, 1.5), (-(2**63), -0.0), (2**31, float("inf"))],
    "text-int": [("", 0), ("x" * 127, 1), ("y" * 128, 2), ("z" * 70_000, 3)],
    "bool-null": [(True, None), (False, None)],
    "null-bytes": [(None, bytearray(b"abc")), (None, bytearray())],
    "int-map": [(1, {"a": 1, "b": 2.5, "c": None, "d": {"x": bytearray(b"q")}, "e": True, "f": 2**40}), (2, {})],
    "double-map": [(1.5, {1: {2: {3: "deep"}}, 2.5: "x"})],
    "many": [(i, f"value {i}") for i in range(30_000)],
}
CODECS = {
    "none": None, "zlib": CODEC + "DefaultCodec", "gzip": CODEC + "GzipCodec", "bzip2": CODEC + "BZip2Codec",
    "lz4": CODEC + "Lz4Codec", "snappy": CODEC + "SnappyCodec",
}
"""Without zstd, for which PySpark's Hadoop needs a library of the system's."""
PACKED = [name for name in CODECS if name != "none"]
LINES = ["a", "é", "", " c ", *(f"line {i} of many" for i in range(40_000))]
PICKLED: list[Any] = [1, "two", None, {3: [4.5]}, (5, {6}), b"raw", 2**100, float("-inf")] * 20
FILES = [(name, codec) for name in PAIRS for codec in (CODECS if name in ("many", "int-map") else ("none", "zlib"))]
BATCHES = [-1, 0, 1, 10]
SPLITS = [1, 3, 50]
DELIMITED = "a||b|||c||||d\n||e\r\nf|"

pytestmark = pytest.mark.timeout(400)  # the first test waits for PySpark, which takes half a minute on two free cores

PROGRAM = """
import json, os, sys
from pyspark import SparkConf, SparkContext

data, folder = eval(open(sys.argv[1]).read(), {"inf": float("inf")}), sys.argv[2]
sc = SparkContext("local[2]", "files", conf=SparkConf().set("spark.ui.enabled", "false"))
sc.setLogLevel("OFF")
there = lambda *names: os.path.join(folder, *names)
found = {}

record = {"mapreduce.output.fileoutputformat.compress": "true", "mapreduce.output.fileoutputformat.compress.type": "RECORD"}
for name, codec in data["files"]:
    java, pairs = data["codecs"][codec], sc.parallelize(data["pairs"][name], 1)
    pairs.saveAsSequenceFile(there("theirs", name + "-" + codec), java)
    found[name, codec] = sc.sequenceFile(there("ours", name + "-" + codec)).collect()
    if java:
        pairs.saveAsHadoopFile(
            there("theirs", name + "-record-" + codec), "org.apache.hadoop.mapred.SequenceFileOutputFormat",
            conf={**record, "mapreduce.output.fileoutputformat.compress.codec": java})
for batch in data["batches"]:
    sc.parallelize(data["pickled"], 2).saveAsPickleFile(there("theirs", "pickled%d" % batch), batch)
    found["pickled", batch] = sc.pickleFile(there("ours", "pickled%d" % batch)).collect()
for codec in data["packed"]:
    found["packed", codec] = sc.textFile(there("ours", "packed-" + codec)).collect()
    sc.parallelize(data["lines"], 1).saveAsTextFile(there("theirs", "packed-" + codec), data["codecs"][codec])
    sc.parallelize([], 1).saveAsTextFile(there("theirs", "empty-" + codec), data["codecs"][codec])
found["text"] = sc.textFile(there("ours", "text")).collect(), sc.textFile(there("ours", "text-gz")).collect()
sc.parallelize(["a", "é", "", " c "], 2).saveAsTextFile(there("theirs", "text"))
sc.parallelize(["a", "é", "", " c "], 2).saveAsTextFile(there("theirs", "text-gz"), "org.apache.hadoop.io.compress.GzipCodec")

files = lambda rdd: [sorted((key, len(value)) for key, value in part) for part in rdd.glom().collect()]
for least in data["splits"]:
    for codec in data["codecs"]:
        found["split", codec, least] = [len(part) for part in sc.sequenceFile(
            there("ours", "many-" + codec), minSplits=least).glom().collect()]
    found["whole", least] = files(sc.wholeTextFiles(there("input"), least))
    found["binary", least] = files(sc.binaryFiles(there("input"), least))
    found["lines", least] = sc.textFile(there("input"), least).getNumPartitions()
found["texts"] = sorted(sc.wholeTextFiles(there("input")).collect() + sc.wholeTextFiles(there("packed.gz")).collect())
found["as bytes"] = sorted(sc.wholeTextFiles(there("input"), use_unicode=False).collect())
found["contents"] = sorted(sc.binaryFiles(there("packed.gz")).collect())
sc._jsc.hadoopConfiguration().set("textinputformat.record.delimiter", "||")
found["delimited"] = sc.textFile(there("delimited"), 1).collect()
sc._jsc.hadoopConfiguration().set("mapreduce.input.fileinputformat.input.dir.recursive", "true")
found["below"] = sorted(sc.wholeTextFiles(there("deep")).collect())
found["records"] = [part for part in sc.binaryRecords(there("fixed"), 7).glom().collect()]
with open(there("found"), "w") as out:
    out.write(repr(found))
sc.stop()
"""


@pytest.fixture(scope="module")
def folder(sc: Context, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``ours`` and ``theirs`` with the same data, ``input`` for both to read, and what PySpark ``found``."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "ours").mkdir()
    for name, codec in FILES:
        sc.parallelize(PAIRS[name], 1).saveAsSequenceFile(f"{folder}/ours/{name}-{codec}", CODECS[codec])
    for batch in BATCHES:
        sc.parallelize(PICKLED, 2).saveAsPickleFile(f"{folder}/ours/pickled{batch}", batch)
    sc.parallelize(["a", "é", "", " c "], 2).saveAsTextFile(f"{folder}/ours/text")
    sc.parallelize(["a", "é", "", " c "], 2).saveAsTextFile(f"{folder}/ours/text-gz", CODEC + "GzipCodec")
    for codec in PACKED:
        sc.parallelize(LINES, 1).saveAsTextFile(f"{folder}/ours/packed-{codec}", CODECS[codec])
    (folder / "delimited").write_text(DELIMITED)
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "one").write_text("1")
    (folder / "deep" / "er" / "two").write_text("2")
    (folder / "input").mkdir()
    # Of one size, or none: PySpark takes files in the order that the file system gives them.
    for place in range(7):
        (folder / "input" / f"{place} %20").write_bytes(b"line\n" * 20 if place % 3 else b"")
    (folder / "packed.gz").write_bytes(gzip.compress(b"packed"))
    (folder / "fixed").write_bytes(random.Random(1).randbytes(7_000))
    (folder / "data").write_text(repr(
        {"pairs": PAIRS, "codecs": CODECS, "files": FILES, "pickled": PICKLED, "batches": BATCHES, "splits": SPLITS,
         "packed": PACKED, "lines": LINES}))
    (folder / "program.py").write_text(PROGRAM)
    ran = installed.run(str(folder / "program.py"), str(folder / "data"), str(folder), timeout_s=380)
    assert ran.returncode == 0, ran.stderr[-5000:]
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[Any, Any]:
    values = eval(  # repr's of inf and bytearrays are no literals
        compile(ast.parse((folder / "found").read_text(), mode="eval"), "found", "eval"), {"inf": float("inf")})
    assert isinstance(values, dict)
    return values


@pytest.mark.parametrize(("name", "codec"), FILES)
def test_pyspark_reads_our_sequence_files(found: dict[Any, Any], name: str, codec: str) -> None:
    assert found[name, codec] == PAIRS[name]


@pytest.mark.parametrize(("name", "codec"), FILES)
def test_we_read_pysparks_sequence_files(sc: Context, folder: Path, name: str, codec: str) -> None:
    assert sc.sequenceFile(f"{folder}/theirs/{name}-{codec}", minSplits=4).collect() == PAIRS[name]
    if codec != "none":
        assert sc.sequenceFile(f"{folder}/theirs/{name}-record-{codec}", minSplits=4).collect() == PAIRS[name]


@pytest.mark.parametrize("name", PAIRS)
def test_plain_files_are_the_same_but_for_their_sync_bytes(folder: Path, name: str) -> None:
    ours, theirs = ((folder / side / f"{name}-none" / "part-00000").read_bytes() for side in ("ours", "theirs"))
    at = next(place for place, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other)
    pairs = [(data[:at], data[at : at + 16], data[at + 16 :]) for data in (ours, theirs)]
    (start, sync, rest), (other_start, other_sync, other_rest) = pairs
    assert start == other_start
    if "map" not in name:  # Java writes a map's entries in an order of its own
        assert rest.replace(sync, b"SYNC") == other_rest.replace(other_sync, b"SYNC")


@pytest.mark.parametrize("batch", BATCHES)
def test_pickle_files_are_read_on_both_sides(sc: Context, folder: Path, found: dict[Any, Any], batch: int) -> None:
    assert sorted(found["pickled", batch], key=repr) == sorted(PICKLED, key=repr)  # the file system's order of the parts
    assert sc.pickleFile(f"{folder}/theirs/pickled{batch}").collect() == PICKLED


def test_text_files_are_read_on_both_sides(sc: Context, folder: Path, found: dict[Any, Any]) -> None:
    assert [sorted(lines) for lines in found["text"]] == [["", " c ", "a", "é"]] * 2
    for name in ("text", "text-gz"):
        assert sc.textFile(f"{folder}/theirs/{name}").collect() == ["a", "é", "", " c "]
        theirs = {part for part in os.listdir(folder / "theirs" / name) if not part.endswith(".crc")}
        assert theirs == set(os.listdir(folder / "ours" / name))


@pytest.mark.parametrize("least", SPLITS)
def test_sequence_files_are_cut_alike(sc: Context, folder: Path, found: dict[Any, Any], least: int) -> None:
    for codec in CODECS:
        rdd = sc.sequenceFile(f"{folder}/ours/many-{codec}", minSplits=least)
        assert [len(part) for part in rdd.glom().collect()] == found["split", codec, least]


@pytest.mark.parametrize("least", SPLITS)
def test_whole_files_are_put_together_alike(sc: Context, folder: Path, found: dict[Any, Any], least: int) -> None:
    def lengths(parts: list[list[tuple[str, Any]]]) -> list[list[int]]:
        return [[length for _, length in part] for part in parts]

    texts, binaries = sc.wholeTextFiles(f"{folder}/input", least), sc.binaryFiles(f"{folder}/input", least)
    for rdd, kind in ((texts, "whole"), (binaries, "binary")):
        ours = [sorted((key, len(value)) for key, value in part) for part in rdd.glom().collect()]
        assert [sorted(part) for part in lengths(ours)] == [sorted(part) for part in lengths(found[kind, least])]
    assert sc.textFile(f"{folder}/input", least).getNumPartitions() == found["lines", least]


def test_whole_files_and_records_are_the_same(sc: Context, folder: Path, found: dict[Any, Any]) -> None:
    texts = sc.wholeTextFiles(f"{folder}/input").collect() + sc.wholeTextFiles(f"{folder}/packed.gz").collect()
    assert sorted(texts) == found["texts"]
    assert sorted(sc.wholeTextFiles(f"{folder}/input", use_unicode=False).collect()) == found["as bytes"]
    assert sc.binaryFiles(f"{folder}/packed.gz").collect() == found["contents"]
    assert sc.binaryRecords(f"{folder}/fixed", 7).glom().collect() == found["records"]


@pytest.mark.parametrize("codec", PACKED)
def test_packed_text_is_read_on_both_sides(sc: Context, folder: Path, found: dict[Any, Any], codec: str) -> None:
    assert found["packed", codec] == LINES
    assert sc.textFile(f"{folder}/theirs/packed-{codec}").collect() == LINES
    assert sc.textFile(f"{folder}/theirs/empty-{codec}").collect() == []
    names = [sorted(os.listdir(folder / side / f"packed-{codec}")) for side in ("ours", "theirs")]
    assert names[0] == [name for name in names[1] if not name.endswith(".crc")]


def test_delimiters_and_folders_of_folders_are_read_alike(sc: Context, folder: Path, found: dict[Any, Any]) -> None:
    assert sc.textFile(f"{folder}/delimited", 1, delimiter="||").collect() == found["delimited"]
    assert sorted(sc.wholeTextFiles(f"{folder}/deep", recursive=True).collect()) == found["below"]
