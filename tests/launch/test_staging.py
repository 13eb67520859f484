"""``--stage-environment``: ranks find all that they find without it, and open next to nothing where the environment lies."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from launcher import with_mpirun
from ways import run

from mpirdd.launch.staging import Stage, _JobModules

pytestmark = [with_mpirun, pytest.mark.timeout(120)]

PROGRAM = """
import multiprocessing, os, subprocess, sys
from mpirdd import Context
import beside
from inside.deeper import value

def told(_):
    import shadow                                  # the user's PYTHONPATH has it
    late = __import__("hypo" + "thesis")           # no text says that it is needed
    child = subprocess.run([sys.executable, "-c", "import mpirdd, shadow; print(mpirdd.__file__)"], capture_output=True)
    return [beside.data(), value(), shadow.WHERE, late.__name__, sys.prefix, os.path.dirname(late.__file__), child.stdout,
            multiprocessing.get_context("spawn").Pool(1).map(abs, [-1])]

with Context() as sc:
    for name, found in zip(("beside", "inside", "shadow", "late", "prefix", "at", "child", "spawned"),
                           sc.parallelize([1], 1).mapPartitions(told).collect()):
        print(name, found)
"""


def test_ranks_find_everything_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text(
        "from pathlib import Path\ndef data():\n    return (Path(__file__).parent / 'data.txt').read_text()\n")
    (tmp_path / "data.txt").write_text("from the file beside the module")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "__init__.py").write_text("")
    (tmp_path / "inside" / "deeper.py").write_text("from . import other\ndef value():\n    return other.VALUE\n")
    (tmp_path / "inside" / "other.py").write_text("VALUE = 'from the package'\n")
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "shadow.py").write_text("WHERE = 'on PYTHONPATH'\n")
    ended = run("mpirdd run -n 3 --stage-environment", tmp_path, PROGRAM, timeout_s=90,
                PYTHONPATH=f"{Path(__file__).parents[2]}:{tmp_path / 'path'}")
    found = dict(line.split(" ", 1) for line in ended.out.splitlines())
    assert ended.code == 0, ended.all
    assert found["beside"] == "from the file beside the module" and found["inside"] == "from the package", ended.all
    assert found["shadow"] == "on PYTHONPATH" and found["late"] == "hypothesis", ended.all
    assert "/mpirdd-stage-" in found["prefix"] and "/mpirdd-stage-" not in found["at"] + found["child"], ended.all
    assert found["spawned"] == "[1]", ended.all
    assert "mpirdd: staged " in ended.err
    assert not list(tmp_path.glob("*mpirdd-*")), "the pack and the folder are gone"


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace to count opens with")
def test_ranks_open_no_file_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "from mpirdd import Context\nwith Context() as sc:\n    print(sc.parallelize(range(10), 2).map(lambda x: x).sum())\n")
    command = [sys.executable, "-m", "mpirdd", "run", "-n", "3", "--stage-environment", "job.py"]
    traced = subprocess.run(
        ["strace", "-ff", "-qq", "-s", "400", "-e", "trace=execve,openat", "-o", str(tmp_path / "trace"), *command],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, env={**os.environ, "TMPDIR": str(tmp_path)})
    if "ptrace" in traced.stderr:
        pytest.skip("strace may not trace here")
    assert traced.stdout == "45\n", traced.stderr
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    slow = tuple({sys.prefix, sys.base_prefix, os.path.dirname(package)} - {"/usr"})
    ranks = [text for path in tmp_path.glob("trace.*") if "rank.py" in (text := path.read_text(errors="replace"))
             and "execve" in text]
    opened = [path for text in ranks for path in re.findall(r'^openat\(.*?"(/[^"]+)".* = \d+$', text, re.M)]
    assert len(ranks) >= 3 and len(opened) > 500, "it is the ranks that are counted"
    there = [path for path in opened if path.startswith(slow)]
    assert len(there) <= len(ranks), sorted(there)


def test_a_host_that_cannot_unpack_starts_its_ranks_as_ever(tmp_path: Path) -> None:
    with Stage(["-m", "nothing"], {}, shared=False, scratch=str(tmp_path)) as stage:
        words = stage.words()
        os.truncate(words[4], 5000)
        there = [*words, "--version"]
        nowhere = [*words[:5], str(tmp_path / "no" / "folder"), *words[6:], "--version"]
        for command, said in ((there, "cannot unpack the environment"), (nowhere, "no folder")):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert done.stdout.startswith("mpirdd ") and said in done.stderr and done.stderr.count("\n") == 1, done
        assert sorted(os.listdir(stage.folder)) == ["failed", "lock"], "the disk is not left full"
    assert not list(tmp_path.iterdir())


def test_a_host_that_cannot_unpack_has_its_disk_back_and_starts_ranks_without_a_lock(tmp_path: Path) -> None:
    with Stage(["-m", "nothing"], {}, shared=False, scratch=str(tmp_path)) as stage:
        words = [*stage.words(), "--version"]
        os.truncate(words[4], os.path.getsize(words[4]) // 2)
        assert subprocess.run(words, capture_output=True, text=True, timeout=60).stdout.startswith("mpirdd ")
        assert sorted(os.listdir(words[5])) == ["failed", "lock"]
        no_lock = tmp_path / "no-lock"
        (no_lock / "lock").mkdir(parents=True)
        done = subprocess.run([*words[:5], str(no_lock), *words[6:]], capture_output=True, text=True, timeout=60)
        assert done.stdout.startswith("mpirdd ") and "no folder" in done.stderr, done


@pytest.mark.parametrize("how", ["a link", "another user's"])
def test_nothing_starts_in_a_folder_that_others_have_made(how: str, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    (folder / "bin").mkdir(parents=True)
    (folder / "ready").touch()
    (folder / "bin" / "python").write_text("#!/bin/sh\necho theirs\n")
    (folder / "bin" / "python").chmod(0o755)
    if how == "a link":
        (tmp_path / "link").symlink_to(folder)
        folder = tmp_path / "link"
    elif os.geteuid():
        pytest.skip("only root can give a folder to somebody else")
    else:
        os.chown(folder, 12345, 12345)
    with Stage(["-m", "nothing"], {}, shared=False, scratch=str(tmp_path)) as stage:
        words = [*stage.words(), "--version"]
        done = subprocess.run([*words[:5], str(folder), *words[6:]], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("mpirdd ") and "no folder" in done.stderr, done


def test_an_interrupted_launcher_leaves_no_half_of_a_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def add(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tarfile.TarFile, "add", add)
    with pytest.raises(KeyboardInterrupt):
        Stage(["-m", "nothing"], {}, shared=False, scratch=str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("descriptor", [7, 8, 9])
def test_what_mpichs_launcher_left_open_for_the_rank_stays_open(tmp_path: Path, descriptor: int) -> None:
    (tmp_path / "said").write_text("hello\n")
    with Stage(["-m", "nothing"], {}, shared=False, scratch=str(tmp_path)) as stage:
        python = Path(stage.folder) / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text('#!/bin/sh\nread line <&$PMI_FD; echo "$line $(readlink /proc/$$/fd/$MPIRDD_STAGE_LOCK)"\n')
        python.chmod(0o755)
        (Path(stage.folder) / "ready").touch()
        done = subprocess.run(
            ["/bin/sh", "-c", f'exec {descriptor}<"$0"; exec "$@"', str(tmp_path / "said"), *stage.words()],
            env={**os.environ, "PMI_FD": str(descriptor)}, capture_output=True, text=True, timeout=60)
        assert done.stdout == f"hello {stage.folder}\n", done


def test_imports_are_found_in_the_text_of_the_program_and_its_modules(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("import os.path, own\ndef f():\n    from numpy import array\n")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__init__.py").write_text("from .part import thing\n")
    (tmp_path / "own" / "part.py").write_text("import scipy.sparse as s\nfrom .. import too_far\n")
    found = _JobModules([str(tmp_path / "job.py")], [])
    assert set(found.modules) == {"own", "own.part"}
    assert {"os", "numpy", "scipy"} <= found.imports and "own" not in found.imports
