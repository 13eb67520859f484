"""Keeping computed partitions, so that iterative and interactive programs compute them once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpirdd.user.base import Handle

if TYPE_CHECKING:
    from mpirdd.user.rdd import RDD


class Persistence(Handle):
    def persist(self) -> RDD:
        """Keep each partition in its executor's memory once it has been computed. Runs nothing by itself; returns self.

        Records are kept as they are, not as copies: a function that changes a record it is given changes the kept one.

        >>> squares = sc.parallelize(range(4), 2).map(lambda x: x * x).persist()
        >>> squares.count(), squares.sum(), squares.is_cached
        (4, 14, True)
        """
        self._context._check_usable()
        self._context._driver.keep(self._node.id)
        return self._same()

    def cache(self) -> RDD:
        """``persist`` in memory.

        >>> sc.parallelize([1, 2]).cache().is_cached
        True
        """
        return self.persist()

    def unpersist(self, blocking: bool = False) -> RDD:
        """Drop the kept partitions, and keep no more; returns self. ``blocking`` is accepted: later jobs never see them in any case.

        >>> sc.parallelize([1, 2]).cache().unpersist().is_cached
        False
        """
        self._context._check_usable()
        self._context._driver.unkeep(self._node.id)
        return self._same()

    @property
    def is_cached(self) -> bool:
        """Marked to be kept."""
        return self._context._driver.is_kept(self._node.id)
