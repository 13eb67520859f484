"""What is read of the file in which a rank writes its stacks."""

from __future__ import annotations

import os

import pytest

from mpirdd.executor.stacks import Seen, fatal_error

ANSWER = 'Thread 0x00007f (most recent call first):\n  File "job.py", line 1 in works\n\n'
END = 'Fatal Python error: Segmentation fault\n\nStack (most recent call first):\n  File "job.py", line 9 in dies\n'


@pytest.mark.parametrize("answers", [0, 1, 30_000])
def test_the_last_words_are_found_behind_any_number_of_answers(answers: int) -> None:
    file = os.memfd_create("test")
    for text in (bytes(512), ANSWER.encode() * answers, END.encode()):
        os.write(file, text)
    words = Seen(1, 77, file).last_words()
    assert words == END and fatal_error(words) == "Segmentation fault"


def test_a_rank_that_has_written_nothing_has_no_last_words() -> None:
    file = os.memfd_create("test")
    os.write(file, bytes(512))
    assert Seen(1, 77, file).last_words() == ""
