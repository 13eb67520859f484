"""Word count on generated Zipf text, plain lambdas: the engine, the hand-written program, PySpark, Dask and plain Python."""

from __future__ import annotations

from argparse import Namespace

from benchmarks import harness, peers, text


def measure(options: Namespace) -> harness.Record:
    source = text.zipf_text(options.mb, options.seed)
    text.warm(source.path)
    pair = harness.pair("wordcount", options, source.path)
    pair = peers.with_others(pair, options, {**peers.installed(options, "engine/wordcount", source.path),
                                             **peers.without_engine(options, "wordcount", source.path)})
    ratio = pair.ratio()
    return {"bytes": source.size_bytes, "words": source.words, "distinct": source.distinct,
            "valid": all(report["digest"] == source.digest for report in pair.reports()),
            **pair.sides("seconds"), "ratio": ratio, "pyspark_over_engine": peers.over_engine(pair, "seconds"),
            "targets": [harness.Target("engine / hand-written", 1.3, ratio["median"]).record()]}


def main(argv: list[str] | None = None) -> int:
    return harness.main("wordcount", measure, full={"mb": 250.0, "ranks": 3, "repeats": 3, "spark": 1, "dask": 1},
                        quick={"mb": 20.0, "repeats": 2}, argv=argv, page_cache="drop")


if __name__ == "__main__":
    raise SystemExit(main())
