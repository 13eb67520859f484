"""Where a program starts again after a loss."""

from __future__ import annotations

import pytest

from mpirdd.launch.restarts import Place, Start, after_loss, first_start, slurm_places

ADDRESSES = ["--mca", "pml", "ob1", "--host", "10.0.0.1:2,10.0.0.2:2,10.0.0.3:3"]
RANKS = {0: "h1", 1: "h1", 2: "h2", 3: "h2", 4: "h3", 5: "h3", 6: "h3"}


def test_a_host_of_the_list_is_left_out_with_its_ranks() -> None:
    start = first_start(6, ["--host=a:2,b:2,c:2"], ())
    assert after_loss(start, ["b"], {}) == Start(4, ("--host=a:2,c:2",), (Place("a", 2), Place("c", 2)))


@pytest.mark.parametrize(("lost", "words", "ranks"), [
    ("h1", "10.0.0.2:2,10.0.0.3:3", 5), ("h2", "10.0.0.1:2,10.0.0.3:3", 5), ("h3", "10.0.0.1:2,10.0.0.2:2", 4),
])
def test_where_the_list_has_addresses_the_ranks_tell_which_host_it_was(lost: str, words: str, ranks: int) -> None:
    start = after_loss(first_start(7, ADDRESSES, ()), [lost], RANKS)
    assert start is not None and (start.words[-1], start.ranks) == (words, ranks)


@pytest.mark.parametrize(("words", "without_a", "without_b"), [
    (["--host", "a:2", "--host", "b:2", "--mca", "x", "y"], ("--host", "b:2", "--mca", "x", "y"),
     ("--host", "a:2", "--mca", "x", "y")),
    (["--host=a:2", "-H", "b:1,b:1"], ("-H", "b:1,b:1"), ("--host=a:2",)),
])
def test_hosts_of_several_lists_are_all_known(words: list[str], without_a: tuple[str, ...], without_b: tuple[str, ...]) -> None:
    start = first_start(4, words, ())
    for lost, left in (("a", without_a), ("b", without_b)):
        second = after_loss(start, [lost], {})
        assert second is not None
        assert (second.words, second.ranks) == (left, 2)


def test_fewer_ranks_than_there_is_room_for_stay() -> None:
    start = after_loss(first_start(3, ["-H", "a:4,b:4"], ()), ["a.cluster.org"], {})
    assert start == Start(3, ("-H", "b:4"), (Place("b", 4),))


def test_without_numbers_the_ranks_stay() -> None:
    start = after_loss(first_start(6, ["--hosts", "a,b,c"], ()), ["c"], {})
    assert start == Start(6, ("--hosts", "a,b"), (Place("a", 0), Place("b", 0)))


def test_a_slurm_job_gets_a_list_of_the_nodes_that_are_left() -> None:
    start = after_loss(first_start(9, [], slurm_places(["n1", "n2", "n3"], "4(x2),1")), ["n2"], {})
    assert start == Start(5, ("--host", "n1:4,n3:1"), (Place("n1", 4), Place("n3", 1)))


@pytest.mark.parametrize("lost", ["", "unknown"])
def test_another_loss_starts_again_on_all_hosts(lost: str) -> None:
    start = first_start(4, ["--host", "a:2,b:2"], ())
    assert after_loss(start, [lost] if lost else [], {}) == start


def test_a_second_loss_takes_a_second_host_and_the_last_one_ends_it() -> None:
    start = first_start(4, ["--host", "a:2,b:2"], ())
    second = after_loss(start, ["a"], {})
    assert second is not None and second.words == ("--host", "b:2")
    assert after_loss(second, ["b"], {}) is None
    assert after_loss(first_start(4, [], ()), [], {}) == Start(4, (), ())
