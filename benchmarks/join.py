"""A join of rows with one row for each of their keys, against a hand-written program and PySpark."""

from __future__ import annotations

from functools import partial

from benchmarks import group, harness


def main(argv: list[str] | None = None) -> int:
    return harness.main("join", partial(group.measure, program="join"), full=group.FULL, quick=group.QUICK, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
