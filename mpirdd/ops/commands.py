"""Records through an external command: lines in, lines out.

The task's own thread feeds and reads the command in turns, as its two pipes allow. So neither side can block the other, however
much input the command takes before its first output, and memory holds only a few chunks. (A second thread to feed it would run
the user's functions outside their task, and lose their errors.)
"""

from __future__ import annotations

import os
import re
import select
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from subprocess import PIPE, CalledProcessError, Popen
from tempfile import TemporaryFile
from typing import IO, AnyStr

from mpirdd.protocol.errors import CommandError

_STDERR_BYTES = 4096
"""An error shows this much of the end of the command's stderr."""
_BYTES_AT_ONCE = 1 << 16
"""The capacity of a pipe on Linux."""
_BYTES_FOR_LINE = 128
"""Each line counts this much beside its length, so at most 512 lines are read ahead of the command."""
_QUOTED = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.""", re.DOTALL)
_SHELL_OPERATOR = re.compile(r"\d*[|&;<>]+[&\d]*")
"""A word of its own: within a longer word, such a sign may be part of an argument, such as an address with an &."""


def pipe_lines(
    command: str, environment: Mapping[str, str], check_code: bool, records: Iterable[object]
) -> Iterator[str]:
    """The output lines of ``command``, which gets each record's ``str`` as a line of input. The command shares this stderr.

    A command may end without reading all its input; that is no error. A command whose output is not read to its end is killed,
    with all that it has started.

    Args:
        environment: the command's whole environment.

    Raises:
        FileNotFoundError: there is no such command.
        CalledProcessError: with ``check_code``, at the end, if the exit code is not 0.
    """
    arguments = shlex.split(command)
    process = Popen(arguments, env=dict(environment), stdin=PIPE, stdout=PIPE, bufsize=0)
    with _to_its_end(process):
        yield from map(bytes.decode, _lines(process, _chunks(map(str, records), _join_text)))
    if check_code and process.returncode:
        raise CalledProcessError(process.returncode, command)


def check_command(command: str, role: str) -> None:
    """Check that ``stream_lines`` can parse the command. Whether the program exists shows only on the executors' hosts.

    Raises:
        CommandError: the command is empty, has an unclosed quote, or needs a shell.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise CommandError(f"the {role} `{command}` cannot be split into words: {error}") from None
    if not words or not words[0]:
        raise CommandError(f"the {role} is an empty command; `cat` hands lines on as they are")
    for_a_shell = [word for word in _QUOTED.sub("_", command).split() if _SHELL_OPERATOR.fullmatch(word)]
    if for_a_shell:
        raise CommandError(
            f"the {role} `{command}` contains {for_a_shell[0]}, but runs without a shell; "
            f"write {shlex.join(['sh', '-c', command])}, or quote {for_a_shell[0]} if it is an argument"
        )


def stream_lines(command: str, role: str, lines: Iterable[bytes]) -> Iterator[bytes]:
    """The output lines of ``command``, which reads ``lines`` (without line ends) as its input: the contract of Hadoop Streaming.
    When the command has ended, its stderr is copied to this process's stderr.

    A command may end well without reading all its input; that is no error.

    Args:
        role: mapper, combiner or reducer, for messages.

    Raises:
        CommandError: the command does not exist or cannot be run; or, at the end, its exit code is not 0. The message has the
            end of its stderr.
    """
    with TemporaryFile() as errors:
        try:
            process = Popen(shlex.split(command), stdin=PIPE, stdout=PIPE, stderr=errors, bufsize=0)
        except (OSError, ValueError) as error:
            raise CommandError(
                f"the {role} `{command}` cannot be run on {os.uname().nodename} (without a shell): {error}") from error
        with _to_its_end(process):
            yield from _lines(process, _chunks(lines, b"\n".join))
        said = _end_of(errors)
        if process.returncode:
            how = f"exit code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
            tail = f"; its stderr ended:\n{said}" if said else ", and said nothing on stderr"
            raise CommandError(f"the {role} `{command}` failed on {os.uname().nodename} with {how}{tail}")
        if said:
            print(said, file=sys.stderr)


