"""Cached numpy blocks read again: GB/s of each rank when it sums what it keeps, against the same sum by hand."""

from __future__ import annotations

from argparse import Namespace

from benchmarks import arrays, harness

BLOCK_MB = 4.0
"""Far more than a core's cache, so that it is memory that is read."""


def measure(options: Namespace) -> harness.Record:
    executors = options.ranks - 1
    items = int(BLOCK_MB * 1e6) // arrays.ITEM_BYTES
    blocks = max(1, round(options.mb / BLOCK_MB / executors))
    pair = harness.pair("reread", options, blocks, items, options.turns)
    expected = sum(float(arrays.make(source, block, items).sum()) for source in range(executors) for block in range(blocks))
    per_rank = blocks * items * arrays.ITEM_BYTES
    rates = {name: harness.spread([per_rank / seconds / 1e9 for report in pair.reports(name) for seconds in report["seconds"]])
             for name in pair.runs}
    sides = {name: {**side, "gb_per_s_a_rank": rates[name]} for name, side in pair.sides("seconds").items()}
    return {"bytes": per_rank * executors, "bytes_a_rank": per_rank, **sides, "ratio": pair.ratio(),
            "valid": all(abs(total - expected) <= 1e-9 * abs(expected) for report in pair.reports() for total in report["sums"])
                     and all(report["executors"] == executors for report in pair.reports()),
            "targets": [harness.Target("GB/s a rank", 5.0, rates["engine"]["median"], at_least=True).record()]}


def main(argv: list[str] | None = None) -> int:
    return harness.main("reread", measure, full={"mb": 1000.0, "turns": 10, "ranks": 3, "repeats": 3},
                        quick={"mb": 200.0, "turns": 5, "repeats": 1}, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
