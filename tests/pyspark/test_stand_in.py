"""``--pyspark`` provides the stand-in for the package ``pyspark``, which names what it lacks."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from py4j.protocol import Py4JJavaError
from pyspark import InheritableThread, Row, SparkConf, SparkContext, inheritable_thread_target
from pyspark.sql import SparkSession

import mpirdd
from mpirdd.launch import session
from mpirdd.protocol.errors import NotSupported

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def _no_context_stays() -> Iterator[None]:
    yield
    active = session.active_context()
    if active is not None:
        active.stop()


# --- the option -------------------------------------------------------------------------------------------------------


def run(*words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-m", "mpirdd", *words], capture_output=True, text=True, timeout=50, env=environment
    )


starts_runs = pytest.mark.skipif(session.transport().size > 1, reason="starts runs of its own")


@starts_runs
@pytest.mark.parametrize(
    "words",
    [["--pyspark"], ["run", "-n", "1", "--pyspark"], ["run", "-n", "2", "--pyspark"]],
    ids=["python -m mpirdd", "mpirdd run -n 1", "mpirdd run -n 2"],
)
def test_the_option_gives_the_stand_in_on_all_ranks(words: list[str], tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from pyspark import SparkContext, StorageLevel\n"
        "from pyspark.sql import Row\n"
        "sc = SparkContext('local[4]', 'a name')\n"
        "print(sc.appName, sc.parallelize([1]).map(lambda x: (StorageLevel.NONE, Row(x=x))).collect(), sys.argv[1:])\n"
    )
    done = run(*words, str(program), "--pyspark")
    shown = "a name [(StorageLevel(False, False, False, False, 1), Row(x=1))] ['--pyspark']\n"
    assert done.stdout == shown, done.stderr


@starts_runs
def test_without_the_option_there_is_no_stand_in(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import importlib.util as u; s = u.find_spec('pyspark'); print('mpirdd' in s.origin if s else False)\n"
    )
    assert run(str(program)).stdout == "False\n"


# --- what is there ----------------------------------------------------------------------------------------------------


def test_old_and_new_module_names_give_the_same_classes() -> None:
    for old, new in [
        ("rdd", "RDD"),
        ("context", "SparkContext"),
        ("broadcast", "Broadcast"),
        ("files", "SparkFiles"),
    ]:
        kinds = [getattr(importlib.import_module(f"pyspark{inner}.{old}"), new) for inner in ("", ".core")]
        assert kinds[0] is kinds[1] is getattr(importlib.import_module("pyspark"), new)


def test_a_session_reads_text_as_rows(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"one\ntwo \xff")
    with SparkSession.builder.appName("rows").config("spark.some.flag", True).getOrCreate() as spark:
        rows = spark.read.text(str(tmp_path / "lines")).rdd.collect()
        assert [(row[0], row.value, row["value"], row.asDict()) for row in rows] == [
            (text, text, text, {"value": text}) for text in ("one", "two \ufffd")
        ]
        assert repr(rows[0]) == "Row(value='one')"
        assert spark.conf.get("spark.some.flag") == "true"
        assert spark.sparkContext.appName == "rows"
        assert SparkSession.builder.getOrCreate().sparkContext is spark.sparkContext
    assert SparkSession.getActiveSession() is None


def test_a_session_reads_large_files_in_several_partitions(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text(
        ("x" * 99 + "\n") * 200_000
    )  # 20 MB; Spark makes ceil(20 / max(4, 24 / cores))
    spark = SparkSession(SparkContext(conf=SparkConf().set("spark.default.parallelism", 4)))
    lines = spark.read.text(str(tmp_path / "lines")).rdd
    assert (lines.getNumPartitions(), lines.count()) == (4, 200_000)


def test_rows_are_tuples_with_names() -> None:
    person = Row("name", "age")
    ada = person("Ada", 36)
    assert ada == Row(name="Ada", age=36) == ("Ada", 36)
    assert "age" in ada
    assert "Ada" not in ada
    assert Row(inner=ada).asDict(True) == {"inner": {"name": "Ada", "age": 36}}
    assert pickle.loads(pickle.dumps(ada)).name == "Ada"
    assert repr(person) == "<Row('name', 'age')>"


def test_configuration_becomes_settings_and_can_be_read_back() -> None:
    conf = (
        SparkConf()
        .setAppName("in conf")
        .setMaster("local[9]")
        .set("spark.default.parallelism", 7)
        .set("any.key", 1)
    )
    with SparkContext(appName="given", conf=conf, environment={"OF_THE_EXECUTORS": "yes"}) as sc:
        assert (sc.appName, sc.master, sc.defaultParallelism) == ("given", "local[9]", 7)
        assert sc.getConf().get("any.key") == "1"
        assert sc.parallelize([1]).map(lambda _: os.environ["OF_THE_EXECUTORS"]).collect() == ["yes"]
        sc.getConf().set("any.key", 2)
        assert sc.getConf().get("any.key") == "1"
    assert conf.get("spark.app.name") == "in conf"


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(mpirdd.UsageError, match="no_such_setting"):
        SparkContext(conf=SparkConf().set("mpirdd.no_such_setting", 1))


def test_what_py4j_reports_is_caught_as_such() -> None:
    with SparkContext() as sc:
        with pytest.raises(Py4JJavaError):
            sc.parallelize([0]).map(lambda x: 1 / x).collect()
        with pytest.raises(Py4JJavaError):
            sc.textFile("no such file").collect()


def test_profiles_tell_of_the_stages_on_both_sides_of_a_shuffle(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def slow_key(number: int) -> tuple[int, int]:
        return number % 3, number

    def double(pair: tuple[int, int]) -> int:
        return 2 * pair[1]

    with SparkContext(conf=SparkConf().set("spark.python.profile", "true")) as sc:
        sc.parallelize(range(30), 3).map(slow_key).reduceByKey(max).map(double).collect()
        sc.show_profiles()
        shown = capsys.readouterr().out
        sc.dump_profiles(str(tmp_path / "profiles"))
    assert shown.count("Profile of RDD<id=") == 2
    assert shown.index("(slow_key)") < shown.index("(double)")
    assert len(list((tmp_path / "profiles").iterdir())) == 2


def test_profiles_are_off_unless_asked_for() -> None:
    with SparkContext() as sc, pytest.raises(mpirdd.UsageError, match="profiling is off"):
        sc.show_profiles()


@pytest.mark.parametrize("how", ["InheritableThread", "inheritable_thread_target"])
def test_threads_inherit_group_tags_and_properties(how: str) -> None:
    seen: list[Any] = []
    with SparkContext() as sc:
        sc.setJobGroup("a group", "described")
        sc.addJobTag("a tag")
        sc.setLocalProperty("color", "red")

        def look() -> None:
            seen.extend(
                [sc.getLocalProperty("spark.jobGroup.id"), sc.getJobTags(), sc.getLocalProperty("color")]
            )
            sc.setLocalProperty("color", "blue")

        target = look if how == "InheritableThread" else inheritable_thread_target(look)
        thread = (InheritableThread if how == "InheritableThread" else Thread)(target=target)
        thread.start()
        thread.join()
        assert sc.getLocalProperty("color") == "red"
    assert seen == ["a group", {"a tag"}, "red"]


# --- what is not there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "import pyspark.ml",
        "import pyspark.pandas as ps",
        "from pyspark import mllib",
        "from pyspark import SQLContext",
        "from pyspark.ml.linalg import Vectors",
        "from pyspark.sql import DataFrame",
        "from pyspark.sql import functions as F",
        "from pyspark.sql.functions import col",
        "from pyspark.streaming import StreamingContext",
        "from pyspark.sql.types import StructType",
        "from pyspark.sql.types import Row, StructField",
        "from pyspark.serializers import UTF8Deserializer",
        "from pyspark.errors import AnalysisException",
        "from pyspark.util import VersionUtils",
        "from pyspark.core.rdd import PythonRDD",
    ],
)
def test_importing_what_is_not_there_names_mpirdd_and_the_missing_thing(statement: str) -> None:
    package = statement.split()[1].removesuffix(".linalg")
    with pytest.raises(ImportError, match=rf"mpirdd has no {package}"):
        exec(statement)


def test_a_star_gives_what_is_there_and_the_rest_names_mpirdd_when_it_is_used() -> None:
    names: dict[str, Any] = {}
    exec("from pyspark.sql.types import *", names)
    assert names["Row"](a=1).a == 1
    for use in lambda: names["StructType"]([]), lambda: names["StringType"].typeName():
        with pytest.raises(NotSupported, match=r"mpirdd has no pyspark.sql.types.St"):
            use()


def test_names_that_are_not_there_can_be_asked_for() -> None:
    import pyspark.sql.types
    import pyspark.util

    assert not hasattr(pyspark.sql.types, "StructType")
    assert getattr(pyspark.util, "VersionUtils", None) is None
    assert pickle.loads(pickle.dumps(Row)) is Row


def test_names_of_java_can_be_imported_and_say_that_there_is_none() -> None:
    from py4j.java_gateway import JavaGateway, JavaObject, java_import
    from pyspark.rdd import PythonEvalType

    assert PythonEvalType.SQL_BATCHED_UDF == 100
    assert not isinstance(3, JavaObject)
    for use in JavaGateway, lambda: java_import(None, "java.util.*"):
        with pytest.raises(NotSupported, match="no Java"):
            use()


@starts_runs
def test_programs_may_begin_with_findspark(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import findspark\nfindspark.init()\nimport pyspark\nprint(pyspark.SparkContext().range(4).sum())\n")
    assert run("run", "-n", "2", "--pyspark", str(program)).stdout == "6\n"


def test_modules_that_only_give_names_are_modules_like_others() -> None:
    module = importlib.import_module("pyspark.core.rdd")
    assert importlib.import_module("pyspark.rdd") is module
    assert module.__spec__ is not None and "pyspark._modules" in str(module.__doc__)
    assert module.RDD is mpirdd.RDD
    assert pickle.loads(pickle.dumps(module.RDDBarrier)) is module.RDDBarrier


def test_programs_can_ask_whether_something_is_there() -> None:
    try:
        import pyspark.ml  # noqa: F401
    except ImportError:
        return
    raise AssertionError("pyspark.ml was imported")


@pytest.mark.parametrize(
    "use",
    [
        lambda spark: spark.sql("select 1"),
        lambda spark: spark.createDataFrame([(1,)]),
        lambda spark: spark.range(3),
        lambda spark: spark.read.csv("x"),
        lambda spark: spark.read.text("x").show(),
        lambda spark: spark.sparkContext._jsc.sc(),
        lambda spark: spark.sparkContext.newAPIHadoopFile("x", "a", "b", "c"),
        lambda spark: spark.sparkContext.parallelize([(1,)]).toDF(["x"]),
        lambda spark: spark.sparkContext.setSystemProperty("a", "b"),
    ],
)
def test_calling_what_is_not_there_says_so(use: Callable[[SparkSession], object]) -> None:
    with SparkSession.builder.getOrCreate() as spark, pytest.raises(NotSupported, match=r"mpirdd|Java|here"):
        use(spark)


def test_hadoop_keys_reach_file_systems_and_formats(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1||2||3")
    with SparkSession.builder.getOrCreate() as spark:
        hadoop = spark.sparkContext._jsc.hadoopConfiguration()
        hadoop.set("textinputformat.record.delimiter", "||")
        hadoop.set("fs.s3a.access.key", "a key")
        assert spark.sparkContext.textFile(str(tmp_path / "a")).collect() == ["1", "2", "3"]
        assert hadoop.get("fs.s3a.access.key") == "a key" and hadoop.get("fs.s3a.secret.key") is None
        assert spark.sparkContext._storage(None).hadoop == {"fs.s3a.access.key": "a key"}


def test_members_that_are_not_there_can_be_asked_for() -> None:
    with SparkSession.builder.getOrCreate() as spark:
        assert not hasattr(spark, "sql")
        assert not hasattr(spark.sparkContext, "_jvm")
