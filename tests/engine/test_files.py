"""Reading and writing files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from beside import Cell, sizes

from mpirdd import Context
from mpirdd.api.conf import Conf
from mpirdd.formats.compression import codec_named
from mpirdd.protocol.errors import InputError, RecordError, TaskError, UsageError

DEFAULT = "org.apache.hadoop.io.compress.DefaultCodec"


# --- pickle files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [-1, 0, 1, 10])
def test_pickled_records_come_back(sc: Context, tmp_path: Path, batch: int) -> None:
    data = [1, "two", None, {3: [4.5]}, Cell(1, "x"), b"raw", 2**100] * 7
    sc.parallelize(data, 3).saveAsPickleFile(str(tmp_path / "out"), batch)
    assert sc.pickleFile(str(tmp_path / "out")).collect() == data
    assert sizes(sc.pickleFile(str(tmp_path / "out"))) == sizes(sc.parallelize(data, 3))
    assert sorted(os.listdir(tmp_path / "out")) == ["_SUCCESS", "part-00000", "part-00001", "part-00002"]


def test_records_of_the_programs_own_classes_are_pickled_by_value(sc: Context, tmp_path: Path) -> None:
    class Own:
        def __init__(self, x: int) -> None:
            self.x = x

    sc.parallelize(range(4), 2).map(Own).saveAsPickleFile(str(tmp_path / "out"))
    assert [own.x for own in sc.pickleFile(str(tmp_path / "out")).collect()] == [0, 1, 2, 3]


def test_an_empty_rdd_comes_back_from_a_pickle_file(sc: Context, tmp_path: Path) -> None:
    sc.parallelize([], 2).saveAsPickleFile(str(tmp_path / "two"))
    assert sizes(sc.pickleFile(str(tmp_path / "two"))) == [0, 0]
    sc.emptyRDD().saveAsPickleFile(str(tmp_path / "none"))
    assert sc.pickleFile(str(tmp_path / "none")).collect() == []


def test_pickle_files_are_read_together(sc: Context, tmp_path: Path) -> None:
    sc.parallelize([1, 2], 1).saveAsPickleFile(str(tmp_path / "a"))
    sc.parallelize([3], 1).saveAsPickleFile(str(tmp_path / "b"))
    assert sc.pickleFile(f"{tmp_path}/a,{tmp_path}/b").collect() == [1, 2, 3]
    assert sc.pickleFile(f"{tmp_path}/[ab]").collect() == [1, 2, 3]


@pytest.mark.parametrize("batch", [-2, 1.5, "10", True])
def test_a_batch_size_that_is_none_is_refused(sc: Context, tmp_path: Path, batch: Any) -> None:
    with pytest.raises(UsageError, match="batchSize"):
        sc.parallelize([1]).saveAsPickleFile(str(tmp_path / "out"), batch)


# --- sequence files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", [None, "zlib", "gzip", "bz2", DEFAULT, "org.apache.hadoop.io.compress.BZip2Codec"])
@pytest.mark.parametrize(
    "data",
    [
        [(1, "a"), (-2, ""), (3, "ä" * 300)], [("k", 1.5)], [(True, None), (False, None)], [(2**40, 2.5), (1, 0.0)],
        [(1, {"a": {"b": None}, 2: True})], [("x", (1, 2)), ("y", ())], [(0, ((1.5, 2.5), ()))],
    ],
)
def test_pairs_come_back_from_a_sequence_file(sc: Context, tmp_path: Path, data: list[Any], codec: str | None) -> None:
    sc.parallelize(data, 2).saveAsSequenceFile(str(tmp_path / "out"), codec)
    assert sc.sequenceFile(str(tmp_path / "out")).collect() == data


def test_bytes_come_back_as_bytearrays(sc: Context, tmp_path: Path) -> None:
    sc.parallelize([(None, b"a"), (None, bytearray(b"b"))], 1).saveAsSequenceFile(str(tmp_path / "out"))
    assert sc.sequenceFile(str(tmp_path / "out")).values().collect() == [bytearray(b"a"), bytearray(b"b")]


def test_large_sequence_files_are_read_in_parts(sc: Context, tmp_path: Path) -> None:
    data = [(i, "x" * 100) for i in range(20_000)]
    for codec in (None, "zlib"):
        sc.parallelize(data, 1).saveAsSequenceFile(str(tmp_path / f"{codec}"), codec)
        assert sc.sequenceFile(str(tmp_path / f"{codec}"), minSplits=7).collect() == data
    assert sc.sequenceFile(str(tmp_path / "None"), minSplits=7).getNumPartitions() == 7
    assert min(sizes(sc.sequenceFile(str(tmp_path / "None"), minSplits=7))) > 2000


def test_classes_can_be_named(sc: Context, tmp_path: Path) -> None:
    pairs = sc.parallelize([(1, 0.5), (2**40, 1.5)], 2)
    pairs.saveAsSequenceFile(
        str(tmp_path / "out"), keyClass="org.apache.hadoop.io.LongWritable", valueClass="org.apache.hadoop.io.FloatWritable")
    assert sc.sequenceFile(str(tmp_path / "out")).collect() == pairs.collect()
    assert b"FloatWritable" in (tmp_path / "out" / "part-00000").read_bytes()
    sc.parallelize([], 2).saveAsSequenceFile(str(tmp_path / "empty"), keyClass="Text", valueClass="Text")
    assert sizes(sc.sequenceFile(str(tmp_path / "empty"))) == [0, 0]


def test_what_cannot_be_a_sequence_file_is_refused_and_leaves_nothing(sc: Context, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    for data, codec, error, message in (
        ([], None, UsageError, "empty.*keyClass"),
        ([1], None, RecordError, "pairs"),
        ([(1, 2, 3)], None, RecordError, "pairs"),
        ([(1, [2])], None, RecordError, "value.*list"),
        ([(1, (1, "a"))], None, RecordError, "one class"),
        ([(2**70, 1)], None, RecordError, "64 bits"),
        ([(1, 1), (2**40, 2)], None, TaskError, "keyClass"),
        ([(1, 1), ("a", 2)], None, TaskError, "keyClass"),
        ([(1, 1), 5], None, TaskError, "pairs"),
        ([(1, 1)], "org.apache.hadoop.io.compress.LzoCodec", UsageError, "LzoCodec"),
    ):
        with pytest.raises(error, match=f"(?s){message}"):
            sc.parallelize(data, 2).saveAsSequenceFile(out, codec)
        assert not os.path.exists(out)
    with pytest.raises(UsageError, match=r"no\.such\.Class"):
        sc.parallelize([(1, 1)]).saveAsSequenceFile(out, keyClass="no.such.Class")


def test_an_existing_folder_is_refused_by_all_sinks(sc: Context, tmp_path: Path) -> None:
    rdd = sc.parallelize([(1, 1)])
    for save in (rdd.saveAsTextFile, rdd.saveAsPickleFile, rdd.saveAsSequenceFile):
        with pytest.raises(UsageError, match="exists already"):
            save(str(tmp_path))


def test_all_sinks_take_path_objects_and_refuse_what_is_no_path(
    sc: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rdd = sc.parallelize([("a", 1)], 1)
    monkeypatch.setenv("HOME", str(tmp_path))
    for save in (rdd.saveAsTextFile, rdd.saveAsPickleFile, rdd.saveAsSequenceFile):
        save(tmp_path / save.__name__)
        save(f"~/home-{save.__name__}")
        assert (tmp_path / f"home-{save.__name__}" / "_SUCCESS").exists()
        for wrong, message in ((b"bytes", "is bytes"), (None, "must be str"), ("a\0b", "NUL"), ("", "empty"), (5, "must be str")):
            with pytest.raises(UsageError, match=message):
                save(wrong)


def test_java_converters_are_refused(sc: Context, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"keyConverter.*Java.*map"):
        sc.sequenceFile(str(tmp_path), keyConverter="some.Converter")


def test_a_file_that_is_no_sequence_file_fails_the_job_with_its_name(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("some text")
    for read in (sc.sequenceFile, sc.pickleFile):
        with pytest.raises(TaskError, match="text is not a SequenceFile"):
            read(str(tmp_path / "text")).count()


# --- whole files, records of one length, empty files ------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in (("a", b"one\ntwo"), ("b", b""), ("c", b"x" * 100), (".hidden", b"no")):
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_whole_files_are_read_with_their_address(sc: Context, folder: Path) -> None:
    texts = {f"file:{folder}/a": "one\ntwo", f"file:{folder}/b": "", f"file:{folder}/c": "x" * 100}
    assert sc.wholeTextFiles(str(folder)).collectAsMap() == texts
    assert sc.binaryFiles(str(folder)).mapValues(bytes.decode).collectAsMap() == texts
    assert sc.wholeTextFiles(str(folder), use_unicode=False).map(lambda x: (x[0].decode(), x[1].decode())).collectAsMap() == texts
    assert sc.wholeTextFiles(f"file://{folder}/[ac]", 5).count() == 2
    assert sc.textFile(sc.wholeTextFiles(f"{folder}/a").first()[0]).collect() == ["one", "two"]


def test_whole_files_and_text_files_are_cut_as_in_pyspark(sc: Context, folder: Path) -> None:
    assert sizes(sc.wholeTextFiles(str(folder), 2)) == [2, 1]
    assert sizes(sc.binaryFiles(str(folder), 2)) == [3]
    assert sc.textFile(f"{folder}/b").getNumPartitions() == 0
    assert sc.textFile(f"{folder}/a,{folder}/b").count() == 2


def test_text_that_is_not_utf8_fails_the_job_unless_asked_for(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"a\xffb")
    with pytest.raises(TaskError, match="bad is not UTF-8"):
        sc.wholeTextFiles(str(tmp_path)).count()
    assert sc.wholeTextFiles(str(tmp_path), errors="replace").values().collect() == ["a\ufffdb"]


def test_records_of_one_length_are_read(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"".join(b"%04d" % i for i in range(100)))
    (tmp_path / "b").write_bytes(b"wxyz")
    assert sc.binaryRecords(str(tmp_path), 4).collect() == [*(b"%04d" % i for i in range(100)), b"wxyz"]
    with pytest.raises(InputError, match="no multiple"):
        sc.binaryRecords(str(tmp_path), 3)
    for length in (0, -1, 1.5, None, True):
        with pytest.raises(UsageError, match="recordLength"):
            sc.binaryRecords(str(tmp_path), length)


def read_by(sc: Context, reader: str, path: Any, **more: Any) -> int:
    """How many records there are."""
    arguments = (path, 1) if reader == "binaryRecords" else (path,)
    count = getattr(sc, reader)(*arguments, **more).count()
    assert isinstance(count, int)
    return count


@pytest.mark.parametrize(
    "reader", ["textFile", "wholeTextFiles", "binaryFiles", "binaryRecords", "sequenceFile", "pickleFile"])
def test_all_readers_take_path_objects_lists_and_folders_of_folders(sc: Context, tmp_path: Path, reader: str) -> None:
    for name in ("one", "two"):
        if reader in ("sequenceFile", "pickleFile"):
            records = sc.parallelize([("x", 1)], 1)
            (records.saveAsSequenceFile if reader == "sequenceFile" else records.saveAsPickleFile)(tmp_path / name)
        else:
            (tmp_path / name).mkdir()
            (tmp_path / name / "file").write_bytes(b"x")
    assert read_by(sc, reader, tmp_path / "one") == 1
    assert read_by(sc, reader, [tmp_path / "one", str(tmp_path / "two")]) == 2
    with pytest.raises(InputError, match=r"holds the folder .*recursive=True"):
        read_by(sc, reader, tmp_path)
    assert read_by(sc, reader, tmp_path, recursive=True) == 2
    for wrong, message in ((b"bytes", "is bytes"), (None, "must be str or os.PathLike"), ("a\0", "NUL")):
        with pytest.raises(UsageError, match=message):
            read_by(sc, reader, wrong)


def test_hadoops_keys_for_delimiters_and_folders_count(sc: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_text("a\n1\n\nb\n\n\nc")
    conf = Conf().set("spark.hadoop.textinputformat.record.delimiter", "\n\n")
    monkeypatch.setattr(sc, "_conf", conf)
    assert sc.textFile(tmp_path / "deep").collect() == ["a\n1", "b", "\nc"]
    assert sc.textFile(tmp_path / "deep", delimiter="\n").count() == 7
    with pytest.raises(InputError, match="holds the folder"):
        sc.textFile(tmp_path)
    for key in ("mapreduce.input.fileinputformat.input.dir.recursive", "mapred.input.dir.recursive"):
        monkeypatch.setattr(sc, "_conf", conf.copy().set(f"spark.hadoop.{key}", True))
        assert sc.textFile(tmp_path, 5).collect() == ["a\n1", "b", "\nc"]
        assert sc.wholeTextFiles(tmp_path).count() == 1
        with pytest.raises(InputError, match="holds the folder"):
            sc.textFile(tmp_path, recursive=False)
    monkeypatch.setattr(sc, "_conf", conf.copy().set("spark.hadoop.mapred.input.dir.recursive", "yes"))
    with pytest.raises(UsageError, match="must be true or false, not 'yes'"):
        sc.textFile(tmp_path)


def test_text_in_other_encodings_is_read_in_parts(sc: Context, tmp_path: Path) -> None:
    lines = [f"ligne {i} é€ Ċ" for i in range(3000)]
    for encoding in ("utf-16", "utf-16-be", "utf-32"):
        (tmp_path / encoding).write_text("\r\n".join(lines), encoding, newline="")
        assert sc.textFile(tmp_path / encoding, 7, encoding=encoding).collect() == lines
        assert sc.textFile(tmp_path / encoding, 7, encoding=encoding).getNumPartitions() == 7
        ((_, whole),) = sc.wholeTextFiles(tmp_path / encoding, encoding=encoding).collect()
        assert whole == "\r\n".join(lines)
    (tmp_path / "latin").write_bytes("café\nà\n".encode("cp1252"))
    assert sc.textFile(tmp_path / "latin", 4, encoding="cp1252").collect() == ["café", "à"]
    for read in (sc.textFile, sc.wholeTextFiles):
        with pytest.raises(ValueError, match="unknown text encoding 'no-such'"):
            read(tmp_path, encoding="no-such")


@pytest.mark.parametrize("codec", ["gzip", "bzip2", "xz", "zlib", "zstd", "lz4", "snappy"])
def test_text_is_packed_and_read_again(sc: Context, tmp_path: Path, codec: str) -> None:
    pytest.importorskip({"zstd": "backports.zstd", "snappy": "cramjam"}.get(codec, "zlib"))
    lines = [f"line {i}" for i in range(5000)]
    sc.parallelize(lines, 2).saveAsTextFile(tmp_path / "out", codec)
    suffix = codec_named(codec).suffix
    assert sorted(os.listdir(tmp_path / "out")) == ["_SUCCESS", f"part-00000{suffix}", f"part-00001{suffix}"]
    assert sc.textFile(tmp_path / "out", 8).collect() == lines
    if codec != "xz":
        pairs = [(line, len(line)) for line in lines]
        sc.parallelize(pairs, 1).saveAsSequenceFile(tmp_path / "pairs", codec)
        assert sc.sequenceFile(tmp_path / "pairs", minSplits=3).collect() == pairs


def test_a_codec_that_is_none_is_refused_before_anything_is_written(sc: Context, tmp_path: Path) -> None:
    pairs = sc.parallelize([(1, 2)])
    for save in (pairs.saveAsTextFile, pairs.saveAsSequenceFile):
        with pytest.raises(UsageError, match="unknown compression 'lzo'"):
            save(tmp_path / "out", "lzo")
    with pytest.raises(UsageError, match="Hadoop has no codec for xz"):
        pairs.saveAsSequenceFile(tmp_path / "out", "xz")
    assert not os.path.exists(tmp_path / "out")


def test_keys_that_change_nothing_are_told_once(sc: Context, caplog: pytest.LogCaptureFixture) -> None:
    conf = Conf().setAll([
        ("spark.hadoop.mapreduce.input.fileinputformat.split.maxsize", 5), ("spark.app.name", "x"), ("own.key", 1),
        ("spark.hadoop.textinputformat.record.delimiter", "|"), ("spark.files.ignoreMissingFiles", "true"),
        ("spark.hadoop.fs.defaultFS", "file:///"),
    ])
    conf.settings()
    assert [record.getMessage().split()[2] for record in caplog.records] == [
        "spark.hadoop.mapreduce.input.fileinputformat.split.maxsize", "spark.files.ignoreMissingFiles"]


def test_a_missing_path_is_reported_by_the_call(sc: Context, tmp_path: Path) -> None:
    for read in (sc.textFile, sc.wholeTextFiles, sc.binaryFiles, sc.pickleFile, sc.sequenceFile,
                 lambda path: sc.binaryRecords(path, 1)):
        with pytest.raises(InputError, match="gone does not exist"):
            read(str(tmp_path / "gone"))
