"""Both ends of broadcast variables on a network that is slow, unfair and loses executors."""

from __future__ import annotations

import weakref
from collections import deque
from random import Random
from typing import Any

import numpy as np
import pytest

from mpirdd.comm import broadcast
from mpirdd.comm.broadcast import BroadcastReceiver, BroadcastSender
from mpirdd.protocol import messages
from mpirdd.store import shared_memory as shared
from mpirdd.store.codec import decode, encode

ARRAY = np.arange(5_000.0)


class World:
    """Messages of each pair of ranks arrive in order; the seed draws the next pair."""

    def __init__(self, hosts: dict[int, str], seed: int = 0, shared_bytes: int = 1_000) -> None:
        self.random = Random(seed)
        self.queues: dict[tuple[int, int], deque[Any]] = {}
        self.hosts = hosts
        self.executors = {rank: BroadcastReceiver(rank, self.sender(rank)) for rank in hosts}
        self.driver = BroadcastSender(self.sender(0), host="h0", hosts=self.hosts, shared_bytes=shared_bytes)
        self.sent: list[tuple[int, int, Any]] = []
        self.dead: set[int] = set()

    def sender(self, source: int) -> Any:
        def send(to: int, message: Any) -> None:
            frames = [bytearray(frame) for frame in encode(message)]
            self.sent.append((source, to, message))
            self.queues.setdefault((source, to), deque()).append(frames)

        return send

    def step(self) -> bool:
        """Deliver one message; False when there is none."""
        waiting = sorted(pair for pair, queue in self.queues.items() if queue)
        if not waiting:
            return False
        source, to = self.random.choice(waiting)
        message = decode(self.queues[source, to].popleft())
        if to == 0:
            if source not in self.dead:
                self.driver.receive(source, message)
        elif to not in self.dead:
            if isinstance(message, messages.Drop):
                self.executors[to].drop(message.broadcasts)
            else:
                self.executors[to].handlers[type(message)](message)
        return True

    def settle(self) -> None:
        while self.step():
            pass

    def kill(self, rank: int) -> None:
        """Some or all of its messages may still arrive."""
        self.dead.add(rank)
        self.executors[rank].clear()
        for (source, _), queue in self.queues.items():
            if source == rank:
                for _ in range(self.random.randint(0, len(queue))):
                    queue.pop()

    def living(self) -> list[BroadcastReceiver]:
        return [executor for rank, executor in self.executors.items() if rank not in self.dead]

    def count(self, kind: type) -> int:
        return sum(isinstance(message, kind) for _, _, message in self.sent)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "_PIECE_BYTES", 8_192)


SEVERAL_HOSTS = {rank: f"h{rank % 5}" for rank in range(1, 13)}


def test_a_large_value_is_in_the_memory_of_each_host_once() -> None:
    world = World(SEVERAL_HOSTS)
    value = decode(world.driver.add(1, encode([ARRAY, "text"]), ()))
    assert (value[0] == ARRAY).all()
    assert not value[0].flags.writeable
    copies = world.driver.provide({1}, 7, 1)
    world.settle()
    for executor in world.living():
        assert executor.has(copies.values())
        array, text = executor.value(copies[1])
        assert (array == ARRAY).all()
        assert (text, array.flags.writeable) == ("text", False)
    filled = [executor.charged_bytes for executor in world.living() if executor.charged_bytes]
    assert len(filled) == 4  # on the driver's host none
    assert all(ARRAY.nbytes <= size < 1.1 * ARRAY.nbytes for size in filled)


def test_a_large_value_is_sent_once_whatever_asks_for_it() -> None:
    world = World(SEVERAL_HOSTS)
    world.driver.add(1, encode(ARRAY), ())
    for stage in range(3):
        for rank in SEVERAL_HOSTS:
            assert len(world.driver.provide({1}, stage, rank)) == 1
    world.settle()
    assert world.count(messages.BroadcastStream) == 4
    assert world.count(messages.SharedBroadcast) == 8
    assert world.count(messages.BroadcastValue) == 0


