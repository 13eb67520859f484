"""The program runs as under Python, in one process. Real runs on ranks are in tests/launch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

RUN = "import sys; from mpirdd.launch.program import run; sys.exit(run(sys.argv[1:]))"


def start(
    folder: Path, *words: str, stdout: IO[str] | int = subprocess.PIPE, **variables: str
) -> subprocess.Popen[str]:
    import_path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": import_path, **variables},
    )


def run(folder: Path, text: str, *args: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``job.py`` with this text."""
    (folder / "job.py").write_text(text)
    return finish(start(folder, "job.py", *args))


def finish(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=30)
    return child.returncode, out, err


def python(folder: Path, *words: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "print(1)",
        "raise ValueError('no')",
        "def f():\n    1 / 0\nf()",
        "try:\n    1 / 0\nexcept Exception as e:\n    raise KeyError('x') from e",
        "import sys; sys.exit()",
        "import sys; sys.exit(3)",
        "import sys; sys.exit(-1)",
        "import sys; sys.exit('last words')",
        "import sys; sys.exit((1, 2))",
        "if True print('syntax')",
        "import absent_module",
        "import sys; sys.excepthook = lambda *a: print('hook', a[0].__name__); 1 / 0",
        "import atexit; atexit.register(print, 'bye'); print('main')",
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(.3), print('thread'))).start()",
        "import sys, json; print(sys.argv, __name__, __file__, __spec__, __package__, sys.path[0], __doc__)",
        "x: int = 1\nprint(__annotations__, type(__builtins__), type(__loader__).__name__)",
        "def f(): pass\nimport pickle, sys\nprint(pickle.loads(pickle.dumps(f)) is f)",
        "#!/usr/bin/env python\n# -*- coding: latin-1 -*-\nprint(len('\\u00e9'))",
    ],
)
def test_output_traceback_and_exit_code_are_as_from_python(tmp_path: Path, text: str) -> None:
    ours = run(tmp_path, text, "-n", "--help")
    assert ours == python(tmp_path, "job.py", "-n", "--help")


def test_the_program_is_still_main_when_exit_handlers_run(tmp_path: Path) -> None:
    text = "import atexit, sys\natexit.register(lambda: print(sys.modules['__main__'].__file__))"
    assert run(tmp_path, text)[1].strip() == str(tmp_path / "job.py")


def test_annotations_are_not_turned_into_strings_by_ours(tmp_path: Path) -> None:
    assert run(tmp_path, "def f(x: int): pass\nprint(f.__annotations__['x'] is int)")[1] == "True\n"


def test_a_module_is_run_as_by_python_m(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    show = "import sys; print(sys.argv, __name__, __file__, __spec__.name, __package__, sys.path[0])"
    (tmp_path / "pkg" / "part.py").write_text(show + "; from . import __name__ as package; print(package)")
    (tmp_path / "pkg" / "__main__.py").write_text(show)
    for name in ("pkg", "pkg.part"):
        assert finish(start(tmp_path, "-m", name, "-x")) == python(tmp_path, "-m", name, "-x")


@pytest.mark.parametrize("name", ["absent", "absent.part", "os.absent", "pkg.absent"])
def test_an_absent_module_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    code, _, err = finish(start(tmp_path, "-m", name))
    assert (code, err.count("\n")) == (1, 1)
    assert f"No module named {name}" in err


def test_an_import_that_fails_in_the_modules_package_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("import absent_thing")
    (tmp_path / "pkg" / "part.py").write_text("")
    code, _, err = finish(start(tmp_path, "-m", "pkg.part"))
    assert code == 1
    assert "absent_thing" in err


def test_a_folder_with_a_main_is_a_program(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__main__.py").write_text("import sys, helper; print(sys.argv, __name__, helper.x)")
    (tmp_path / "app" / "helper.py").write_text("x = 5")
    assert finish(start(tmp_path, "app", "a")) == python(tmp_path, "app", "a")


def test_a_missing_file_is_one_line_and_2(tmp_path: Path) -> None:
    code, _, err = finish(start(tmp_path, "absent.py"))
    assert (code, err) == (2, "mpirdd: no such file: absent.py\n")


def test_sigterm_unwinds_the_program_and_gives_143(tmp_path: Path) -> None:
    text = "import time\ntry:\n    print('up', flush=True)\n    while True: time.sleep(0.1)\nfinally:\n    print('cleaned up')"
    (tmp_path / "job.py").write_text(text)
    child = start(tmp_path, "job.py")
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    child.send_signal(signal.SIGTERM)
    assert finish(child) == (143, "cleaned up\n", "")


def test_a_program_that_will_not_go_is_made_to_go(tmp_path: Path) -> None:
    loop = "while True:\n    try:\n        time.sleep(0.1)\n    except BaseException: pass"
    text = f"import time\nprint('up', flush=True)\n{loop}"
    (tmp_path / "job.py").write_text(text)
    child = start(tmp_path, "job.py")
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    child.send_signal(signal.SIGTERM)
    assert finish(child)[0] == 143


def test_ctrl_c_prints_a_traceback_and_gives_130(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("import time\nprint('up', flush=True)\nwhile True: time.sleep(0.1)")
    child = start(tmp_path, "job.py")
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    code, _, err = finish(child)
    assert code == 130
    assert err.endswith("KeyboardInterrupt\n")
    assert "program.py" not in err


def test_output_that_finds_no_room_is_no_success(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    (tmp_path / "job.py").write_text("print('x')")
    with open("/dev/full", "w") as full:
        child = start(tmp_path, "job.py", stdout=full, PYTHONUNBUFFERED="")
        assert child.wait(30) == 120
