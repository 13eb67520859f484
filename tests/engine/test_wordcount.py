"""The program of the README."""

from collections import Counter
from operator import add
from pathlib import Path

from mpirdd import Context

SPEECHES = Path(__file__).parents[2] / "jobs" / "data" / "state_union"


def test_word_count_of_the_speeches_agrees_with_counter(sc: Context) -> None:
    lines = sc.textFile(str(SPEECHES), 8, errors="replace")
    counts = lines.flatMap(str.split).map(lambda word: (word, 1)).reduceByKey(add).collectAsMap()
    expected: Counter[str] = Counter()
    for path in SPEECHES.glob("*.txt"):
        expected.update(path.read_text(encoding="utf-8", errors="replace").split())
    assert counts == dict(expected)