def test_a_small_value_goes_to_those_who_use_it() -> None:
    world = World(SEVERAL_HOSTS)
    assert decode(world.driver.add(1, encode({"a": 1}), ())) == {"a": 1}
    copies = world.driver.provide({1}, 7, 3)
    assert world.driver.provide({1}, 7, 3) == copies
    world.settle()
    assert [rank for rank, executor in world.executors.items() if executor.has(copies.values())] == [3]
    assert world.count(messages.BroadcastValue) == 1
    assert world.executors[3].value(copies[1]) == {"a": 1}


def test_a_large_value_without_arrays_can_be_read_on_the_driver() -> None:
    world = World(SEVERAL_HOSTS)
    table = {number: str(number) for number in range(5_000)}
    assert decode(world.driver.add(1, encode(table), ())) == table
    copies = world.driver.provide({1}, 7, 3)
    world.settle()
    assert all(executor.value(copies[1]) == table for executor in world.living())


def test_a_copy_in_use_is_dropped_when_its_stage_is_closed() -> None:
    world = World(SEVERAL_HOSTS)
    world.driver.add(1, encode(ARRAY), ())
    copies = world.driver.provide({1}, 7, 1)
    world.settle()
    assert not world.driver.drop(1, destroy=False)
    world.settle()
    assert all(executor.has(copies.values()) for executor in world.living())
    world.driver.stage_closed(7)
    world.settle()
    assert not any(executor.has(copies.values()) for executor in world.living())
    assert sum(executor.charged_bytes for executor in world.living()) == 0


def test_what_was_unpersisted_is_sent_again_as_another_copy() -> None:
    world = World(SEVERAL_HOSTS)
    world.driver.add(1, encode(ARRAY), ())
    first = world.driver.provide({1}, 7, 1)
    world.settle()
    world.driver.stage_closed(7)
    assert world.driver.drop(1, destroy=False)
    second = world.driver.provide({1}, 8, 1)
    assert second[1] > first[1]
    world.settle()
    for executor in world.living():
        assert not executor.has(first.values())
        assert (executor.value(second[1]) == ARRAY).all()


def test_a_copy_on_its_way_is_dropped_when_it_has_arrived() -> None:
    world = World(SEVERAL_HOSTS)
    world.driver.add(1, encode(ARRAY), ())
    world.driver.provide({1}, 7, 1)
    world.driver.stage_closed(7)
    assert not world.driver.drop(1, destroy=True)
    assert not world.driver.settled
    world.settle()
    assert world.driver.settled
    assert not any(executor._held or executor._arriving for executor in world.living())
    assert not world.driver._variables


def test_a_destroyed_variable_cannot_be_used_by_another_stage_but_by_its_own() -> None:
    world = World(SEVERAL_HOSTS)
    world.driver.add(1, encode(ARRAY), ())
    copies = world.driver.provide({1}, 7, 1)
    world.driver.drop(1, destroy=True)
    assert world.driver.provide({1}, 7, 2) == copies
    assert world.driver.provide({1}, 8, 2) == {}


def test_a_variable_inside_another_comes_along() -> None:
    world = World(SEVERAL_HOSTS)
    world.driver.add(1, encode("inner"), ())
    world.driver.add(2, encode("outer"), {1})
    assert set(world.driver.provide({2}, 7, 1)) == {1, 2}
    assert world.driver.drop_unused({1}, used=set()) == {1}
    world.driver.stage_closed(7)
    assert world.driver.drop_unused({1, 2}, used={2}) == {1, 2}
    assert world.driver.drop_unused({1, 2}, used=set()) == set()
    world.settle()
    assert not any(executor._held for executor in world.living())


