"""The output of tasks becomes whole lines."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpirdd.executor.task_output import TaskOutput


def test_print_gives_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []
    with TaskOutput(seen.append):
        print("one", 1)
        print("two\nthree")
        print("on stderr", file=sys.stderr)
    assert seen == ["one 1", "two", "three", "on stderr"]
    assert capsys.readouterr() == ("", "")


def test_pieces_of_a_line_are_put_together() -> None:
    seen: list[str] = []
    with TaskOutput(seen.append):
        print("a", end="")
        print("b", end="")
        assert seen == []
        print()
    assert seen == ["ab"]


def test_a_last_line_without_its_end_is_passed_on_at_the_end_of_the_block() -> None:
    seen: list[str] = []
    with TaskOutput(seen.append):
        print("no newline", end="")
    assert seen == ["no newline"]


def test_the_streams_come_back_even_after_an_error() -> None:
    before = sys.stdout, sys.stderr
    seen: list[str] = []
    with pytest.raises(ValueError), TaskOutput(seen.append):
        print("before the error", end="")
        raise ValueError
    assert (sys.stdout, sys.stderr) == before
    assert seen == ["before the error"]


def test_it_can_be_entered_again_and_again() -> None:
    seen: list[str] = []
    lines = TaskOutput(seen.append)
    for turn in range(3):
        with lines:
            print(turn)
    assert seen == ["0", "1", "2"]


def test_empty_lines_stay() -> None:
    seen: list[str] = []
    with TaskOutput(seen.append):
        print("\n\nx\n")
    assert seen == ["", "", "x", ""]


def test_warnings_and_loggers_of_the_user_s_libraries_can_write() -> None:
    seen: list[str] = []
    with TaskOutput(seen.append):
        logging.StreamHandler(sys.stderr).emit(logging.makeLogRecord({"msg": "logged"}))
        sys.stdout.flush()
        assert not sys.stdout.isatty()
    assert seen == ["logged"]


def test_what_a_child_process_prints_is_not_caught_but_harms_nothing() -> None:
    seen: list[str] = []
    with TaskOutput(seen.append):
        subprocess.run([sys.executable, "-c", "pass"], check=True)
    assert seen == []


@given(st.lists(st.text(alphabet="ab\n", max_size=6)))
def test_no_character_is_lost(pieces: list[str]) -> None:
    seen: list[str] = []
    with TaskOutput(seen.append):
        for piece in pieces:
            sys.stdout.write(piece)
    text = "".join(pieces)
    assert "\n".join(seen) == text.removesuffix("\n")


def test_in_a_shared_process_other_threads_print_as_they_did(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []
    with TaskOutput(seen.append, shared=True):
        other = threading.Thread(target=print, args=("the program",))
        other.start()
        other.join()
        print("the task")
    assert seen == ["the task"]
    assert capsys.readouterr().out == "the program\n"


PRINTS_WHILE_A_TASK_ENDS = """
from threading import Event, Thread
from mpirdd.executor.task_output import TaskOutput

begun, told_to_end, output = Event(), Event(), TaskOutput(lambda line: None, shared=True)

def run_task():
    with output:
        begun.set()
        told_to_end.wait()

class Slow:
    def __str__(self):
        told_to_end.set()
        task.join()
        return "the program"

task = Thread(target=run_task)
task.start()
begun.wait()
print(Slow(), "goes on")
"""


def test_a_print_that_has_begun_when_a_task_ends_goes_on() -> None:
    done = subprocess.run([sys.executable, "-c", PRINTS_WHILE_A_TASK_ENDS], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONMALLOC": "debug"})  # which overwrites what is freed
    assert (done.returncode, done.stdout) == (0, "the program goes on\n"), done.stderr
