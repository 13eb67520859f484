"""docs/API.md names every public member of the users' classes, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpirdd.api.accumulators import Accumulator, AccumulatorParam
from mpirdd.api.barrier import RDDBarrier
from mpirdd.api.broadcast import Broadcast
from mpirdd.api.conf import Conf
from mpirdd.api.files import SparkFiles
from mpirdd.api.rdd import RDD
from mpirdd.api.results import ResultIterable
from mpirdd.api.statcounter import StatCounter
from mpirdd.api.status import StatusTracker
from mpirdd.api.storagelevel import StorageLevel
from mpirdd.api.taskcontext import BarrierTaskContext, BarrierTaskInfo, TaskContext
from mpirdd.launch.session import Context

PAGE = (Path(__file__).parents[2] / "docs" / "API.md").read_text()
CLASSES = [
    Accumulator, AccumulatorParam, BarrierTaskContext, BarrierTaskInfo, Broadcast, Conf, Context, RDD, RDDBarrier,
    ResultIterable, SparkFiles, StatCounter, StatusTracker, StorageLevel, TaskContext,
]
INSTANCE_ATTRIBUTES = {
    "BarrierTaskInfo": {"address"}, "RDD": {"ctx"}, "ResultIterable": {"data", "index", "maxindex"},
}


def sections() -> Iterator[tuple[str, str]]:
    """(class, its section) for each class named in a heading."""
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        for kind in CLASSES:
            if re.search(rf"\b{kind.__name__}\b", heading.partition(" (")[0]):
                yield kind.__name__, text


SECTIONS = dict(sections())
ONLY_HERE = PAGE.partition("## Only in mpirdd")[2]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_public_name_is_on_the_page(kind: type) -> None:
    mentioned = set(re.findall(r"`(?:\w+\.)?(\w+)", SECTIONS[kind.__name__] + ONLY_HERE))
    public = {name for name in dir(kind) if not name.startswith("_")}
    assert public - mentioned == set()


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_name_on_the_page_is_there(kind: type) -> None:
    rows = re.findall(r"^\| `(?:(\w+)\.)?(\w+)", SECTIONS[kind.__name__], flags=re.MULTILINE)
    several = sum(text == SECTIONS[kind.__name__] for text in SECTIONS.values()) > 1
    first = next(name for name, text in SECTIONS.items() if text == SECTIONS[kind.__name__])
    named = {name for owner, name in rows if owner == kind.__name__ or (not owner and (not several or kind.__name__ == first))}
    assert {name for name in named if not hasattr(kind, name)} <= INSTANCE_ATTRIBUTES.get(kind.__name__, set())
