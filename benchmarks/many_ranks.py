"""Far more ranks than cores: start, count words, stop; engine and hand-written.

Valid means that the counts are right and that every process of the launch is gone when the command returns.
"""

from __future__ import annotations

from argparse import Namespace

from benchmarks import harness, text


def measure(options: Namespace) -> harness.Record:
    source = text.zipf_text(options.mb, options.seed)
    text.warm(source.path)
    pair = harness.pair("wordcount", options, source.path)
    bad = [run for run in pair.runs["engine"] if run.report["digest"] != source.digest or run.left_behind]
    walls = {name: [run.wall_s for run in runs] for name, runs in pair.runs.items()}
    return {"bytes": source.size_bytes, "words": source.words,
            "valid": not bad and all(report["digest"] == source.digest for report in pair.reports()),
            **pair.sides("seconds"), "ratio": harness.ratio(walls["engine"], walls["handwritten"]),
            "targets": [harness.Target("runs with wrong counts or processes left", 0, len(bad)).record()]}


def main(argv: list[str] | None = None) -> int:
    return harness.main("many_ranks", measure, full={"mb": 20.0, "ranks": 64, "repeats": 2},
                        quick={"mb": 5.0, "repeats": 1}, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
