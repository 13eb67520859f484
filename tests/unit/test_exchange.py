"""The exchange among 1 to 5 members in one process: properties, and the two ends of a stream."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpirdd.comm.exchange import Parcel, _Assembler, _Stream, exchange
from mpirdd.comm.inprocess import Network
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.ids import BlockId, Rank
from mpirdd.store.fragments import Fragment

Outgoing = dict[Rank, list[Parcel]]

QUICK = settings(deadline=None, max_examples=60)

FRAMES = st.lists(st.binary(max_size=60), min_size=1, max_size=5)
BLOCKS = st.builds(BlockId, st.sampled_from(["rdd", "map", "in"]), st.integers(0, 2**40), st.integers(0, 2**40))
PARCELS = st.lists(st.builds(Parcel, BLOCKS, st.integers(-1, 2**40), FRAMES.map(Fragment)), max_size=5)


@st.composite
def everything_given(draw: st.DrawFn) -> list[Outgoing]:
    """The parcels from each member to each; a parcel's source, modulo 5, names its sender."""
    members = draw(st.integers(1, 5))
    ranks = range(1, members + 1)
    return [
        {rank: [parcel._replace(source=5 * number + sender) for number, parcel in enumerate(draw(PARCELS))]
         for rank in ranks if draw(st.booleans())}
        for sender in range(members)
    ]


def run(given_by_all: list[Outgoing | None], exchange_bytes: int) -> tuple[list[list[Parcel]], list[bool]]:
    """The parcels that arrive at each member, and each member's verdict. Members take turns."""
    network = Network(len(given_by_all) + 1)
    arrived: list[list[Parcel]] = [[] for _ in given_by_all]
    running: dict[int, Generator[Any, None, bool]] = {}
    for index, outgoing in enumerate(given_by_all):
        group = network.end(index + 1).group()
        assert group is not None
        running[index] = exchange(group, outgoing, arrived[index].append, exchange_bytes)
    told = [False] * len(given_by_all)
    for _ in range(1_000_000):
        for index, steps in list(running.items()):
            try:
                next(steps)
            except StopIteration as end:
                told[index] = end.value
                del running[index]
        if not running:
            assert not network.collectives, "a collective was left unfinished"
            return arrived, told
    raise AssertionError("the exchange does not end")


def plain(parcels: list[Parcel]) -> list[tuple[BlockId, int, list[bytes]]]:
    return [(parcel.block, parcel.source, [bytes(frame) for frame in parcel.fragment.read()]) for parcel in parcels]


@QUICK
@given(everything_given(), st.integers(1, 400))
def test_everything_given_arrives_once_and_in_order(given_by_all: list[Outgoing], exchange_bytes: int) -> None:
    arrived, told = run(list(given_by_all), exchange_bytes)
    assert all(told)
    for rank, parcels in enumerate(arrived, 1):
        for sender, outgoing in enumerate(given_by_all):
            from_sender = [parcel for parcel in parcels if parcel.source % 5 == sender]
            assert plain(from_sender) == plain(outgoing.get(rank, []))


@QUICK
@given(everything_given(), st.integers(0, 4))
def test_an_exchange_is_void_for_all_when_one_lacks_what_it_should_give(given_by_all: list[Outgoing], which: int) -> None:
    lacking = which % len(given_by_all)
    arrived, told = run([None if index == lacking else o for index, o in enumerate(given_by_all)], 100)
    assert arrived == [[] for _ in given_by_all]
    assert not any(told)


def test_skewed_data_goes_through_a_small_buffer() -> None:
    parcel = Parcel(BlockId("in", 1, 1), 0, Fragment([bytes(range(256)) * 400]))
    arrived, _ = run([{3: [parcel] * 3}, {}, {}], 4_096)
    assert [len(parcels) for parcels in arrived] == [0, 0, 3]
    assert plain(arrived[2]) == plain([parcel] * 3)


def test_local_parcels_are_handed_over_as_they_are() -> None:
    frame = b"not copied"
    arrived, _ = run([{1: [Parcel(BlockId("in", 1, 1), 0, Fragment([frame]))]}, {}], 100)
    assert arrived[0][0].fragment.frames[0] is frame


@QUICK
@given(PARCELS, st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_a_stream_can_be_cut_anywhere(parcels: list[Parcel], pieces: list[int]) -> None:
    stream = _Stream(parcels)
    arrived: list[Parcel] = []
    assembler = _Assembler(arrived.append)
    done = turn = 0
    while done < stream.size:
        count = min(pieces[turn % len(pieces)], stream.size - done)
        piece = memoryview(bytearray(count))
        stream.take(piece)
        assembler.feed(piece)
        done, turn = done + count, turn + 1
    assert plain(arrived) == plain(parcels)


@pytest.mark.parametrize("piece", range(1, 40))
def test_a_header_can_be_cut_anywhere(piece: int) -> None:
    """Also between its fixed part and the sizes of the frames, where an exchange once stood
    still."""
    parcels = [Parcel(BlockId("in", 5, 6), 7, Fragment([b"abc", b"", b"defg"]))] * 3
    stream = _Stream(parcels)
    arrived: list[Parcel] = []
    whole = memoryview(bytearray(stream.size))
    stream.take(whole)
    assembler = _Assembler(arrived.append)
    for at in range(0, stream.size, piece):
        assembler.feed(whole[at : at + piece])
    assert plain(arrived) == plain(parcels)


def test_frames_of_any_buffer_type_travel() -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(1_000, dtype="<i4")
    frames: Frames = [b"a", bytearray(b"bc"), memoryview(array), memoryview(array[:0])]
    arrived, _ = run([{2: [Parcel(BlockId("in", 1, 2), 3, Fragment(frames))]}, {}], 64)
    assert [bytes(frame) for frame in arrived[1][0].fragment.frames] == [b"a", b"bc", array.tobytes(), b""]


class Counted(Fragment):
    """Frames that the exchange reads when it sends them, and that notice it."""

    def __init__(self, frames: Frames, read: list[int], number: int) -> None:
        super().__init__(frames)
        self._read, self._number = read, number

    def read(self) -> Frames:
        self._read.append(self._number)
        return super().read()


def test_what_lies_elsewhere_is_read_when_its_turn_comes() -> None:
    read: list[int] = []
    frames = [[b"%d" % number * 30, b""] for number in range(20)]
    parcels = [Parcel(BlockId("in", 1, number), number, Counted(list(each), read, number)) for number, each in enumerate(frames)]
    stream = _Stream(parcels)
    assert read == []
    got: list[Parcel] = []
    assembler = _Assembler(got.append)
    taken = 0
    while taken < stream.size:
        count = min(40, stream.size - taken)
        buffer = memoryview(bytearray(count))
        stream.take(buffer)
        assembler.feed(buffer)
        taken += count
        assert len(read) <= len(got) + 1  # never ahead of what is sent
    assert [[bytes(frame) for frame in parcel.fragment.frames] for parcel in got] == frames
    assert read == list(range(20))


def test_buffers_are_claimed_and_given_back() -> None:
    network = Network(3)
    claims: list[list[int]] = [[], []]
    running = []
    for index in range(2):
        group = network.end(index + 1).group()
        assert group is not None
        outgoing = {2 - index: [Parcel(BlockId("in", 1, 0), 0, Fragment([bytes(10_000)]))]}
        running.append(exchange(group, outgoing, lambda parcel: None, 1_000, claims[index].append))
    while running:
        for steps in list(running):
            if next(steps, None) is None:
                running.remove(steps)
    for claimed in claims:
        assert claimed[0] == 2_000
        assert sum(claimed) == 0
