"""Records through external commands, without ranks."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CalledProcessError
from time import monotonic, sleep
from typing import Any
from unittest.mock import patch

import pytest

from mpirdd.ops import commands
from mpirdd.ops.commands import check_command, pipe_lines, stream_lines
from mpirdd.protocol.errors import CommandError

pytestmark = pytest.mark.timeout(60)
PATH = {"PATH": os.environ["PATH"]}


def piped(command: str, records: object, check_code: bool = False) -> list[str]:
    return list(pipe_lines(command, PATH, check_code, records))  # type: ignore[arg-type]


def children() -> set[str]:
    """Child processes of this one, zombies too."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_records_become_lines_and_lines_become_records() -> None:
    assert piped("cat", ["a", "", "ä\n\n", 5, None, "x\ry", b"b"]) == ["a", "", "ä", "5", "None", "x\ry", "b'b'"]
    assert piped("cat", []) == []
    assert piped("printf 'a\\n\\nb'", [1]) == ["a", "", "b"]


def test_words_of_the_command_are_split_as_by_a_shell_but_no_shell_runs() -> None:
    assert piped("echo 'a b'  $HOME \"c\"", []) == ["a b $HOME c"]
    assert piped("sh -c 'cat; echo $((1 + 1))'", ["x"]) == ["x", "2"]


def test_the_environment_is_the_given_one_and_no_more() -> None:
    assert list(pipe_lines("env", {}, False, [])) == []
    assert list(pipe_lines("env", {"A": "b c"}, False, [])) == ["A=b c"]


def test_much_input_before_any_output_and_much_output_before_all_input() -> None:
    lines = [f"{i:0100}" for i in range(30_000)]  # 3 MB, many times what pipes hold
    assert piped("sort -r", lines) == sorted(lines, reverse=True)
    assert sum(1 for _ in pipe_lines(f"{sys.executable} -c \"print('x' * 99, flush=True)\nfor line in iter(input, 'end'):"
                                     " print(line * 5)\"", PATH, False, [*lines, "end"])) == 30_001


def test_only_as_many_records_are_read_as_the_command_takes() -> None:
    read = 0

    def endless() -> Iterator[int]:
        nonlocal read
        while True:
            read += 1
            yield read

    assert piped("head -n 3", endless()) == ["1", "2", "3"]
    assert read < 200_000


def test_a_command_that_reads_nothing_or_closes_its_output_early(tmp_path: Path) -> None:
    assert piped("echo hello", ["x" * 1000] * 1000) == ["hello"]
    kept = tmp_path / "kept"
    assert piped(f"sh -c 'exec >&-; cat > {kept}'", range(50_000)) == []
    assert len(kept.read_text().splitlines()) == 50_000


def test_an_iterator_left_early_ends_the_command() -> None:
    before = children()
    lines = pipe_lines("yes", PATH, True, [])
    assert [next(lines) for _ in range(3)] == ["y", "y", "y"]
    assert children() - before
    lines.close()  # type: ignore[attr-defined]
    assert children() == before


def lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


FAMILY = """sh -c 'sleep 1000 & echo $!; sh -c "sleep 1000 & echo \\$!; wait"; cat'"""


@pytest.mark.parametrize("lines", [
    lambda: pipe_lines(FAMILY, PATH, False, []), lambda: stream_lines(FAMILY, "mapper", iter([]))], ids=["pipe", "stream"])
def test_an_iterator_left_early_ends_what_the_command_has_started(lines: Any) -> None:
    output = lines()
    started = [int(next(output)), int(next(output))]
    assert all(map(lives, started))
    output.close()
    deadline = monotonic() + 10
    while any(map(lives, started)) and monotonic() < deadline:
        sleep(0.01)
    assert not any(map(lives, started))


def test_exit_codes_matter_only_when_asked_for() -> None:
    assert piped("sh -c 'echo out; exit 3'", [1]) == ["out"]
    assert piped("true", [1], check_code=True) == []
    lines = pipe_lines("sh -c 'echo out; exit 3'", PATH, True, [1])
    assert next(lines) == "out"
    with pytest.raises(CalledProcessError) as caught:
        next(lines)
    assert caught.value.returncode == 3
    with pytest.raises(CalledProcessError, match="SIGKILL"):
        piped("sh -c 'kill -9 $$'", [1], check_code=True)


def test_errors_of_the_records_come_through_and_end_the_command() -> None:
    before = children()

    def failing() -> Iterator[int]:
        yield from range(5)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        piped("cat", failing())
    assert children() == before


def test_a_command_that_does_not_exist() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-command"):
        piped("no-such-command -x", [1])


@pytest.mark.parametrize("command", [
    "cat", "cut -d '|' -f 1", 'awk -F"a | b" x', "tr a \\|", "sh -c 'cat | wc > x'", "curl http://a?b&c",
    "find . -exec rm {} \\;"])
def test_a_sign_of_the_shell_within_a_word_or_quoted_is_an_argument(command: str) -> None:
    check_command(command, "mapper")


@pytest.mark.parametrize(("command", "sign"), [
    ("cat | grep x", "|"), ("a && b", "&&"), ("sort > 'my file'", ">"), ("head 2>&1", "2>&1"), ("a ; b", ";"),
    ("cat <x | y", "|"),
])
def test_a_sign_of_the_shell_as_a_word_is_refused_with_what_to_write(command: str, sign: str) -> None:
    with pytest.raises(CommandError, match=re.escape(f"contains {sign}, but runs without a shell; write sh -c ")):
        check_command(command, "mapper")


def test_a_line_of_any_length_passes_whole() -> None:
    long = "x" * 3_000_000
    lines = ["a", long, "", long + "y", "b", "c" * 65_536, "d"]
    assert piped("cat", lines) == lines
    assert piped("cat", [long]) == [long]
    assert piped("tr -d '\\n'", ["a", long, "b"]) == [f"a{long}b"]


def test_long_lines_are_fed_one_at_a_time() -> None:
    """Of short lines hundreds are fed at once; what is in memory is bounded by bytes all the same."""
    read = 0

    def records() -> Iterator[str]:
        nonlocal read
        for place in range(400):
            read += 1
            yield "short" if place < 300 else "x" * 1_000_000

    out = pipe_lines("sh -c 'head -n 302; sleep 0.2; cat'", PATH, False, records())
    for _ in range(302):
        next(out)
    assert read <= 305
    out.close()


class Piece(bytes):
    """Counts what is copied to put it behind something."""

    copied = 0

    def __radd__(self, before: bytes) -> bytes:
        Piece.copied += len(before)
        return bytes(before) + bytes(self)


def test_a_line_of_many_pieces_is_copied_once() -> None:
    pieces = [*(Piece(b"x" * 1_000) for _ in range(2_000)), Piece(b"end\nnext\n")]
    with patch.object(commands, "_run", lambda process, chunks: iter(pieces)):
        assert list(commands._lines(None, iter(()))) == [b"x" * 2_000_000 + b"end", b"next"]  # type: ignore[arg-type]
    assert Piece.copied <= 2_002_000
