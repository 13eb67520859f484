"""A kernel of Jupyter whose process is the driver of several ranks, and the command that installs it.

Jupyter starts ``mpirdd kernel start -n 4 -f FILE``. That starts the ranks as ``mpirdd run`` does, and rank 0 is the kernel. It
listens where Jupyter's connection file says: on 127.0.0.1, unless the user has set up something else. An interrupt comes as a
message (``interrupt_mode``), since Jupyter's signal would reach the launcher instead.

A restarted kernel gets the ports of the one before. Jupyter kills a launcher that takes more than 5 s to end, and starts the
next one at once, while the ranks of the first are still ending. So rank 0 waits for the ports.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Thread
from time import monotonic, sleep
from typing import Any

from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.package import install_command

_LOOK_S = 1.0
_PORTS_S, _PORTS_LOOK_S = 30.0, 0.05
"""How long to wait for the ports of the kernel before this one, and the time between two looks."""


def install(
    name: str, display_name: str, words: Sequence[str], settings: Mapping[str, str], *, prefix: str | None
) -> str:
    """Make Jupyter know a kernel that starts ranks. Returns the folder of its description.

    Args:
        words: options of ``mpirdd kernel start``.
        settings: variables for its environment.
        prefix: where to install it; None: for this user.

    Raises:
        UsageError: the name is not possible, the folder cannot be written to, or ipykernel is missing.
    """
    try:
        import ipykernel  # noqa: F401
        from jupyter_client.kernelspec import KernelSpecManager
    except ImportError as error:
        raise UsageError(_missing()) from error
    description = {
        "argv": [sys.executable, "-m", "mpirdd", "kernel", "start", *words, "-f", "{connection_file}"],
        "display_name": display_name,
        "language": "python",
        "interrupt_mode": "message",
        "env": dict(settings),
    }
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "kernel.json"), "w") as file:
            json.dump(description, file, indent=1)
        try:
            made = KernelSpecManager().install_kernel_spec(folder, name, user=prefix is None, prefix=prefix)
        except (ValueError, OSError) as error:
            raise UsageError(f"the kernel {name!r} cannot be installed: {error}") from error
    return str(made)


def end_with_parent() -> None:
    """End this launcher, and the run, when Jupyter has died, as it cannot ask for that any more. Looks once a second."""
    parent = os.getppid()

    def look() -> None:
        import signal

        while os.getppid() == parent:
            sleep(_LOOK_S)
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=look, daemon=True).start()


def _missing() -> str:
    return f"a notebook's kernel needs ipykernel, which is not installed here.\n  fix: {install_command('notebook')}"


def wait_for_ports(path: str, pause: Callable[[float], None] = sleep) -> None:
    """Wait until nobody listens on the ports of a connection file, at most 30 s: ipykernel then says which port is taken.

    Args:
        pause: called between two looks.
    """
    # ipykernel reports faults of the file better.
    with suppress(OSError, ValueError, AttributeError, TypeError, KeyError, OverflowError):
        with open(path) as file:
            connection = json.load(file)
        if connection.get("transport", "tcp") != "tcp":
            return
        ports = [port for name, port in connection.items() if name.endswith("_port") and port]
        deadline = monotonic() + _PORTS_S
        while not all(_is_free(connection["ip"], port) for port in ports) and monotonic() < deadline:
            pause(_PORTS_LOOK_S)


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as ZeroMQ does
        try:
            listener.bind((address, port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def main(words: list[str]) -> None:
    """Be the kernel, on rank 0, until Jupyter shuts it down."""
    try:
        from ipykernel.kernelapp import IPKernelApp
    except ImportError as error:
        raise UsageError(_missing()) from error
    from mpirdd.launch.session import Context, active_context

    if "-f" in words[:-1]:
        wait_for_ports(words[words.index("-f") + 1])
    app: Any = IPKernelApp.instance()
    app.initialize(words)
    app.shell.user_ns["sc"] = Context(app_name="notebook")
    try:
        app.start()
    finally:
        last = active_context()
        if last is not None:
            last.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
