"""An executor's queue: tasks wait for the broadcast variables of their stage, and nobody waits for them."""

from __future__ import annotations

from typing import Any

from mpirdd.roles.executor import Executor
from mpirdd.storage.codec import decode, encode, pickle_function
from mpirdd.together.inprocess import Network
from mpirdd.words import messages
from mpirdd.words.stage import ClosureId, Output, Pipe, Stage


def reader(split: Any) -> Any:
    return iter(split)


def collect(partition: int, records: Any) -> list[Any]:
    return list(records)


def test_a_task_waits_for_its_variable_while_later_ones_run() -> None:
    network = Network(2)
    executor, driver = Executor(network.end(1)), network.end(0)

    def send(message: Any) -> None:
        driver.send(1, encode(message))

    def finished() -> list[int]:
        """The stages of the tasks that have been reported since the last look."""
        while executor.step():
            pass
        stages = []
        while (received := driver.poll()) is not None:
            message = decode(received[1])
            assert isinstance(message, messages.Report)
            stages += [done.stage for done in message.done]
        return stages

    closures = {ClosureId("step", 1): reader, ClosureId("action", 1): collect}
    send(messages.Closures(tuple((name, pickle_function(function, "")) for name, function in closures.items())))
    pipes = {1: Pipe(1, "source", 1, (), None, (), False)}
    for stage, needs in ((7, {1: 50, 2: 51}), (8, {}), (9, {2: 51})):
        send(messages.OpenStage(Stage(stage, "", 1, Output("result", 1), pipes), {}, needs))
        send(messages.RunTasks(stage, (0, 1), 0, (), {(1, 0): [1], (1, 1): [2]}))
    assert finished() == [8, 8]
    send(messages.Broadcast(51, encode("second")))
    assert finished() == [9, 9]
    send(messages.Broadcast(50, encode("first")))
    assert finished() == [7, 7]
