"""Tasks that prefer hosts: who gets which free task."""

from __future__ import annotations

import pytest

from mpirdd.api import locality
from mpirdd.formats.filesystems import NO_OPTIONS
from mpirdd.formats.splits import FileSplit
from mpirdd.scheduler.placement import FreeTasks


def test_without_preferences_tasks_go_in_order() -> None:
    free = FreeTasks(range(5), {})
    assert (free.take(2, "a"), free.take(9, ""), len(free), free.take(1, "a")) == ([0, 1], [2, 3, 4], 0, [])
    free.append(1)
    assert free and free.take(1, "b") == [1]


def test_an_executor_gets_what_is_near_then_what_is_nowhere_then_the_rest() -> None:
    free = FreeTasks(range(7), {0: ["a"], 1: ["b"], 2: ["a", "b"], 3: [], 5: ["b"], 6: ["b"]})
    assert free.take(9, "c", only_near=True) == [3, 4]
    assert free.take(1, "a", only_near=True) == [0]
    assert free.take(9, "a", only_near=True) == [2]
    assert free.take(9, "a", only_near=True) == []
    assert free.take(2, "a") == [1, 5]  # nobody waits
    assert (free.take(9, "b"), len(free), free.take(1, "a")) == ([6], 0, [])
    free.append(2)
    assert free.take(1, "c") == [2] and not free


def test_a_host_with_much_left_gives_first() -> None:
    free = FreeTasks(range(5), {0: ["a"], 1: ["b"], 2: ["b"], 3: ["b"], 4: ["a"]})
    assert free.take(1, "c") == [1]
    assert sorted(free.take(9, "c")) == [0, 2, 3, 4]


class Store:
    """Tells block hosts, and counts how often it is asked."""

    def __init__(self, hosts: dict[str, list[str]]) -> None:
        self.hosts, self.asked = hosts, 0

    def block_hosts(self, path: str, start: int, length: int) -> list[str]:
        self.asked += 1
        return self.hosts[path]


def test_the_names_of_hosts_are_matched(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store({"x://s/1": ["n1.cluster.example", "n9"], "x://s/2": ["N2"], "x://s/3": ["127.0.0.1"], "x://s/4": ["n7"]})
    monkeypatch.setattr(locality, "filesystem_of", lambda path, options: store)
    splits = [FileSplit(f"x://s/{number}", 0, 10, NO_OPTIONS) for number in range(1, 5)]
    assert locality.preferred_hosts(splits, ["n1", "n2.cluster.example", "localhost"]) == (
        ("n1",), ("n2.cluster.example",), ("localhost",), ())
    assert locality.preferred_hosts(splits[3:], ["n1", "n2"]) == ()
    assert locality.preferred_hosts([splits[:2]], ["n1", "n2"]) == (("n1", "n2"),)


def test_nobody_is_asked_where_it_would_not_matter_or_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store({"x://s/1": ["n1"]})
    monkeypatch.setattr(locality, "filesystem_of", lambda path, options: store)
    remote, local = FileSplit("x://s/1", 0, 10, NO_OPTIONS), FileSplit("/s/1", 0, 10, NO_OPTIONS)
    assert locality.preferred_hosts([remote], ["n1", "n1"]) == locality.preferred_hosts([local], ["n1", "n2"]) == ()
    assert locality.preferred_hosts([], ["n1", "n2"]) == locality.preferred_hosts([[1, 2]], ["n1", "n2"]) == ()
    assert store.asked == 0
    clock = iter([0.0, 0.5, 1.0, *[3.0] * 9])
    monkeypatch.setattr(locality, "time", type("Clock", (), {"monotonic": lambda: next(clock)}))
    assert locality.preferred_hosts([remote] * 5, ["n1", "n2"]) == (("n1",), ("n1",), (), (), ())
    assert store.asked == 2
