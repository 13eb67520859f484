"""Makes random programs, runs them, and cuts down those whose outcomes differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from fuzzing import model
from fuzzing.operations import ACTIONS, SOURCES, TRANSFORMATIONS, Known, Operation

Outcome = Any
"""What a line gives: a value, or the name of the error's class."""


@dataclass(frozen=True)
class Step:
    """One line of a program."""

    operation: Operation
    of: tuple[int, ...]
    """Numbers of the steps whose RDDs it takes."""
    a: int
    b: int

    def line(self, number: int) -> str:
        """The text of the step with that number."""
        text = self.operation.text
        for place, step in enumerate(self.of):
            text = text.replace(f"{{{place}}}", f"r{step}")
        text = text.replace("{a}", str(self.a)).replace("{b}", str(self.b))
        if "{out}" in text:
            return text.replace("{out}", f"r{number}")
        return f"r{number} = {text}" if self.operation.gives else f"out(lambda: {text})"


Program = tuple[Step | None, ...]
"""Steps by number; None where one was taken out."""


def text_of(program: Program) -> str:
    """Python that needs ``sc``, ``StorageLevel`` and ``out``."""
    return "\n".join(step.line(number) for number, step in enumerate(program) if step is not None)


def known(program: Program) -> dict[int, Known] | None:
    """Of each RDD; None if a step needs what is not known there."""
    found: dict[int, Known] = {}
    for number, step in enumerate(program):
        if step is None:
            continue
        if any(of not in found for of in step.of):
            return None
        given = [found[of] for of in step.of]
        if not step.operation.fits(given):
            return None
        if step.operation.gives:
            found[number] = step.operation.result(given)
    return found


def random_program(seed: int, partitions: int = 6) -> Program:
    """Some sources, transformations and actions, with two actions at the end. Each RDD asks for so many partitions at most."""
    random = Random(seed)
    program: list[Step | None] = []
    found: dict[int, Known] = {}

    def add(operations: Sequence[Operation]) -> None:
        for _ in range(30):
            operation = random.choice(operations)
            if operation.takes and not found:
                continue
            newest_first = sorted(found, reverse=True)
            of = tuple(newest_first[min(int(random.expovariate(0.7)), len(newest_first) - 1)] for _ in operation.takes)
            given = [found[one] for one in of]
            if not operation.fits(given):
                continue
            step = Step(operation, of, random.randint(1, 9), random.randint(1, partitions))
            if operation.gives:
                found[len(program)] = operation.result(given)
            program.append(step)
            return

    add(SOURCES)
    for _ in range(random.randint(2, 9)):
        kind = random.random()
        add(SOURCES if kind < 0.12 else TRANSFORMATIONS if kind < 0.77 else ACTIONS)
    for _ in range(2):
        add(ACTIONS)
    return tuple(program)


def run(text: str, sc: Any, storage_level: Any) -> list[Outcome]:
    """The outcomes of the actions."""
    outcomes: list[Outcome] = []

    def out(action: Callable[[], Any]) -> None:
        try:
            outcomes.append(action())
        except Exception as error:  # which one is the outcome, and is compared
            outcomes.append(type(error).__name__)

    namespace = {"__name__": "__main__", "sc": sc, "StorageLevel": storage_level, "out": out}
    try:
        exec(compile(text, "<program>", "exec"), namespace)
    except Exception as error:  # of a line that only makes an RDD
        outcomes.append(f"{type(error).__name__}: {error}")
    return outcomes


def right(text: str, storage_level: Any) -> list[Outcome]:
    """What the program must give."""
    return run(text, model.Context(), storage_level)


def cut_down(program: Program, differs: Callable[[str], bool]) -> Program:
    """As few steps as still differ: takes steps out, or puts a step's RDD in the place of what it makes."""
    smaller = True
    while smaller:
        smaller = False
        for number in reversed(range(len(program))):
            for candidate in _without(program, number):
                if known(candidate) is not None and differs(text_of(candidate)):
                    program, smaller = candidate, True
                    break
    return program


def _without(program: Program, number: int) -> list[Program]:
    step = program[number]
    if step is None:
        return []
    gone = (*program[:number], None, *program[number + 1 :])
    return [gone, *(tuple(other and replace(other, of=tuple(instead if one == number else one for one in other.of))
                          for other in gone) for instead in step.of)]


def report(seed: int, program: Program, run_text: Callable[[str], list[Outcome]], storage_level: Any) -> str:
    """What is wrong with the program of a seed, in its shortest form."""
    short = text_of(cut_down(program, lambda text: run_text(text) != right(text, storage_level)))
    return f"seed {seed}:\n{short}\nmust give {shortened(right(short, storage_level))}\nand gives {shortened(run_text(short))}"


def shortened(outcomes: list[Outcome]) -> str:
    """For people."""
    texts = map(repr, outcomes)
    return ", ".join(text if len(text) <= 300 else f"{text[:150]} ... {text[-150:]}" for text in texts)
