"""An RDD's name and its lineage, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpirdd.api.base import Handle
from mpirdd.api.html import card
from mpirdd.api.storagelevel import StorageLevel
from mpirdd.scheduler.lineage import Node, Shuffled

if TYPE_CHECKING:
    from typing_extensions import Self


class Debugging(Handle):
    def name(self) -> str | None:
        """The name that ``setName`` set; None if there is none.

        >>> sc.parallelize([1, 2]).name() is None
        True
        """
        return self._engine.names.get(self._node)

    def setName(self, name: str) -> Self:
        """Call the RDD by this name in ``toDebugString``; an empty one takes the name away. Returns self.

        >>> sc.parallelize([1, 2]).setName("numbers").name()
        'numbers'
        """
        if name:
            self._engine.names[self._node] = name
        else:
            self._engine.names.pop(self._node, None)
        return self

    def toDebugString(self) -> bytes:
        """The lineage as text in UTF-8, this RDD first: each line an RDD, with its id, its name and how it is
        persisted. Runs nothing.

        The lineage behind a shuffle is indented, after ``+-`` and its number of partitions. An RDD
        that comes up again is not followed again.

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

    def _repr_html_(self) -> str:
        node = self._node
        level = self._engine.levels.get(node, StorageLevel.NONE)
        rows: list[tuple[str, object]] = [("made by", node.label), ("partitions", node.num_partitions)]
        if node.partitioner is not None:
            rows.append(("partitioner", type(node.partitioner).__name__))
        if level != StorageLevel.NONE:
            kept = {part for on in self._engine.driver.memory.kept(node.id) for part in on.partitions}
            rows += [("storage level", level), ("partitions kept", f"{len(kept)} of {node.num_partitions}")]
        name = self._engine.names.get(node)
        return card(f"RDD {node.id}" + (f": {name}" if name else ""), rows, ("lineage", self.toDebugString().decode()))

    def _described(self, node: Node) -> str:
        operation, _, place = node.label.rpartition(" at ")
        name, level = self._engine.names.get(node), self._engine.levels.get(node, StorageLevel.NONE)
        kept = "" if level == StorageLevel.NONE else str(level)
        return f"{name + ' ' if name else ''}{operation}[{node.id}] at {place} [{kept}]"
