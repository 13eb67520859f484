"""The paper's figure 11: k-means for 10 iterations on 4 executors, one of which is killed at the start of the 6th.

Each repeat runs the same job twice, with and without the kill; centres must be the same to the last
bit, and those of plain numpy but for rounding. Also the price of recovery when nobody dies: word
count and a sort with ``--no-ft`` and without, in turn.
"""

from __future__ import annotations

import statistics
from argparse import Namespace

import numpy as np

from benchmarks import harness, text
from benchmarks.engine.recovery import CLUSTERS, assign, block


def measure(options: Namespace) -> harness.Record:
    arguments = (options.points, options.parts, options.iterations)
    commands = {"killed": harness.on_engine("recovery", options.ranks, *arguments, options.kill, options.seed),
                "undisturbed": harness.on_engine("recovery", options.ranks, *arguments, 0, options.seed)}
    runs = harness.alternate(options.repeats, options.timeout, commands)
    killed = [run.report for run in runs["killed"]]
    undisturbed = [run.report for run in runs["undisturbed"]]
    at = options.kill - 1
    before = [statistics.median(report["seconds"][1:at]) for report in killed]
    during = [report["seconds"][at] for report in killed]
    after = [statistics.median(report["seconds"][at + 1:]) for report in killed]
    noticed = [report["noticed_s"] for report in killed]
    share = [report["lost_share"] for report in killed]
    allowed = [(1 + lost) * 1.6 * usual + seen for lost, usual, seen in zip(share, before, noticed, strict=True)]
    cost = price(options)
    same = all(report["centres"] == killed[0]["centres"] for report in killed + undisturbed)
    right = np.allclose(killed[0]["centres"], by_numpy(options), rtol=1e-9)
    return {
        "bytes": options.points * 80, "command": " ".join(commands["killed"]),
        "valid": bool(same and right) and all(report["executors"] == options.ranks - 2 for report in killed)
        and cost["valid"],
        "iterations_s": {"killed": [report["seconds"] for report in killed],
                         "undisturbed": [report["seconds"] for report in undisturbed]},
        "before_s": harness.spread(before), "during_s": harness.spread(during), "after_s": harness.spread(after),
        "detection_and_repair_s": harness.spread(noticed), "lost_share": harness.spread(share), "cost_of_recovery": cost,
        "targets": [
            harness.Target("iteration of the loss / what it may take", 1.0,
                           statistics.median(a / b for a, b in zip(during, allowed, strict=True))).record(),
            harness.Target("later iterations / those before", 4 / 3,
                           statistics.median(a / b for a, b in zip(after, before, strict=True))).record(),
            harness.Target("detection and repair in s", 0.5, statistics.median(noticed)).record(),
            *(harness.Target(f"{job} with recovery / without", 1.05, cost[job]["ratio"]["median"]).record()
              for job in ("wordcount", "sort")),
        ]}


def price(options: Namespace) -> harness.Record:
    """The same programs with and without recovery."""
    source = text.zipf_text(options.mb, options.seed)
    text.warm(source.path)
    jobs = {"wordcount": [source.path], "sort": [options.numbers, options.seed]}
    cost: harness.Record = {"valid": True}
    for job, arguments in jobs.items():
        command = harness.on_engine(job, options.ranks, *arguments)
        runs = harness.alternate(options.repeats + 2, options.timeout, {
            "with": command, "without": [*command[:4], "--no-ft", *command[4:]]})
        inside = {name: harness.inner(of) for name, of in runs.items()}
        totals = {name: [run.wall_s for run in of] for name, of in runs.items()}
        cost[job] = {"with_s": harness.spread(inside["with"]), "without_s": harness.spread(inside["without"]),
                     "ratio": harness.ratio(inside["with"], inside["without"]),
                     "total_ratio": harness.ratio(totals["with"], totals["without"])}
        digests = {str(run.report["digest"]) for of in runs.values() for run in of}
        cost["valid"] = cost["valid"] and len(digests) == 1 and (job != "wordcount" or digests == {source.digest})
    return cost


def by_numpy(options: Namespace) -> list[list[float]]:
    """The centres that the iterations end with, in this process."""
    rows = options.points // options.parts
    points = [block(options.seed * 1000 + part, rows) for part in range(options.parts)]
    centres = block(1 + options.seed, CLUSTERS)
    for _ in range(options.iterations):
        parts = [assign(part, centres) for part in points]
        sums, counts = sum(part[0] for part in parts), sum(part[1] for part in parts)
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
    found: list[list[float]] = centres.tolist()
    return found


def main(argv: list[str] | None = None) -> int:
    return harness.main(
        "recovery", measure,
        full={"points": 4_000_000, "parts": 32, "iterations": 10, "kill": 6, "ranks": 5, "repeats": 3, "mb": 100.0,
              "numbers": 1_000_000},
        quick={"points": 400_000, "repeats": 1, "mb": 10.0, "numbers": 100_000}, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
