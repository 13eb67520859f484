"""Places the nodes of a lineage graph on a page: in layers, sources above, each node near its parents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def layers(parents: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """The layer of each node: one below its deepest parent. Parents that are no keys are ignored."""
    depth: dict[int, int] = {}
    for start in sorted(parents):
        stack = [start]
        while stack:  # no recursion: iterative programs make chains of thousands
            node = stack[-1]
            waiting = [each for each in parents[node] if each in parents and each not in depth and each < node]
            if node not in depth and waiting:
                stack.extend(waiting)
                continue
            depth[node] = max((depth[each] + 1 for each in parents[node] if each in depth and each != node), default=0)
            stack.pop()
    return depth


def place(parents: Mapping[int, Sequence[int]]) -> dict[int, tuple[float, int]]:
    """The place (x, layer) of each node; nodes of a layer stand at least 1 apart."""
    by_layer: dict[int, list[int]] = {}
    for node, layer in layers(parents).items():
        by_layer.setdefault(layer, []).append(node)
    xs: dict[int, float] = {}
    for layer in sorted(by_layer):
        wanted = {}
        for position, node in enumerate(sorted(by_layer[layer])):
            above = [xs[each] for each in parents[node] if each in xs]
            wanted[node] = sum(above) / len(above) if above else float(position)
        ordered = sorted(wanted, key=lambda node: (wanted[node], node))
        at: list[float] = []
        for node in ordered:
            at.append(max(wanted[node], at[-1] + 1) if at else wanted[node])
        shift = (sum(wanted.values()) - sum(at)) / len(at)
        xs.update({node: x + shift for node, x in zip(ordered, at, strict=True)})
    return {node: (xs[node], layer) for layer, nodes in by_layer.items() for node in nodes}
