"""An executor's queue: tasks wait for the broadcast variables of their stage, and nothing else
waits for them."""

from __future__ import annotations

from typing import Any

from mpirdd.comm.inprocess import Network
from mpirdd.executor.executor import Executor
from mpirdd.protocol import messages
from mpirdd.protocol.stage import ClosureId, Output, Pipe, Stage
from mpirdd.store.codec import decode, encode, pickle_function


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
        """The stages of the tasks reported since the last look."""
        while executor.step():
            pass
        stages = []
        while (received := driver.poll()) is not None:
            message = decode(received[1])
            assert isinstance(message, messages.Report)
            stages += [done.stage for done in message.done]
        return stages

    closures = {ClosureId("step", 1): reader, ClosureId("action", 1): collect}
    send(messages.KeepClosures(tuple((name, pickle_function(function, "")) for name, function in closures.items())))
    pipes = {1: Pipe(1, "source", 1, (), None, (), False)}
    for stage, needs in ((7, {1: 50, 2: 51}), (8, {}), (9, {2: 51})):
        send(messages.OpenStage(Stage(stage, "", 1, Output("result", 1), pipes), {}, needs))
        send(messages.RunTasks(stage, (0, 1), 0, (), {(1, 0): [1], (1, 1): [2]}))
    assert finished() == [8, 8]
    send(messages.BroadcastValue(51, encode("second")))
    assert finished() == [9, 9]
    send(messages.BroadcastValue(50, encode("first")))
    assert finished() == [7, 7]
