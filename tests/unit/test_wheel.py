"""What users get without a clone: a wheel has the programs, the pages and the batch scripts, and they work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mpirdd.launch import cli
from mpirdd.protocol.package import page

ROOT = Path(__file__).parents[2]
PARTS = ("mpirdd", "jobs", "docs", "slurm", "setup.py", "pyproject.toml", "README.md")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as ``pip install`` makes it."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for part in PARTS:  # a copy, as setuptools leaves its build folder in the source
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, source / part)
    words = ["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--target", str(target), str(source)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=100)
    if "setuptools" in done.stderr and "No matching distribution" in done.stderr:
        pytest.skip("pip gets no setuptools here")
    assert done.returncode == 0, done.stderr
    return target


def mpirdd(installed: Path, folder: Path, *words: str) -> str:
    """What ``mpirdd words`` prints, of the installed package."""
    done = subprocess.run(
        [sys.executable, "-m", "mpirdd", *words], cwd=folder, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(installed)})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.second_lane
def test_an_installed_package_lists_its_programs_and_scripts(installed: Path, tmp_path: Path) -> None:
    out = mpirdd(installed, tmp_path, "examples")
    assert re.search("^wordcount +Word count: the commonest words", out, re.M)
    assert "checked" not in out  # a module of the programs
    assert "many-nodes.sh" in out


@pytest.mark.second_lane
def test_programs_of_an_installed_package_run_where_they_were_copied_to(installed: Path, tmp_path: Path) -> None:
    assert "mpirdd run -n 4 mine/wordcount.py" in mpirdd(installed, tmp_path, "examples", "mine")
    assert mpirdd(installed, tmp_path, "run", "-n", "1", "mine/wordcount.py", "--top", "1").split()[1] == "the"
    assert (tmp_path / "mine" / "slurm" / "resume.sh").read_text() == (ROOT / "slurm" / "resume.sh").read_text()
    assert not list(tmp_path.glob("mine/slurm/*.py"))


@pytest.mark.second_lane
def test_messages_name_pages_that_are_there_and_their_links_lead_somewhere(installed: Path, tmp_path: Path) -> None:
    pages = re.findall(r"\S+\.md", mpirdd(installed, tmp_path, "run", "--help").replace("\n", " "))
    code = "from mpirdd.protocol.package import page; print(page('API.md'), page('CLUSTER.md'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(installed)})
    assert pages
    for path in map(Path, done.stdout.split()):
        assert path.is_relative_to(installed)
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text())
        assert [link for link in links if not (path.parent / link).exists()] == []


def test_a_clone_copies_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["examples", str(tmp_path / "mine")]) == 0
    assert (tmp_path / "mine" / "data" / "state_union").is_dir()
    assert cli.main(["examples"]) == 0
    assert "pagerank" in capsys.readouterr().out
    assert os.path.exists(page("CLUSTER.md"))


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wordcount.py").write_text("mine")
    assert cli.main(["examples", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert (tmp_path / "wordcount.py").read_text() == "mine"
