"""The hottest keys of each shuffle, for the event log: the setting ``hot_keys``.

Map tasks count (``ops/hot_keys.py``); what they find comes to the driver as additions to an accumulator, once for each map
task. Off, nothing of this runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from mpirdd.api.accumulators import Accumulator, AccumulatorParam, Accumulators
from mpirdd.observe.hot_keys_event import HotKeys
from mpirdd.ops import hot_keys
from mpirdd.protocol.ids import NodeId

_KEPT = 4
"""A map task names so many times the keys that are asked for: a key that is hot in all may not be first in each."""


class HotKeyCounts:
    """Args:
        most: keys to name for each shuffle; 0 turns it off.
    """

    def __init__(self, accumulators: Accumulators, new_id: Callable[[], int], most: int) -> None:
        self._make, self._new_id, self._most = accumulators.make, new_id, most
        self._by_node: dict[NodeId, tuple[str, Accumulator]] = {}

    def counting(self, node: NodeId, label: str, write: Callable[..., Any]) -> Callable[..., Any]:
        """The shuffle write, with its keys counted where that is asked for."""
        if not self._most:
            return write
        counts = self._make(self._new_id(), (0, {}), _Sum())
        self._by_node[node] = label, counts
        return partial(hot_keys.write, write, counts.add, _KEPT * self._most)

    def news(self) -> Iterable[HotKeys]:
        """What has been found since the last call."""
        for node, (label, counts) in self._by_node.items():
            records, found = counts.value
            if records:
                hottest = sorted(found.items(), key=lambda item: (-item[1], item[0]))[: self._most]
                yield HotKeys(node, label, records, tuple(hottest))
                counts.value = (0, {})


class _Sum(AccumulatorParam):
    def zero(self, value: Any) -> hot_keys.Found:
        return 0, {}

    def addInPlace(self, value1: hot_keys.Found, value2: hot_keys.Found) -> hot_keys.Found:
        counts = Counter(value1[1])
        counts.update(value2[1])
        return value1[0] + value2[0], dict(counts)
