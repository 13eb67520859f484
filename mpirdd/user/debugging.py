"""What people look at: an RDD's name and its lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpirdd.decisions.lineage import Node, Shuffled
from mpirdd.user.base import Handle
from mpirdd.user.storagelevel import StorageLevel

if TYPE_CHECKING:
    from mpirdd.user.rdd import RDD


class Debugging(Handle):
    def name(self) -> str | None:
        """What ``setName`` has set; None if nothing.

        >>> sc.parallelize([1, 2]).name() is None
        True
        """
        return self._context._names.get(self._node)

    def setName(self, name: str) -> RDD:
        """Call the RDD by this name in ``toDebugString``; an empty one takes the name away. Returns self.

        >>> sc.parallelize([1, 2]).setName("numbers").name()
        'numbers'
        """
        if name:
            self._context._names[self._node] = name
        else:
            self._context._names.pop(self._node, None)
        return self._same()

    def toDebugString(self) -> bytes:
        """The lineage as text in UTF-8, this RDD first: each line an RDD, with its id, its name and how it is
        persisted. Runs nothing.

        What lies behind a shuffle is indented, after ``+-`` and its number of partitions; an RDD that comes
        up again is not followed again.

        >>> pairs = sc.parallelize([("a", 1)], 2).setName("letters")
        >>> first, *_, last = pairs.reduceByKey(max, 3).toDebugString().decode().splitlines()
        >>> first[:15], last[:13]
        ('(3) reduceByKey', ' +-(2) letter')
        """
        lines: list[str] = []
        seen: set[int] = set()
        stack: list[tuple[str, str, Node]] = [("", f"({self._node.num_partitions}) ", self._node)]
        while stack:
            margin, mark, node = stack.pop()
            known = node.id in seen
            seen.add(node.id)
            lines.append(margin + mark + self._described(node) + (", see above" if known else ""))
            if known:
                continue
            if mark.startswith(" +-"):
                margin += "   "
            for parent in reversed(node.parents):
                mark = f" +-({parent.num_partitions}) " if isinstance(node, Shuffled) else " |  "
                stack.append((margin, mark, parent))
        return "\n".join(lines).encode()

    def _described(self, node: Node) -> str:
        operation, _, place = node.label.rpartition(" at ")
        name, level = self._context._names.get(node), self._context._levels.get(node, StorageLevel.NONE)
        kept = "" if level == StorageLevel.NONE else str(level)
        return f"{name + ' ' if name else ''}{operation}[{node.id}] at {place} [{kept}]"
