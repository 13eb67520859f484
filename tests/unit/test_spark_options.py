"""spark-submit's options: their keys, their ranks, and what is said of those without effect."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from mpirdd.api.conf import SUBMITTED, Conf
from mpirdd.launch import cli, spark_options
from mpirdd.protocol.errors import UsageError


def parsed(*words: str) -> Namespace:
    parser = ArgumentParser()
    spark_options.add_options(parser)
    return parser.parse_args(words)


def test_an_option_wins_over_conf_and_conf_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "spark-defaults.conf"
    path.write_text("# defaults\n\nspark.app.name   from file\nspark.a=1\nspark.b: 2 = 3\nspark.executor.memory\t1g\n")
    keys = spark_options.conf_of(parsed(
        "--properties-file", str(path), "--conf", "spark.a=x=y", "--conf", "spark.app.name=from conf", "--executor-memory", "2g"))
    assert keys == {"spark.app.name": "from conf", "spark.a": "x=y", "spark.b": "2 = 3", "spark.executor.memory": "2g"}


@pytest.mark.parametrize(("words", "ranks"), [
    (["--num-executors", "3"], 4), (["--num-executors", "3", "--executor-cores", "2"], 7), (["--total-executor-cores", "5"], 6),
    (["--conf", "spark.executor.instances=2"], 3), ([], None),
])
def test_executors_become_ranks_with_one_for_the_driver(words: list[str], ranks: int | None) -> None:
    assert spark_options.ranks_of(spark_options.conf_of(parsed(*words)), None) == ranks


def test_n_and_the_number_of_executors_must_agree() -> None:
    keys = spark_options.conf_of(parsed("--num-executors", "3"))
    assert spark_options.ranks_of(keys, 4) == 4
    with pytest.raises(UsageError, match=r"-n 5 are 4 executors and the driver, .* ask for 3"):
        spark_options.ranks_of(keys, 5)


@pytest.mark.parametrize(("words", "message"), [
    (["--conf", "no-value"], "--conf no-value: it must be KEY=VALUE"),
    (["--conf", "=1"], "it must be KEY=VALUE"),
    (["--properties-file", "nothing.conf"], "nothing.conf cannot be read: No such file"),
    (["--py-files", "here.py,"], "--py-files: no such file: here.py"),
    (["--archives", "a.zip#name"], "--archives: no such file: a.zip"),
    (["--executor-memory", "lots"], "--executor-memory='lots' is not a size|--executor-memory .*lots.* is not a size"),
    (["--conf", "spark.default.parallelism=many"], "--conf spark.default.parallelism"),
    (["--conf", "mpirdd.nothing=1"], "unknown setting mpirdd.nothing"),
])
def test_what_makes_no_sense_is_told_as_it_was_typed(words: list[str], message: str, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        spark_options.conf_of(parsed(*words))


def test_a_number_of_executors_that_is_none_is_told() -> None:
    with pytest.raises(UsageError, match=r"--num-executors .* must be a whole number above 0, not '0'"):
        spark_options.ranks_of({"spark.executor.instances": "0"}, None)


def test_options_without_effect_are_told_with_what_happens_instead() -> None:
    said = spark_options.remarks(parsed("--master", "yarn", "--packages", "a:b:1", "--driver-memory", "1g", "--supervise"))
    assert [line.split(" has no effect")[0] for line in said] == ["--master yarn", "--packages a:b:1", "--driver-memory 1g"]
    assert "-n says how many" in said[0] and "pip install" in said[1] and "--max-result" in said[2]


def test_a_conf_begins_with_the_keys_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SUBMITTED, json.dumps({"spark.a": "1", "spark.app.name": "given"}))
    assert Conf().setAppName("own").getAll() == [("spark.a", "1"), ("spark.app.name", "own")]
    assert Conf(False).getAll() == []
    assert Conf().copy().getAll() == Conf().getAll()


def test_folders_of_modules_and_archives_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SUBMITTED, json.dumps({"spark.submit.pyFiles": "/a/x.py,/a/y.py,/b/z.zip,hdfs://h/w.zip"}))
    assert spark_options.importable() == ["/a", "/b/z.zip"]


@pytest.mark.parametrize(("words", "message"), [
    (["run", "--excutor-memory", "2g", "job.py"], "mpirdd run: error: no option --excutor-memory; did you mean --executor-m"),
    (["doctor", "--jsn"], "mpirdd doctor: error: no option --jsn; did you mean --json?"),
    (["run", "--zzz"], "mpirdd run: error: no option --zzz\n"),
    (["rn", "job.py"], "no command rn; did you mean run?"),
    (["job.py"], "no command job.py; to run a program: mpirdd run job.py"),
])
def test_a_misspelt_word_gets_the_nearest_one_and_the_usage_of_its_command(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith(f"usage: mpirdd {words[0]} " if "option" in message else "usage: mpirdd [-h]")
