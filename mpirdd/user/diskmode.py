"""``--mode mapreduce``: what a job must do so that it runs as Hadoop MapReduce would run it. Not a second engine.

Each shuffle of a job is a map-reduce job of its own. What its reduce tasks give is kept on disk, in a committed file for
each partition, and read from there by whatever comes next, as if it were persisted at such a level; when the job
has ended, all of this is dropped, and what its map tasks wrote as well, as Hadoop remembers nothing from one job to the
next. So a job with k shuffles runs all k each time. The other half of the mode is in ``storage``: map output that is sorted
(``sortmerge``) and always in files (``BlockStore(through_files=True)``).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from mpirdd.decisions.lineage import Node
from mpirdd.decisions.plan import shuffles_of
from mpirdd.roles.driver import Driver
from mpirdd.words.ids import NodeId
from mpirdd.words.stage import Level

_FILE = Level(memory=False, disk=True, committed=True)
_log = logging.getLogger("mpirdd")


class DiskMode:
    """Of one Context."""

    def __init__(self, driver: Driver) -> None:
        self.on = driver.settings.mode == "mapreduce"
        self._driver = driver
        self._uses: Counter[NodeId] = Counter()
        """Running jobs by shuffle: threads may run several at once."""
        self._lock = Lock()
        self._said = False

    @contextmanager
    def job(self, node: Node) -> Iterator[None]:
        """Around a job on ``node``. Does nothing in memory mode."""
        if not self.on:
            yield
            return
        shuffles = sorted(shuffles_of(node))
        with self._lock:
            for shuffle in shuffles:
                self._driver.keep(shuffle, level=_FILE)
            self._uses.update(shuffles)
        try:
            yield
        finally:
            with self._lock:
                self._uses.subtract(shuffles)
                unused = [shuffle for shuffle in shuffles if not self._uses[shuffle]]
                for shuffle in unused:
                    del self._uses[shuffle]
                self._driver.forget(unused)

    def ignore_persist(self) -> None:
        """The program asked for a partition to be kept; says once that nothing is."""
        if not self._said:
            self._said = True
            _log.info("mode mapreduce: cache() and persist() are accepted, and ignored")
