"""``collect`` of cached numpy arrays against a raw Send of the same arrays from the same number of ranks.

The target compares with receiving into reused memory, the harder of the two; ``ratio_fresh``
compares with receiving into new memory, which ``collect`` cannot avoid.
"""

from __future__ import annotations

from argparse import Namespace

from benchmarks import arrays, harness


def measure(options: Namespace) -> harness.Record:
    executors = options.ranks - 1
    items = int(options.mb * 1e6) // (executors * options.arrays * arrays.ITEM_BYTES)
    pair = harness.pair("collect", options, options.arrays, items, options.jobs)
    expected = arrays.checksum(arrays.make(source, index, items)
                               for source in range(executors) for index in range(options.arrays))
    sides, ratio = pair.sides("seconds"), pair.ratio()
    sides["handwritten"]["fresh_seconds"] = harness.spread(
        [seconds for report in pair.reports("handwritten") for seconds in report["fresh_seconds"]])
    return {"bytes": executors * options.arrays * items * arrays.ITEM_BYTES,
            "valid": all(report["checksum"] == expected for report in pair.reports()),
            **sides, "ratio": ratio, "ratio_fresh": pair.ratio("seconds", "fresh_seconds"),
            "targets": [harness.Target("engine / raw Send", 3.0, ratio["median"]).record()]}


def main(argv: list[str] | None = None) -> int:
    return harness.main("collect", measure,
                        full={"mb": 100.0, "arrays": 8, "jobs": 10, "ranks": 3, "repeats": 5},
                        quick={"mb": 40.0, "jobs": 5, "repeats": 2}, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
