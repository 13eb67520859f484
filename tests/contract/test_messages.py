"""The contract of ``Transport``: control messages between any two ranks."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from ends import Check, End, Steps

from mpirdd.protocol.frames import Frames

Everywhere = Callable[[Check], None]

INLINE = 16 << 10
"""Around this frame size the MPI transport changes how it sends."""
MIB = 1 << 20


def noise(seed: object, size: int) -> bytes:
    return Random(repr(seed)).randbytes(size)


def test_ends_know_their_rank_and_the_world(everywhere: Everywhere) -> None:
    def check(end: End) -> Steps:
        assert 0 <= end.transport.rank < end.transport.size
        assert end.transport.host
        assert end.transport.poll() is None
        yield from end.meet()

    everywhere(check)


def test_messages_of_a_pair_arrive_in_the_order_in_which_they_were_sent(everywhere: Everywhere) -> None:
    sizes = [0, INLINE + 1, 3, 5 * INLINE, 1, 1, 300 * 1024, 7] * 10

    def check(end: End) -> Steps:
        for number, size in enumerate(sizes):
            for other in end.others:
                end.transport.send(other, [number.to_bytes(4, "little"), bytes(size)])
        messages = yield from end.receive(len(sizes) * len(end.others))
        for other in end.others:
            numbers = [int.from_bytes(frames[0], "little") for sender, frames in messages if sender == other]
            assert numbers == list(range(len(sizes)))

    everywhere(check)


@pytest.mark.parametrize("size", [0, 1, INLINE - 1, INLINE, INLINE + 1, 2 * INLINE, 3 * MIB + 1])
def test_a_frame_of_any_size_arrives_intact(everywhere: Everywhere, size: int) -> None:
    def check(end: End) -> Steps:
        for other in end.others:
            end.transport.send(other, [noise((end.rank, other), size)])
        for sender, frames in (yield from end.receive(len(end.others))):
            assert frames == [noise((sender, end.rank), size)]

    everywhere(check)


def test_a_frame_larger_than_one_chunk_arrives_intact(everywhere: Everywhere) -> None:
    """From the last rank to the first, as results travel."""
    block = noise("large", MIB) * 70

    def check(end: End) -> Steps:
        if end.rank == 0 and end.others:
            ((sender, frames),) = yield from end.receive(1)
            assert sender == end.others[-1]
            assert frames[0] == b"before" and frames[2] == b"after"
            assert frames[1] == block
        elif end.rank == end.transport.size - 1 and end.others:
            end.transport.send(0, [b"before", block, b"after"])
        yield from end.meet()

    everywhere(check)


def test_a_message_keeps_its_frames_apart(everywhere: Everywhere) -> None:
    sizes = [0, 0, 5, INLINE, INLINE + 1, 0, 200_000, 1, INLINE + 1, 0]

    def check(end: End) -> Steps:
        for other in end.others:
            end.transport.send(other, [noise(place, size) for place, size in enumerate(sizes)])
        for _, frames in (yield from end.receive(len(end.others))):
            assert frames == [noise(place, size) for place, size in enumerate(sizes)]

    everywhere(check)


def test_a_message_may_have_thousands_of_frames(everywhere: Everywhere) -> None:
    frames: Frames = [place.to_bytes(2, "little") for place in range(10_000)]

    def check(end: End) -> Steps:
        for other in end.others:
            end.transport.send(other, frames)
        for _, received in (yield from end.receive(len(end.others))):
            assert received == frames

    everywhere(check)


def test_a_message_may_have_no_frames_at_all(everywhere: Everywhere) -> None:
    def check(end: End) -> Steps:
        for other in end.others:
            end.transport.send(other, [])
        assert all(frames == [] for _, frames in (yield from end.receive(len(end.others))))

    everywhere(check)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_buffer_can_be_sent(everywhere: Everywhere, kind: Callable[[bytes], bytes]) -> None:
    def check(end: End) -> Steps:
        for other in end.others:
            end.transport.send(other, [kind(noise(size, size)) for size in (0, 100, 3 * INLINE)])
        for _, frames in (yield from end.receive(len(end.others))):
            assert frames == [noise(size, size) for size in (0, 100, 3 * INLINE)]

    everywhere(check)


def test_many_small_messages_go_both_ways_at_once(everywhere: Everywhere) -> None:
    count = 3_000

    def check(end: End) -> Steps:
        """Rank 0 answers each message; the others send all of theirs before they read the first answer."""
        if end.rank == 0:
            for _ in range(count * len(end.others)):
                ((sender, frames),) = yield from end.receive(1)
                end.transport.send(sender, [b"answer to", *frames])
        else:
            for number in range(count):
                end.transport.send(0, [number.to_bytes(4, "little")])
            answers = yield from end.receive(count)
            assert answers == [(0, [b"answer to", number.to_bytes(4, "little")]) for number in range(count)]
        yield from end.meet()

    everywhere(check)


def test_large_messages_of_several_senders_do_not_mix(everywhere: Everywhere) -> None:
    sizes = [MIB, 5, 3 * MIB, INLINE + 7, 2 * MIB]

    def check(end: End) -> Steps:
        if end.rank:
            for number, size in enumerate(sizes):
                end.transport.send(0, [noise((end.rank, number), size), noise((number, end.rank), 2 * INLINE)])
        else:
            turn = dict.fromkeys(end.others, 0)
            for sender, frames in (yield from end.receive(len(sizes) * len(end.others))):
                number = turn[sender]
                assert frames == [noise((sender, number), sizes[number]), noise((number, sender), 2 * INLINE)]
                turn[sender] += 1
        yield from end.meet()

    everywhere(check)


def test_a_send_does_not_wait_for_a_receiver_that_is_busy(everywhere: Everywhere) -> None:
    def check(end: End) -> Steps:
        for other in end.others:
            for number in range(500):
                end.transport.send(other, [bytes([number % 256])])
            for _ in range(8):
                end.transport.send(other, [noise(end.rank, MIB)])
        yield from end.meet()  # nobody has polled until everybody has sent everything
        messages = yield from end.receive(508 * len(end.others))
        assert sum(len(frames[0]) for _, frames in messages) == (500 + 8 * MIB) * len(end.others)

    everywhere(check)


def test_nothing_is_in_flight_once_everything_has_arrived(everywhere: Everywhere) -> None:
    def check(end: End) -> Steps:
        for other in end.others:
            end.transport.send(other, [bytes(MIB)])
        yield from end.receive(len(end.others))
        while end.transport.in_flight():
            assert end.transport.poll() is None
            yield
        yield from end.meet()

    everywhere(check)


def test_what_arrives_belongs_to_the_receiver(everywhere: Everywhere) -> None:
    """A change to it changes nothing at the sender or in another message."""

    def check(end: End) -> Steps:
        frame = bytearray(b"0123456789" * 5_000)
        for other in end.others:
            end.transport.send(other, [frame])
        seen = 0
        while seen < len(end.others):
            received = end.transport.poll()
            if received is None:
                yield
                continue
            seen += 1
            arrived = memoryview(received[1][0])
            assert bytes(arrived[:3]) == b"012"
            if not arrived.readonly:
                arrived[:3] = b"xxx"
        yield from end.meet()
        assert frame[:3] == b"012"

    everywhere(check)
