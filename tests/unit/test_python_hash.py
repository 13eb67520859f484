"""Python's ``hash`` in partition functions means the same on all ranks, whatever their seeds."""

from __future__ import annotations

import builtins
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from mpirdd.ops.hashing import stable_hash
from mpirdd.ops.partitioners import FunctionPartitioner
from mpirdd.ops.python_hash import SteadyHash, steady_hash
from mpirdd.protocol.errors import RecordError


def by_hash(key: Any) -> int:
    return hash(key) % 4


KEYS = "[None, 'a', b'a', ('a', 1), (1, (None,)), frozenset(['a', None]), date(2026, 1, 1), int, (str, 2), ..., 7, 2.5]"
PROGRAM = f"""
from datetime import date
from mpirdd.ops.python_hash import SteadyHash
print([SteadyHash(hash)(key) for key in {KEYS}], [SteadyHash(lambda key: hash(key))(key) for key in {KEYS}])
"""


@pytest.mark.parametrize("seed", [None, "0", "7"])
def test_processes_agree_about_every_key(seed: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    if seed is not None:
        environment["PYTHONHASHSEED"] = seed
    said = {
        subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    }
    assert len(said) == 1


@pytest.mark.parametrize("key", [1, 2.5, True, 3 + 4j, (1, (2, 3.0)), frozenset([1, 2])], ids=repr)
def test_hash_of_numbers_is_pythons(key: Any) -> None:
    assert SteadyHash(hash)(key) == hash(key)
    assert SteadyHash(by_hash)(key) == hash(key) % 4


@pytest.mark.parametrize("key", ["a", b"a", ("a", 1)], ids=repr)
def test_with_a_fixed_seed_hash_of_text_is_pythons(key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    assert SteadyHash(hash)(key) == hash(key)
    monkeypatch.delenv("PYTHONHASHSEED")
    assert SteadyHash(hash)(key) == stable_hash(key)


def test_equal_keys_have_equal_hashes() -> None:
    assert steady_hash((1, None)) == steady_hash((1.0, None)) == steady_hash((True, None))


def test_what_has_no_hash_that_ranks_agree_about_is_refused() -> None:
    with pytest.raises(RecordError, match="equal to nothing but itself"):
        SteadyHash(by_hash)(object())
    assert builtins.hash is hash
    assert builtins.hash("a") == "a".__hash__()


class Unfixed:
    """Python's ``hash`` of this class is an address."""


def of_class(key: Any) -> tuple[Any, Any]:
    inner = SteadyHash(by_hash)(key)
    return inner, hash(Unfixed)


def test_a_partition_function_within_another_leaves_the_outer_one_the_steady_hash() -> None:
    assert SteadyHash(of_class)(7) == (3, stable_hash(Unfixed))  # type: ignore[comparison-overlap]
    assert builtins.hash(Unfixed) == object.__hash__(Unfixed)


@pytest.mark.parametrize("first_ends", [0, 1])
def test_partition_functions_in_two_threads_both_have_the_steady_hash_to_their_ends(first_ends: int) -> None:
    begun, may_end = [Event(), Event()], [Event(), Event()]

    def waits(place: int) -> int:
        begun[place].set()
        may_end[place].wait(10)
        return hash(Unfixed)

    with ThreadPoolExecutor(2) as pool:
        found = []
        for place in (0, 1):
            found.append(pool.submit(SteadyHash(waits), place))
            begun[place].wait(10)
        for place in (first_ends, 1 - first_ends):
            may_end[place].set()
            assert found[place].result() == stable_hash(Unfixed)
    assert builtins.hash(Unfixed) == object.__hash__(Unfixed)


def test_functions_without_hash_take_any_key() -> None:
    assert SteadyHash(len)("abc") == 3


def test_equal_functions_make_equal_partitioners() -> None:
    assert FunctionPartitioner(4, SteadyHash(by_hash)) == FunctionPartitioner(4, SteadyHash(by_hash))
    assert FunctionPartitioner(4, SteadyHash(by_hash)) != FunctionPartitioner(4, SteadyHash(len))
    assert pickle.loads(pickle.dumps(SteadyHash(by_hash))) == SteadyHash(by_hash)
