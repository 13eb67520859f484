"""A program that imports pyspark without --pyspark is told of the option, once; others are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from launcher import with_mpirun
from ways import run

pytestmark = [with_mpirun, pytest.mark.timeout(60)]

IMPORTS = """
for _ in range(2):
    try:
        import pyspark
        from pyspark import SparkContext
    except ImportError as error:
        print(error)
"""


@pytest.mark.parametrize("way", ["mpirdd run -n 3", "mpirdd run -n 1", "mpirun -m mpirdd"])
def test_a_program_that_imports_pyspark_is_told_of_the_option(way: str, tmp_path: Path) -> None:
    (tmp_path / "pyspark").mkdir()
    (tmp_path / "pyspark" / "__init__.py").write_text("class SparkContext: pass\nprint('the real one')\n")
    ended = run(way, tmp_path, IMPORTS)
    assert (ended.code, ended.out) == (0, "the real one\n"), ended.all
    assert ended.err.count("mpirdd run --pyspark") == 1, ended.all


def test_it_is_told_where_there_is_no_pyspark_too(tmp_path: Path) -> None:
    ended = run("mpirdd run -n 1", tmp_path, IMPORTS)
    assert "mpirdd run --pyspark" in ended.err


def test_with_the_option_and_for_libraries_that_only_look_nothing_is_told(tmp_path: Path) -> None:
    ended = run("mpirdd run --pyspark -n 1", tmp_path, IMPORTS)
    assert (ended.code, ended.out, ended.err) == (0, "", ""), ended.all
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "looks.py").write_text(IMPORTS.replace("print(error)", "pass"))
    looks = "import sys, importlib.util\nsys.path.append('site-packages')\nimport looks\nimportlib.util.find_spec('pyspark')\n"
    ended = run("mpirdd run -n 1", tmp_path, looks)
    assert (ended.code, ended.err) == (0, ""), ended.all
