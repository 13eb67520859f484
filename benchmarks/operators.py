"""Every operation of an RDD beside its plain loop, in turn inside one executor, over the same cached records of each kind:
numbers, text, pairs with few and with many keys. ``--only distinct;join`` measures some.

A ratio is that of the executor's CPU time, which other work on the machine hardly changes; the ratio of the clock's time is
beside it. A wide operation goes through shuffle write, exchange and shuffle read; its loop buckets, pickles, unpickles and
merges. Results of both are compared.
"""

from __future__ import annotations

import statistics
from argparse import Namespace

from benchmarks import harness
from benchmarks.operations.table import BY_NAME, chosen

GOAL, WORST = 1.0, 1.25


def measure(options: Namespace) -> harness.Record:
    if options.ranks != 2:
        raise harness.ProgramFailed(f"operators compares one executor with one loop: it takes 2 ranks, not {options.ranks}")
    if not chosen(options.only):
        raise harness.ProgramFailed(f"no operation {options.only}; there are: {'; '.join(BY_NAME)}")
    command = harness.on_engine("operators", options.ranks, options.records, options.repeats, options.seed, options.only)
    report = harness.launch(command, options.timeout).report
    operations = [_ratios(one, report["counts"]) for one in report["operations"]]
    operations.sort(key=lambda one: one["ratio"]["median"])
    for one in operations:
        harness.say(f"  {one['name']:34} {one['engine_ns']['median']:8.0f} / {one['loop_ns']['median']:8.0f} ns of CPU a record: "
                    f"{one['ratio']['median']:5.2f} (clock {one['wall_ratio']['median']:5.2f})"
                    + ("" if one["right"] else f"  WRONG: {one['found']} is not {one['expected']}"))
    compared = [one for one in operations if one["loop_ns"]["median"] >= 1] or operations  # a count is lengths on both sides
    cpu, wall = ([one[key]["median"] for one in compared] for key in ("ratio", "wall_ratio"))
    return {"bytes": 0, "valid": bool(operations) and all(one["right"] for one in operations), "command": " ".join(command),
            "operations": operations,
            "targets": [harness.Target("CPU time, median of all / loop", GOAL, statistics.median(cpu)).record(),
                        harness.Target("CPU time, worst / loop", WORST, max(cpu)).record(),
                        harness.Target("clock, median of all / loop", GOAL, statistics.median(wall)).record()]}


def _ratios(found: harness.Record, counts: dict[str, int]) -> harness.Record:
    """The record of one operation: nanoseconds a record of its largest input, and ratios within each pair of turns."""
    most = max(counts[name] for name in found["data"])
    engine, loop = found["engine"], found["loop"]
    return {**{key: found[key] for key in ("name", "data", "right", "found", "expected")}, "records": most,
            "engine_ns": harness.spread([1e9 * seconds / most for seconds in engine["cpu_s"]]),
            "loop_ns": harness.spread([1e9 * seconds / most for seconds in loop["cpu_s"]]),
            "engine_wall_ns": harness.spread([1e9 * seconds / most for seconds in engine["wall_s"]]),
            "loop_wall_ns": harness.spread([1e9 * seconds / most for seconds in loop["wall_s"]]),
            "ratio": harness.ratio(engine["cpu_s"], loop["cpu_s"]),
            "wall_ratio": harness.ratio(engine["wall_s"], loop["wall_s"])}


def main(argv: list[str] | None = None) -> int:
    return harness.main("operators", measure, full={"records": 1_000_000, "ranks": 2, "repeats": 5, "only": ""},
                        quick={"records": 100_000, "repeats": 2}, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
