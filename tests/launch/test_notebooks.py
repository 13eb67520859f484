"""Notebooks: a kernel on one and on four ranks, installed, run, interrupted, restarted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from launcher import with_mpirun
from ways import ROOT

pytest.importorskip("ipykernel")
nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

pytestmark = [with_mpirun, pytest.mark.timeout(150), pytest.mark.second_lane]
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
CELLS = {
    "job": "rdd = sc.parallelize(range(8), 4)\n\nrdd.map(lambda v: v * v).cache().sum()",
    "label": "rdd.map(lambda v: (v, 1)).reduceByKey(\n    max)",
    "error": "def inverse(x):\n    return 1 / x\n\nrdd.map(inverse).collect()",
    "error on the driver": "def records():\n    yield inverse(0)\n\nsc.parallelize(records())",
    "own error": "inverse(0)",
    "progress": "import time\nrdd.map(lambda v: time.sleep(0.5)).count()",
    "context": "sc",
    "figures": "rdd.stats()",
    "output of tasks": "rdd.filter(lambda v: v == 5).foreach(print)",
    "another context": "sc.stop()\nfrom mpirdd import Context\nsc = Context(parallelism=7)\nsc.range(3).getNumPartitions()",
    "process": "import os\n(os.getpid(), len(sc._driver.executors))",
}


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of Jupyter's own, with a kernel for each number of ranks."""
    folder = tmp_path_factory.mktemp("jupyter")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    settings = {
        "JUPYTER_PATH": str(folder / "share" / "jupyter"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": path}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        for ranks in (1, 4):
            told = subprocess.run(
                [sys.executable, "-m", "mpirdd", "kernel", "install", "-n", str(ranks), "--name", f"ranks{ranks}",
                 "--prefix", str(folder)], capture_output=True, text=True, check=True, timeout=60).stdout
            assert told == f"installed the kernel ranks{ranks} in {folder}/share/jupyter/kernels/ranks{ranks}\n"
        yield folder


class Notebook:
    """A kernel that runs cells."""

    def __init__(self, ranks: int) -> None:
        from jupyter_client.manager import start_new_kernel

        self.manager, self.client = start_new_kernel(kernel_name=f"ranks{ranks}", startup_timeout=60)

    def run(self, cell: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The kernel's reply, and what it shows."""
        shown: list[dict[str, Any]] = []
        reply = self.client.execute_interactive(cell, timeout=60, stop_on_error=False, output_hook=shown.append)
        return reply["content"], [message["content"] for message in shown]

    def printed(self, cell: str) -> str:
        """What a cell prints; a busy kernel sends it in pieces."""
        reply, shown = self.run(cell)
        assert reply["status"] == "ok", reply
        return "".join(each["text"] for each in shown if each.get("name") == "stdout")

    def close(self) -> None:
        if self.manager.has_kernel:
            self.client.stop_channels()
            self.manager.shutdown_kernel()


@pytest.fixture(params=[1, 4])
def ranks(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def notebook(jupyter: Path, ranks: int) -> Iterator[Notebook]:
    notebook = Notebook(ranks)
    yield notebook
    notebook.close()


def outputs(cell: Any, kind: str) -> list[Any]:
    return [output for output in cell.outputs if output.output_type == kind]


def test_a_notebook(jupyter: Path, ranks: int) -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS.values()])
    nbclient.NotebookClient(book, kernel_name=f"ranks{ranks}", timeout=60, allow_errors=True).execute()
    cells = dict(zip(CELLS, book.cells, strict=True))
    data = {name: outputs(cell, "execute_result")[0].data for name, cell in cells.items() if outputs(cell, "execute_result")}
    tracebacks = {
        name: _ESCAPES.sub("", "\n".join(outputs(cell, "error")[0].traceback)) for name, cell in cells.items()
        if outputs(cell, "error")}
    assert data["job"]["text/plain"] == "140"
    assert "reduceByKey at In [2]:1" in data["label"]["text/plain"]
    assert "<strong>RDD " in data["label"]["text/html"] and "parallelize[" in data["label"]["text/html"]
    assert set(tracebacks) == {"error", "error on the driver", "own error"}
    assert tracebacks["error"].splitlines()[2:] == [
        "Cell In[3], line 4", "      1 def inverse(x):", "      2     return 1 / x", "      3 ",
        "----> 4 rdd.map(inverse).collect()", "", "TaskError: ZeroDivisionError: division by zero",
        f"  in collect at In [3]:4, partition 0, on rank 1 ({os.uname().nodename})", "Traceback (most recent call last):",
        "  Cell In [3], line 2, in inverse", "    return 1 / x", *(["           ~~^~~"] if sys.version_info >= (3, 11) else []),
        "ZeroDivisionError: division by zero"]
    assert "Cell In[4], line 4" in tracebacks["error on the driver"] and "mpirdd" not in tracebacks["error on the driver"]
    assert "Cell In[3], line 2" in tracebacks["own error"]
    widgets = [output.data for output in outputs(cells["progress"], "display_data")]
    assert any("application/vnd.jupyter.widget-view+json" in shown for shown in widgets)
    assert "default parallelism" in data["context"]["text/html"] and "<td" in data["figures"]["text/html"]
    assert "".join(output.text for output in outputs(cells["output of tasks"], "stream")).endswith("5\n")
    assert data["another context"]["text/plain"] == "7"
    assert data["process"]["text/plain"].endswith(f", {max(ranks - 1, 1)})")


def test_interrupt_restart_and_what_listens(notebook: Notebook, ranks: int, tmp_path: Path) -> None:
    notebook.run("import os\nos.getpid()")
    began = tmp_path / "began"
    message = notebook.client.execute(
        f"import time\nsc.parallelize([60] * 4, 4).map(lambda s: [open({str(began)!r}, 'w'), time.sleep(s)]).count()",
        stop_on_error=False)  # else the kernel refuses cells for a moment after the error
    _until(began.exists)
    notebook.manager.interrupt_kernel()
    reply = notebook.client._recv_reply(message, timeout=30)["content"]
    assert reply["ename"] == "KeyboardInterrupt"
    shown = _ESCAPES.sub("", "\n".join(reply["traceback"]))
    assert "Cell In[2], line 2" in shown and "mpirdd" not in shown
    total, pid = notebook.printed("print(sc.parallelize(range(10), 4).map(lambda v: v * v).sum(), os.getpid())").split()
    assert total == "285"
    assert listening(int(pid)) >= {("127.0.0.1", port) for port in notebook.manager.ports}
    assert not {address for address, port in listening(int(pid)) if port in notebook.manager.ports} - {"127.0.0.1"}
    notebook.manager.restart_kernel(now=False)
    notebook.client.wait_for_ready(60)
    total, known, after = notebook.printed("print(sc.range(5).sum(), 'time' in globals(), __import__('os').getpid())").split()
    assert (total, known) == ("10", "False") and after != pid
    notebook.close()
    _until(lambda: not Path(f"/proc/{after}").exists())


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def listening(pid: int) -> set[tuple[str, int]]:
    """The addresses at which a process listens for TCP."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            inodes.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
            host, port = fields[1].split(":")
            found.add((".".join(str(byte) for byte in reversed(bytes.fromhex(host))), int(port, 16)))
    return found