@contextmanager
def _to_its_end(process: Popen[bytes]) -> Iterator[None]:
    """Wait for the process at the end; kill it, and all that it has started, if the block raises or its reader stops early."""
    with process:
        try:
            yield
        except BaseException:
            if process.poll() is None:
                _kill_family(process.pid)
            raise


def _kill_family(pid: int) -> None:
    """Kill a process and its descendants: ``sh -c 'a | b'`` has two of its own.

    It has no process group of its own, which would be simpler to kill: Ctrl-C in a terminal and the mpirun that ends its ranks
    must reach the command, and the command may ask for a password.
    """
    family = [pid]
    try:
        for each in family:  # grows meanwhile
            with suppress(OSError):  # it has ended, or the system does not list children
                os.kill(each, signal.SIGSTOP)  # so it starts no more of them
                for thread in os.listdir(f"/proc/{each}/task"):
                    with open(f"/proc/{each}/task/{thread}/children") as file:
                        family += map(int, file.read().split())
    finally:
        for each in family:
            with suppress(OSError):
                os.kill(each, signal.SIGKILL)


def _lines(process: Popen[bytes], chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The output of the process, line by line."""
    begun: list[bytes] = []  # the parts so far of a line that has not ended
    for piece in _run(process, chunks):
        *lines, rest = piece.split(b"\n")
        if lines and begun:
            begun.append(lines[0])
            begun = [b"".join(begun)]
            lines[0] = begun.pop()
        yield from lines
        if rest:
            begun.append(rest)
    if begun:
        yield b"".join(begun)


def _chunks(lines: Iterable[AnyStr], join: Callable[[list[AnyStr]], bytes]) -> Iterator[bytes]:
    """The lines with their ends in chunks: short lines together, a long line alone."""
    chunk: list[AnyStr] = []
    append = chunk.append
    size = 0
    for line in lines:
        append(line)
        size += len(line) + _BYTES_FOR_LINE
        if size < _BYTES_AT_ONCE:
            continue
        if len(line) < _BYTES_AT_ONCE:
            append(line[:0])
            yield join(chunk)
        else:
            chunk[-1] = line[:0]
            if len(chunk) > 1:
                yield join(chunk)
            yield join([line])
            yield b"\n"
        chunk.clear()
        size = 0
    if chunk:
        append(chunk[0][:0])
        yield join(chunk)


def _join_text(lines: list[str]) -> bytes:
    """A line that has line ends of its own at its end loses them."""
    text = "\n".join(lines)
    if text.count("\n") >= len(lines):
        text = "\n".join([line.rstrip("\n") for line in lines])
    return text.encode()


def _end_of(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _STDERR_BYTES))
    return file.read().decode(errors="replace").strip()


def _run(process: Popen[bytes], chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The output of the process, while it is being fed."""
    assert process.stdin is not None and process.stdout is not None
    feed, drain = process.stdin.fileno(), process.stdout.fileno()
    os.set_blocking(feed, False)
    ready = select.poll()
    ready.register(drain, select.POLLIN)
    ready.register(feed, select.POLLOUT)
    open_pipes = {feed, drain}
    waiting = memoryview(b"")
    while open_pipes:
        for pipe, _ in ready.poll():
            if pipe == drain:
                moved = len(piece := os.read(drain, _BYTES_AT_ONCE))
                if piece:
                    yield piece
            else:
                waiting = waiting or memoryview(next(chunks, b""))
                try:
                    moved = os.write(feed, waiting)
                except BrokenPipeError:  # the command reads no more
                    moved = 0
                waiting = waiting[moved:]
            if not moved:
                ready.unregister(pipe)
                open_pipes.remove(pipe)
                (process.stdin if pipe == feed else process.stdout).close()
