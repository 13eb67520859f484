"""``exchange`` over the group of each network: everything given arrives once, whole and in
order."""

from __future__ import annotations

from collections.abc import Callable, Generator
from random import Random

import pytest
from ends import Check, Steps, member

from mpirdd.comm.exchange import Parcel, exchange
from mpirdd.comm.transport import Group
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.ids import BlockId, Rank
from mpirdd.store.fragments import Fragment

Everywhere = Callable[[Check], None]
Sizes = Callable[[Rank, Rank], list[list[int]]]
"""(sender, receiver) -> for each parcel the sizes of its frames; equal on all ranks."""


def parcels(sender: Rank, receiver: Rank, sizes: Sizes) -> list[Parcel]:
    content = Random(f"{sender} to {receiver}")
    return [
        Parcel(BlockId("in", sender, receiver), place, Fragment(_frames(content, frame_sizes)))
        for place, frame_sizes in enumerate(sizes(sender, receiver))
    ]


def _frames(content: Random, sizes: list[int]) -> Frames:
    return [content.randbytes(size) for size in sizes]


def trade(group: Group, sizes: Sizes, exchange_bytes: int) -> Steps:
    me = group.members[group.index]
    arrived: list[Parcel] = []
    outgoing = {receiver: parcels(me, receiver, sizes) for receiver in group.members}
    for _ in exchange(group, outgoing, arrived.append, exchange_bytes):
        yield
    for sender in group.members:
        from_sender = [parcel for parcel in arrived if parcel.block.of == sender]
        assert [_plain(parcel) for parcel in from_sender] == [_plain(parcel) for parcel in parcels(sender, me, sizes)]
    assert len(arrived) == sum(len(sizes(sender, me)) for sender in group.members)


def _plain(parcel: Parcel) -> tuple[BlockId, int, list[bytes]]:
    return parcel.block, parcel.source, [bytes(frame) for frame in parcel.fragment.read()]


@pytest.mark.parametrize("exchange_bytes", [64, 4_096, 1 << 20])
def test_random_parcels_arrive_whatever_the_buffer(everywhere: Everywhere, exchange_bytes: int) -> None:
    def sizes(sender: Rank, receiver: Rank) -> list[list[int]]:
        random = Random(sender * 100 + receiver)
        return [[random.choice([0, 1, 40, 700]) for _ in range(random.randint(1, 4))] for _ in range(random.randint(0, 6))]

    everywhere(member(lambda group: trade(group, sizes, exchange_bytes)))


def test_an_exchange_takes_hundreds_of_rounds(everywhere: Everywhere) -> None:
    everywhere(member(lambda group: trade(group, lambda sender, receiver: [[5_000 + sender]], 20 * len(group.members))))


def test_one_pair_may_have_all_the_data(everywhere: Everywhere) -> None:
    def check(group: Group) -> Steps:
        first, last = group.members[0], group.members[-1]
        everything = [[300_000], [1, 2, 3]]
        yield from trade(group, lambda sender, receiver: everything if (sender, receiver) == (first, last) else [], 4_096)

    everywhere(member(check))


def test_nothing_at_all_can_be_exchanged(everywhere: Everywhere) -> None:
    everywhere(member(lambda group: trade(group, lambda sender, receiver: [], 4_096)))


def test_parcels_for_oneself_arrive(everywhere: Everywhere) -> None:
    everywhere(member(lambda group: trade(group, lambda sender, receiver: [[9]] if sender == receiver else [], 4_096)))


def test_empty_frames_arrive_as_empty_frames(everywhere: Everywhere) -> None:
    everywhere(member(lambda group: trade(group, lambda sender, receiver: [[0], [0, 0, 3, 0], [0, 0]], 50)))


def test_frames_larger_than_a_rank_s_buffer_arrive(everywhere: Everywhere) -> None:
    everywhere(member(lambda group: trade(group, lambda sender, receiver: [[1_000_000, 10, 70_000]], 65_536)))


def test_an_exchange_is_void_everywhere_when_one_member_cannot_give_its_part(everywhere: Everywhere) -> None:
    """The next one works."""
    everything = [[100], [5_000, 3]]

    def check(group: Group) -> Steps:
        me, arrived = group.members[group.index], []  # type: ignore[var-annotated]
        outgoing = {receiver: parcels(me, receiver, lambda *_: everything) for receiver in group.members}
        told = yield from _ignoring_rounds(
            exchange(group, None if me == group.members[-1] else outgoing, arrived.append, 4_096))
        assert told is False
        assert arrived == []
        yield from trade(group, lambda sender, receiver: everything, 4_096)

    everywhere(member(check))


def _ignoring_rounds(steps: Generator[int, None, bool]) -> Generator[None, None, bool]:
    try:
        while True:
            next(steps)
            yield
    except StopIteration as end:
        return bool(end.value)


def test_exchanges_follow_each_other(everywhere: Everywhere) -> None:
    def check(group: Group) -> Steps:
        for turn in range(30):
            yield from trade(group, lambda sender, receiver, turn=turn: [[turn * sender]] * (receiver % 3), 256)  # type: ignore[misc]

    everywhere(member(check))
