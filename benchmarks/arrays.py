"""Numpy arrays whose content names their origin, and a fingerprint of many of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPE = np.float64
ITEM_BYTES = 8

Array = NDArray[np.float64]


def make(source: int, index: int, items: int) -> Array:
    """Array ``index`` of ``source``, ``(items,) float64``; no two begin alike."""
    return np.arange(items, dtype=DTYPE) + source * 1e6 + index * 1e3


def checksum(arrays: Iterable[Any]) -> list[list[float]]:
    """First item, last item, size and sum of each array, in an order that does not depend on arrival."""
    return sorted([float(array[0]), float(array[-1]), float(array.size), float(array.sum())]
                  for array in arrays)
