"""``mpirdd mapreduce`` with real commands, against ``cat input | mapper | sort | reducer`` in a
shell."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from launcher import with_mpirun

ROOT = Path(__file__).parents[2]
RECORDS = [f"{name}\t{number}" for number in range(400) for name in ("ann", "bob", "eve", "Zoë", "two words")[: number % 5 + 1]]
WORDS = ["to be or not to be", "that is the question", "", "be\tquick"] * 50

MAPPER = '''
import sys
for line in sys.stdin.buffer:
    for word in line.split():
        sys.stdout.buffer.write(word + b"\\t1\\n")
'''
REDUCER = '''
import sys
from itertools import groupby
pairs = (line.rstrip("\\n").split("\\t") for line in sys.stdin)
for word, group in groupby(pairs, key=lambda pair: pair[0]):
    print(word, sum(int(count) for _, count in group), sep="\\t")
'''


pytestmark = [with_mpirun, pytest.mark.timeout(60), pytest.mark.second_lane]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "map.py").write_text(MAPPER)
    (tmp_path / "reduce.py").write_text(REDUCER)
    (tmp_path / "records.txt").write_text("".join(f"{line}\n" for line in RECORDS))
    (tmp_path / "words.txt").write_text("".join(f"{line}\n" for line in WORDS))
    return tmp_path


def mapreduce(folder: Path, *words: str, ranks: int = 3) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "mpirdd", "mapreduce", "-n", str(ranks), "--output", "out", *words],
        cwd=folder, env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(folder)}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=50, check=False)


def output(folder: Path, *words: str, ranks: int = 3) -> list[str]:
    done = mapreduce(folder, *words, ranks=ranks)
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "out" / "_SUCCESS").exists()
    return [line for part in sorted((folder / "out").glob("part-*")) for line in part.read_text().splitlines()]


def shell(folder: Path, file: str, mapper: str, reducer: str) -> list[str]:
    done = subprocess.run(["bash", "-c", f"cat {file} | {mapper} | sort -s -t '\t' -k1,1 | {reducer}"], cwd=folder,
                          env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


PYTHON = shlex.quote(sys.executable)


@pytest.mark.parametrize(("file", "mapper", "reducer"), [
    ("records.txt", "cat", "cat"),
    ("records.txt", "cat", "cut -f1"),
    ("records.txt", "cat", "uniq -c"),
    ("records.txt", "grep -v bob", "wc -l"),
    ("records.txt", "cat", "tac"),
    ("records.txt", "awk -F'\\t' '$2 % 3 == 0 {print $1 \"\\t\" $2 * 2}'",
     "awk -F'\\t' '{s[$1] += $2} END {for (k in s) print k \"\\t\" s[k]}'"),
    ("words.txt", "tr ' ' '\\n'", "uniq -c"),
    ("words.txt", f"{PYTHON} map.py", f"{PYTHON} reduce.py"),
])
def test_one_reducer_gives_what_the_shell_gives(folder: Path, file: str, mapper: str, reducer: str) -> None:
    expected = shell(folder, file, mapper, reducer)
    assert expected
    assert output(folder, "--input", file, "--mapper", mapper, "--reducer", reducer, "--num-reducers", "1") == expected


@pytest.mark.parametrize("mode", ["memory", "mapreduce"])
@pytest.mark.parametrize("ranks", [1, 3])
def test_in_both_modes_with_a_combiner_and_several_reducers(folder: Path, mode: str, ranks: int) -> None:
    reducer = f"{PYTHON} reduce.py"
    found = output(folder, "--input", "words.txt", "--mapper", f"{PYTHON} map.py", "--combiner", reducer, "--reducer", reducer,
                   "--num-reducers", "4", "--mode", mode, ranks=ranks)
    assert sorted(found) == sorted(shell(folder, "words.txt", f"{PYTHON} map.py", reducer))
    assert len(list((folder / "out").glob("part-*"))) == 4


def test_without_reducers_the_mappers_lines_are_the_output(folder: Path) -> None:
    assert output(folder, "--input", "records.txt", "--mapper", "cut -f2", "--num-reducers", "0") == [
        line.split("\t")[1] for line in RECORDS]


def test_several_inputs(folder: Path) -> None:
    assert output(folder, "--input", "records.txt", "--input", "words.txt", "--mapper", "cat", "--reducer", "wc -l",
                  "--num-reducers", "1") == [str(len(RECORDS) + len(WORDS))]


@pytest.mark.parametrize(("role", "words"), [
    ("mapper", ["--mapper", "sh -c 'cat >/dev/null; echo it is broken >&2; exit 3'", "--reducer", "cat"]),
    ("reducer", ["--mapper", "cat", "--reducer", "sh -c 'cat >/dev/null; echo it is broken >&2; exit 3'"]),
])
def test_a_command_that_fails_fails_the_job_with_the_end_of_its_stderr(folder: Path, role: str, words: list[str]) -> None:
    done = mapreduce(folder, "--input", "records.txt", *words)
    assert done.returncode == 1
    assert f"the {role} `sh -c" in done.stderr
    assert "exit code 3; its stderr ended:\nit is broken" in done.stderr
    assert done.stderr.startswith("mpirdd: mpirdd.CommandError: ")
    assert "repartitionAndSort" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "out").exists()


def test_a_command_that_is_not_there_is_named(folder: Path) -> None:
    done = mapreduce(folder, "--input", "records.txt", "--mapper", "no-such-command -x", "--reducer", "cat")
    assert done.returncode == 1
    assert "the mapper `no-such-command -x` cannot be run on" in done.stderr


@pytest.mark.parametrize(("mapper", "what"), [
    ("cat | grep x", "the mapper `cat | grep x` contains |, but runs without a shell; write sh -c 'cat | grep x'"),
    ("", "the mapper is an empty command"),
    ("grep 'x", "the mapper `grep 'x` cannot be split into words: No closing quotation"),
])
def test_a_command_that_makes_no_sense_is_refused_before_anything_runs(folder: Path, mapper: str, what: str) -> None:
    done = mapreduce(folder, "--input", "records.txt", "--mapper", mapper, "--reducer", "cat")
    assert done.returncode == 2
    assert done.stderr.startswith(f"mpirdd: {what}")
    assert not (folder / "out").exists()


def test_lines_of_the_input_end_as_hadoop_has_it(folder: Path) -> None:
    (folder / "ends.txt").write_bytes(b"a\r\nb\rc\n")
    assert output(folder, "--input", "ends.txt", "--mapper", "cat", "--num-reducers", "0") == ["a", "b", "c"]


def test_help_lists_no_option_of_python_programs(folder: Path) -> None:
    assert "--pyspark" not in mapreduce(folder, "--help").stdout


def test_a_job_without_a_reducer_is_refused_before_ranks_start(folder: Path) -> None:
    done = mapreduce(folder, "--input", "records.txt", "--mapper", "cat")
    assert done.returncode == 2
    assert done.stderr == "mpirdd: which reducer? --reducer CMD, or --num-reducers 0 for a job without one\n"


def test_what_commands_say_on_stderr_comes_out(folder: Path) -> None:
    done = mapreduce(folder, "--input", "records.txt", "--mapper", "sh -c 'cat; echo all is well >&2'", "--reducer", "cat")
    assert done.returncode == 0
    assert "all is well" in done.stderr + done.stdout
