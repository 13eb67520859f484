"""Records through an external command: lines in, lines out.

The command is fed and read in turns, as its two pipes allow, in the task's own thread: neither side can wait
for the other, however much goes in before something comes out, and no more than a few chunks are in memory.
(A second thread to feed it would run the users' functions outside their task, and lose their errors.)
"""

from __future__ import annotations

import os
import select
import shlex
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from subprocess import PIPE, CalledProcessError, Popen

_RECORDS_AT_ONCE = 512
_BYTES_AT_ONCE = 1 << 16
"""What a pipe holds on Linux."""


def pipe_lines(
    command: str, environment: Mapping[str, str], check_code: bool, records: Iterable[object]
) -> Iterator[str]:
    """The lines that ``command`` writes when each record's ``str`` is a line of its input. Its stderr is that
    of this process.

    A command that ends without reading all its input is no error. One that is left alone before its end is
    killed.

    Raises:
        FileNotFoundError: there is no such command.
        CalledProcessError: with ``check_code``, at the end, if its exit code is not 0.
    """
    arguments = shlex.split(command)
    with Popen(arguments, env=dict(environment), stdin=PIPE, stdout=PIPE, bufsize=0) as process:
        try:
            rest = b""
            for piece in _run(process, _chunks(records)):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield line.decode()
            if rest:
                yield rest.decode()
            code = process.wait()
        except BaseException:
            process.kill()
            raise
    if check_code and code:
        raise CalledProcessError(code, command)


def _chunks(records: Iterable[object]) -> Iterator[bytes]:
    iterator = iter(records)
    while chunk := list(islice(iterator, _RECORDS_AT_ONCE)):
        yield "".join([str(record).rstrip("\n") + "\n" for record in chunk]).encode()


def _run(process: Popen[bytes], chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What the process writes, while it is fed."""
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
                except BrokenPipeError:  # it wants no more
                    moved = 0
                waiting = waiting[moved:]
            if not moved:
                ready.unregister(pipe)
                open_pipes.remove(pipe)
                (process.stdin if pipe == feed else process.stdout).close()
