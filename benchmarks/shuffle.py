"""A shuffle of numpy arrays against a raw ``Alltoallv`` of the same bytes among the same number of ranks.

The share of an executor that stays with it is counted on both sides. The target is a fraction of the raw
rate.
"""

from __future__ import annotations

from argparse import Namespace

from benchmarks import arrays, harness


def measure(options: Namespace) -> harness.Record:
    executors = options.ranks - 1
    items = int(options.mb * 1e6) // (executors**2 * arrays.ITEM_BYTES)
    size = executors**2 * items * arrays.ITEM_BYTES
    pair = harness.pair("shuffle", options, items, options.jobs)
    expected = arrays.checksum(arrays.make(source, destination, items)
                               for source in range(executors) for destination in range(executors))
    valid = (all(report["checksum"] == expected for report in pair.reports())
             and all(set(report["sizes"]) == {size} and report["misplaced"] == 0
                     for report in pair.reports("engine")))
    rates = {name: [size / 1e9 / seconds for seconds in harness.inner(runs)]
             for name, runs in pair.runs.items()}
    sides = {name: {**record, "gb_per_s": harness.spread(rates[name])}
             for name, record in pair.sides("seconds").items()}
    rate = harness.ratio(rates["engine"], rates["handwritten"])
    return {"bytes": size, "valid": valid, **sides, "ratio": pair.ratio(), "rate": rate,
            # fewer sources than executors: one had to send for two, and the figure is too low
            "sources": [report["sources"] for report in pair.reports("engine")],
            "targets": [harness.Target("rate / raw Alltoallv", 0.4, rate["median"], at_least=True).record()]}


def main(argv: list[str] | None = None) -> int:
    return harness.main("shuffle", measure, full={"mb": 400.0, "jobs": 10, "ranks": 3, "repeats": 5},
                        quick={"mb": 100.0, "jobs": 5, "repeats": 2}, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
