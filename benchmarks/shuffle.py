"""A shuffle of numpy arrays, pairwise and collective, against a raw ``Alltoallv`` of the same bytes among as many ranks.

``engine`` is the engine as it comes, which exchanges pairwise where the MPI survives the loss of a rank, and else by MPI's own
all-to-all; ``other`` is the engine with the other ``--exchange``. The record's ``exchange`` says which is which. The share of an
executor that stays with it is counted on all sides. The target is a fraction of the raw rate.
"""

from __future__ import annotations

from argparse import Namespace

from benchmarks import arrays, harness
from mpirdd.launch.mpirun import can_recover, find_launcher


def measure(options: Namespace) -> harness.Record:
    executors = options.ranks - 1
    items = int(options.mb * 1e6) // (executors**2 * arrays.ITEM_BYTES)
    size = executors**2 * items * arrays.ITEM_BYTES
    usual, other = ("pairwise", "collective") if can_recover(find_launcher()) else ("collective", "pairwise")
    commands = {"engine": harness.on_engine("shuffle", options.ranks, items, options.jobs),
                "other": harness.on_engine("shuffle", options.ranks, items, options.jobs, exchange=other),
                "handwritten": harness.by_hand("shuffle", options.ranks, items, options.jobs)}
    pair = harness.Pair(commands, harness.alternate(options.repeats, options.timeout, commands))
    expected = arrays.checksum(arrays.make(source, destination, items)
                               for source in range(executors) for destination in range(executors))
    valid = (all(report["checksum"] == expected for report in pair.reports())
             and all(set(report["sizes"]) == {size} and report["misplaced"] == 0
                     for report in (*pair.reports("engine"), *pair.reports("other"))))
    rates = {name: [size / 1e9 / seconds for seconds in harness.inner(runs)]
             for name, runs in pair.runs.items()}
    sides = {name: {**record, "gb_per_s": harness.spread(rates[name])}
             for name, record in pair.sides("seconds").items()}
    rate = harness.ratio(rates["engine"], rates["handwritten"])
    for name, way in (("engine", usual), ("other", other)):
        harness.say(f"  {way:12} {rates_of(rates[name])} GB/s")
    return {"bytes": size, "valid": valid, **sides, "ratio": pair.ratio(), "rate": rate,
            "exchange": {"engine": usual, "other": other},
            "collective_over_pairwise": harness.ratio(
                *[harness.inner(pair.runs["engine" if usual == way else "other"]) for way in ("collective", "pairwise")]),
            # fewer sources than executors: one had to send for two, and the figure is too low
            "sources": [report["sources"] for report in pair.reports("engine")],
            "targets": [harness.Target("rate / raw Alltoallv", 0.4, rate["median"], at_least=True).record()]}


def rates_of(values: list[float]) -> str:
    spread = harness.spread(values)
    return f"{spread['median']:.2f} ({spread['min']:.2f} to {spread['max']:.2f})"


def main(argv: list[str] | None = None) -> int:
    return harness.main("shuffle", measure, full={"mb": 400.0, "jobs": 10, "ranks": 3, "repeats": 5},
                        quick={"mb": 100.0, "jobs": 5, "repeats": 2}, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
