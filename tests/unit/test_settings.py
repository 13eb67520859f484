"""Settings: an argument, else the environment, else the default."""

from __future__ import annotations

import pickle
import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.settings import MIB, Settings, parse_setting, unknown_variables
from mpirdd.protocol.shown import shown_size


def test_defaults_hold_when_nothing_is_given() -> None:
    assert Settings.read({}) == Settings()


def test_an_argument_wins_over_the_environment() -> None:
    environment = {"MPIRDD_PARALLELISM": "7", "MPIRDD_APP_NAME": "outer"}
    assert Settings.read(environment).parallelism == 7
    read = Settings.read(environment, parallelism=3)
    assert (read.parallelism, read.app_name) == (3, "outer")


def test_none_means_not_given() -> None:
    assert Settings.read({"MPIRDD_APP_NAME": "outer"}, app_name=None).app_name == "outer"


@pytest.mark.parametrize(("name", "text", "value"), [
    ("exchange_bytes", str(8 * MIB), 8 * MIB),
    ("poll_sleep_s", "0.5", 0.5),
    ("log_level", "INFO", "INFO"),
    ("progress", "1", True),
    ("progress", "YES", True),
    ("progress", "false", False),
    ("progress", "", False),
])
def test_the_environment_is_read_by_type(name: str, text: str, value: object) -> None:
    read = getattr(Settings.read({f"MPIRDD_{name.upper()}": text}), name)
    assert read == value
    assert type(read) is type(value)


def test_every_setting_can_come_from_the_environment() -> None:
    for field in fields(Settings):
        default = getattr(Settings(), field.name)
        text = ("1" if default else "0") if isinstance(default, bool) else str(default)
        assert Settings.read({f"MPIRDD_{field.name.upper()}": text}) == Settings()


@pytest.mark.parametrize(("name", "text"), [
    ("PARALLELISM", "many"), ("PARALLELISM", "1.5"), ("POLL_SLEEP_S", "soon"), ("PROGRESS", "perhaps")])
def test_nonsense_in_the_environment_is_named(name: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"MPIRDD_{name}='{text}'"):
        Settings.read({f"MPIRDD_{name}": text})


def test_an_unknown_setting_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"paralelism.*parallelism"):
        Settings.read({}, paralelism=3)


@pytest.mark.parametrize(("name", "value"), [("parallelism", -1), ("exchange_bytes", 100), ("exchange_bytes", 1 << 31)])
def test_values_out_of_bounds_are_refused(name: str, value: int) -> None:
    with pytest.raises(UsageError, match=name):
        Settings.read({}, **{name: value})


@pytest.mark.parametrize(("name", "texts"), [
    *((name, ("-1", "nan")) for name in ("poll_sleep_s", "spin_s", "report_interval_s", "progress_every_s")),
    *((name, ("-1",)) for name in ("most_losses", "task_retries", "spares", "broadcast_bytes")),
    ("grace_s", ("-0.5", "nan", "inf")), ("ping_s", ("nan",)), ("executor_timeout_s", ("nan",))])
def test_what_is_no_length_or_number_is_refused(name: str, texts: tuple[str, ...]) -> None:
    for text in texts:
        with pytest.raises(UsageError, match=name):
            Settings.read({f"MPIRDD_{name.upper()}": text})


def test_other_variables_are_left_alone() -> None:
    assert Settings.read({"MPIRDD_TEST_REPORT": "x", "PARALLELISM": "3"}) == Settings()


def test_variables_that_mean_nothing_are_told_with_what_was_perhaps_meant() -> None:
    assert unknown_variables({"MPIRDD_MEMROY": "1g", "MPIRDD_TASKRETRIES": "3", "MPIRDD_COLOUR_OF_BARS": "red", "HOME": "x"}) == [
        ("MPIRDD_COLOUR_OF_BARS", None), ("MPIRDD_MEMROY", "MPIRDD_MEMORY"), ("MPIRDD_TASKRETRIES", "MPIRDD_TASK_RETRIES")]


def test_no_variable_that_this_repository_speaks_of_is_a_stranger() -> None:
    """Variables of tests, benchmarks and batch scripts count, too."""
    root = Path(__file__).parents[2]
    files = [path for folder in ("mpirdd", "benchmarks", "tests", "slurm", "docs", "jobs", ".github", "ci")
             for path in (root / folder).rglob("*") if path.suffix in (".py", ".sh", ".md", ".yml", ".sbatch")]
    spoken_of = {name for path in files if path != Path(__file__)
                 for name in re.findall(r"\bMPIRDD_[A-Z0-9_]*[A-Z0-9]\b", path.read_text())}
    assert len(spoken_of) > 10
    assert unknown_variables(spoken_of) == []


def test_an_error_calls_a_setting_by_the_name_that_the_user_knows() -> None:
    assert parse_setting("task_retries", "3", "--task-retries") == 3
    assert parse_setting("memory", "1m", "--memory") == 1 << 20
    with pytest.raises(UsageError, match=r"^--memory must be 0 \(automatic\) or at least 1 MiB for each rank, not 1024 bytes$"):
        parse_setting("memory", "1k", "--memory")
    with pytest.raises(UsageError, match=r"^--task-retries='x' is not a whole number$"):
        parse_setting("task_retries", "x", "--task-retries")


@pytest.mark.parametrize(("size", "text"), [
    (0, "0 B"), (1, "1 B"), (1_023, "1023 B"), (1_024, "1.0 KiB"), (40_000, "39.1 KiB"), (3 << 19, "1.5 MiB"),
    (123 << 20, "123 MiB"), (5 << 30, "5.0 GiB"), (7 << 40, "7.0 TiB")])
def test_sizes_are_shown_in_a_unit_that_fits(size: int, text: str) -> None:
    assert shown_size(size) == text


def test_settings_travel_and_cannot_be_changed() -> None:
    settings = Settings(parallelism=3)
    assert pickle.loads(pickle.dumps(settings)) == settings
    with pytest.raises(FrozenInstanceError):
        settings.parallelism = 4  # type: ignore[misc]


@pytest.mark.parametrize(("text", "size"), [
    ("512m", 512 << 20), ("2g", 2 << 30), ("1.5gib", 3 << 29), ("2 GB", 2 << 30), ("4096k", 4 << 20), ("1t", 1 << 40),
    ("1048576", 1 << 20), (" 3 M ", 3 << 20)])
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert Settings.read({"MPIRDD_MEMORY": text}).memory == size
    assert Settings.read({}, memory=text).memory == size
    assert Settings.read({}, memory=size).memory == size


@pytest.mark.parametrize("text", ["", "much", "2x", "-5m", "g", "1.2.3g"])
def test_what_is_no_size_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match=r"MPIRDD_MEMORY=.*512m"):
        Settings.read({"MPIRDD_MEMORY": text})


def test_less_than_a_mebibyte_is_no_budget() -> None:
    with pytest.raises(UsageError, match="at least 1 MiB"):
        Settings.read({}, memory="1000k")
    assert Settings.read({}, memory=0).memory == 0


def test_the_limit_of_results_can_be_taken_away() -> None:
    assert Settings.read({"MPIRDD_MAX_RESULT_BYTES": "0"}).max_result_bytes == 0
    assert Settings.read({}).max_result_bytes == Settings.read({"MPIRDD_MAX_RESULT_BYTES": "-1"}).max_result_bytes == -1
