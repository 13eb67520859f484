"""``mpirdd shell``: Python with a Context ready as ``sc``, on the driver of several ranks.

On a terminal the shell is IPython if that is installed, else Python's own prompt. Ctrl-C interrupts a job, and the shell goes
on: ``mpirdd run`` gives the signal to the driver, and the driver withdraws the job. If standard input is no terminal, the
shell runs the program that comes there, as ``python`` does.
"""

from __future__ import annotations

import code
import linecache
import os
import sys
from types import CodeType, ModuleType
from typing import Any

from mpirdd.launch.session import Context, active_context
from mpirdd.protocol.version import __version__

PLAIN = "--plain"
"""The word that asks for Python's own prompt."""


def main(words: list[str]) -> None:
    """Be the shell until the user leaves it.

    Raises:
        SystemExit: the user's exit code.
    """
    module = ModuleType("__main__")
    module.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = module
    sys.argv = [""]
    with Context(app_name="mpirdd shell") as context:
        module.__dict__["sc"] = context
        try:
            if not sys.stdin.isatty():
                _run_all(module)
            elif PLAIN in words or not _has_ipython():
                _prompt(module, context)
            else:
                _ipython(module, context)
        finally:
            later = active_context()
            if later is not None and later is not context:  # the user has made another one
                later.stop()


def greeting(context: Any) -> str:
    """The first lines of the shell."""
    hosts = list(dict.fromkeys(context._driver.hosts.values()))
    shown = ", ".join(hosts[:3]) + (f" and {len(hosts) - 3} more" if len(hosts) > 3 else "")
    count = len(context._driver.executors)
    python = ".".join(map(str, sys.version_info[:3]))
    return (f"mpirdd {__version__}, Python {python}: {count} executor{'s' * (count != 1)} on {shown}.\n"
            "sc is the Context. Ctrl-C interrupts a job; exit() or Ctrl-D ends the shell.")


def _run_all(module: ModuleType) -> None:
    """Run the program on standard input."""
    source = sys.stdin.buffer.read()
    text = source.decode(errors="replace")
    linecache.cache["<stdin>"] = (len(text), None, text.splitlines(keepends=True), "<stdin>")  # for tracebacks
    exec(compile(source, "<stdin>", "exec", dont_inherit=True), module.__dict__)


def _has_ipython() -> bool:
    from importlib.util import find_spec

    return find_spec("IPython") is not None


def _ipython(module: ModuleType, context: Any) -> None:
    from IPython.terminal.ipapp import TerminalIPythonApp

    from mpirdd.launch import excepthook

    app: Any = TerminalIPythonApp.instance(display_banner=False)
    app.initialize([])
    app.shell.user_ns["sc"] = context
    excepthook.install()  # once more, now that there is IPython
    print(greeting(context))
    app.start()


def _prompt(module: ModuleType, context: Any) -> None:
    try:
        import readline
        import rlcompleter
    except ImportError:  # a Python without readline
        pass
    else:
        getattr(sys, "__interactivehook__", lambda: None)()  # completion by the tab key, and the history of Python's prompt
        readline.set_completer(rlcompleter.Completer(module.__dict__).complete)
    _Console(module.__dict__).interact(greeting(context), "")


class _Console(code.InteractiveConsole):
    """Python's prompt, whose inputs have names of their own, so that tracebacks and labels show their lines."""

    _inputs = 0

    def runsource(self, source: str, filename: str = "", symbol: str = "single") -> bool:
        name = f"<python-input-{self._inputs}>"
        linecache.cache[name] = (len(source), None, [line + "\n" for line in source.splitlines()], name)
        more = super().runsource(source, name, symbol)
        self._inputs += not more
        return more

    def runcode(self, code: CodeType) -> None:
        super().runcode(code)
        sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BrokenPipeError:
        os._exit(1)