def test_executors_that_cannot_map_are_sent_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(address: messages.Address) -> Any:
        raise FileNotFoundError(address.path)

    monkeypatch.setattr(broadcast, "attach", elsewhere)
    world = World(SEVERAL_HOSTS)
    world.driver.add(1, encode(ARRAY), ())
    copies = world.driver.provide({1}, 7, 1)
    world.settle()
    assert all((executor.value(copies[1]) == ARRAY).all() for executor in world.living())
    assert world.count(messages.BroadcastRefused) == 8


@pytest.mark.parametrize("used", [False, True])
def test_a_value_that_came_whole_is_in_memory_once_after_it_was_passed_on_unless_tasks_use_it(used: bool) -> None:
    frames = [np.frombuffer(bytes(frame), np.uint8) for frame in encode(ARRAY)]
    size, alive = sum(frame.nbytes for frame in frames), [weakref.ref(frame) for frame in frames]
    sent: list[Any] = []
    receiver = BroadcastReceiver(1, lambda to, message: sent.append(message))
    receiver.handlers[messages.BroadcastValue](messages.BroadcastValue(9, frames, acknowledge=False))
    if used:
        receiver.value(9)
    route = messages.Route(1, (2,), ())
    receiver.handlers[messages.BroadcastStream](messages.BroadcastStream(9, 0, 1, tuple(each.nbytes for each in frames), route))
    frames.clear()
    assert [type(message) for message in sent] == [messages.SharedBroadcast, messages.BroadcastArrived]
    assert any(frame() is not None for frame in alive) == used
    assert receiver.charged_bytes == (2 if used else 1) * size
    assert (receiver.value(9) == ARRAY).all()
    receiver.clear()
    assert receiver.charged_bytes == 0


def test_without_shared_memory_values_go_in_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(shared.os, "memfd_create")
    world = World(SEVERAL_HOSTS)
    world.driver.add(1, encode(ARRAY), ())
    copies = world.driver.provide({1}, 7, 1)
    world.settle()
    assert all((executor.value(copies[1]) == ARRAY).all() for executor in world.living())
    assert world.count(messages.SharedBroadcast) == 0


def test_what_another_context_left_under_way_is_dropped_and_never_used() -> None:
    world = World(SEVERAL_HOSTS)
    world.driver.add(1, encode(ARRAY), ())
    world.driver.provide({1}, 7, 1)
    world.driver = BroadcastSender(world.sender(0), host="h0", hosts=world.hosts, shared_bytes=1_000)
    world.driver.add(1, encode(-ARRAY), ())
    copies = world.driver.provide({1}, 7, 1)
    world.settle()
    for executor in world.living():
        assert set(executor._held) == set(copies.values())
        assert (executor.value(copies[1]) == -ARRAY).all()


@pytest.mark.parametrize("seed", range(150))
def test_survivors_get_the_value_whoever_is_lost_on_the_way(seed: int) -> None:
    random = Random(seed)
    world = World({rank: f"h{random.randrange(6)}" for rank in range(1, 16)}, seed)
    world.driver.add(1, encode(ARRAY), ())
    copies = world.driver.provide({1}, 7, 1)
    unnoticed: list[int] = []
    for _ in range(random.randrange(120)):
        world.step()
        if random.random() < 0.1 and len(world.dead) < 12:
            rank = random.choice([rank for rank in world.hosts if rank not in world.dead])
            world.kill(rank)
            unnoticed.append(rank)
        if unnoticed and random.random() < 0.3:
            world.driver.executor_lost(unnoticed.pop(0))
    for rank in unnoticed:
        world.driver.executor_lost(rank)
    world.settle()
    assert world.driver.settled
    for executor in world.living():
        assert (executor.value(copies[1]) == ARRAY).all()
    world.driver.stage_closed(7)
    world.driver.drop(1, destroy=True)
    world.settle()
    assert not any(executor._held for executor in world.living())
    assert all(executor.charged_bytes == 0 for executor in world.living())
