"""The contract of ``Group``: collectives among the executors."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from ends import Check, End, Steps, finish, member

from mpirdd.comm.transport import Group

Everywhere = Callable[[Check], None]


def test_the_group_is_all_ranks_but_the_driver(everywhere: Everywhere) -> None:
    def check(end: End) -> Steps:
        group = end.group
        if end.rank == 0:
            assert group is None
        else:
            assert group is not None
            assert group.members == tuple(range(1, end.transport.size))
            assert group.members[group.index] == end.rank
        yield from end.meet()

    everywhere(check)


@pytest.mark.parametrize("base", [0, 1 << 40, (1 << 63) - 1_000])
def test_alltoall_gives_one_integer_to_each_member(everywhere: Everywhere, base: int) -> None:
    def check(group: Group) -> Steps:
        count = len(group.members)
        received = [-1] * count
        yield from finish(group.alltoall([base + 10 * group.index + to for to in range(count)], received))
        assert received == [base + 10 * sender + group.index for sender in range(count)]

    everywhere(member(check))


def test_alltoall_gives_several_integers_to_each_member(everywhere: Everywhere) -> None:
    def check(group: Group) -> Steps:
        count = len(group.members)
        received = [-1] * (3 * count)
        sent = [100 * group.index + 10 * to + place - 5 for to in range(count) for place in range(3)]
        yield from finish(group.alltoall(sent, received))
        assert received == [100 * sender + 10 * group.index + place - 5 for sender in range(count) for place in range(3)]

    everywhere(member(check))


def trade(group: Group, table: list[list[int]]) -> Steps:
    """An alltoallv where member i gives ``table[i][j]`` bytes to member j, over buffers larger than needed."""
    here = group.index
    give, take = table[here], [row[here] for row in table]
    send = memoryview(b"".join(_piece(here, to, size) for to, size in enumerate(give)) + bytes(3))
    receive = memoryview(bytearray(sum(take) + 5))
    yield from finish(group.alltoallv(send, give, receive, take))
    assert bytes(receive) == b"".join(_piece(sender, here, size) for sender, size in enumerate(take)) + bytes(5)


def _piece(sender: int, receiver: int, size: int) -> bytes:
    return Random(f"{sender} {receiver}").randbytes(size)


def test_alltoallv_of_nothing_ends(everywhere: Everywhere) -> None:
    everywhere(member(lambda group: trade(group, [[0] * len(group.members) for _ in group.members])))


def test_alltoallv_moves_uneven_pieces_and_zeros(everywhere: Everywhere) -> None:
    def check(group: Group) -> Steps:
        sizes = Random(5)
        for _ in range(20):
            yield from trade(
                group, [[sizes.choice([0, 0, 1, 17, 4_096, 300_000]) for _ in group.members] for _ in group.members])

    everywhere(member(check))


def test_alltoallv_where_one_member_has_everything(everywhere: Everywhere) -> None:
    def check(group: Group) -> Steps:
        table = [[0] * len(group.members) for _ in group.members]
        table[0] = [2_000_000] * len(group.members)
        yield from trade(group, table)

    everywhere(member(check))


def test_collectives_can_be_repeated_hundreds_of_times(everywhere: Everywhere) -> None:
    def check(group: Group) -> Steps:
        for turn in range(200):
            received = [0] * len(group.members)
            yield from finish(group.alltoall([turn] * len(group.members), received))
            assert received == [turn] * len(group.members)
            yield from trade(group, [[turn] * len(group.members) for _ in group.members])

    everywhere(member(check))


def test_two_collectives_may_be_under_way_at_once(everywhere: Everywhere) -> None:
    def check(group: Group) -> Steps:
        count = len(group.members)
        first, second = [0] * count, [0] * count
        pendings = [group.alltoall([1] * count, first), group.alltoall([group.index] * count, second)]
        for pending in reversed(pendings):
            yield from finish(pending)
        assert first == [1] * count
        assert second == list(range(count))

    everywhere(member(check))


def test_a_finished_collective_stays_finished(everywhere: Everywhere) -> None:
    def check(group: Group) -> Steps:
        pending = group.alltoall([7] * len(group.members), [0] * len(group.members))
        yield from finish(pending)
        assert pending.test() and pending.test()

    everywhere(member(check))


def test_a_collective_goes_on_beside_messages(everywhere: Everywhere) -> None:
    """An executor in an exchange still hears the driver, and its messages to the driver leave."""

    def check(end: End) -> Steps:
        group = end.group
        if group is None:
            for other in end.others:
                end.transport.send(other, [b"during", bytes(100_000)])
            answers = yield from end.receive(len(end.others))
            assert sorted(sender for sender, _ in answers) == end.others
        else:
            received = [0] * len(group.members)
            pending = None if group.index == 0 and len(group.members) > 1 else group.alltoall([3] * len(received), received)
            (message,) = yield from end.receive(1)  # the first member joins only when it has heard of the driver
            assert message[1][0] == b"during"
            pending = pending or group.alltoall([3] * len(received), received)
            end.transport.send(0, [bytes(200_000)])
            yield from finish(pending)
            assert received == [3] * len(received)
        yield from end.meet()

    everywhere(check)
