"""Join: orders with their customers, from two tables, and the sales of each region.

    mpirdd run -n 4 jobs/join.py [ORDERS CUSTOMERS | --generate 20MB] [--output FOLDER]

ORDERS has lines ``order,customer,cents``, CUSTOMERS ``customer,name,region``. Both sides move to
the partition of their customer's number and meet there (a hash join after repartitioning). The job
drops orders of unknown customers, as SQL's inner join does, and counts them.
"""

from __future__ import annotations

import argparse
import time
from operator import add

from checked import new_folder
from generate import add_generate, rows_of, source
from mpirdd import Context


def order(line: str) -> tuple[int, tuple[int, int]]:
    """(customer, (order, cents))"""
    number, customer, cents = line.split(",")
    return int(customer), (int(number), int(cents))


def customer(line: str) -> tuple[int, tuple[str, str]]:
    """(customer, (name, region))"""
    number, name, region = line.split(",")
    return int(number), (name, region)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="PATH", help="ORDERS and CUSTOMERS")
    parser.add_argument("--output", type=new_folder, metavar="FOLDER",
                        help="write the joined rows here: order,customer,name,region,cents")
    add_generate(parser, "orders, and a tenth as many customers", "2MB")
    options = parser.parse_args()
    if len(options.tables) not in (0, 2):
        parser.error("give two paths, ORDERS and CUSTOMERS, or none")
    with Context("join") as sc:
        if options.tables:
            left, right = options.tables
        else:
            rows = rows_of(options.generate or "2MB", 18)
            left = source(sc, "orders", str(rows), options.seed)
            right = source(sc, "customers", str(max(1, rows // 10)), options.seed)
        started = time.monotonic()
        orders, customers = sc.textFile(left, sc.defaultParallelism).map(order), sc.textFile(right).map(customer)
        joined = orders.join(customers, sc.defaultParallelism).cache()
        sales = joined.map(lambda row: (row[1][1][1], (1, row[1][0][1])))
        for region, (number, cents) in sorted(sales.reduceByKey(lambda a, b: tuple(map(add, a, b))).collect()):
            print(f"{region:10} {number:10,} orders {cents / 100:16,.2f}")
        unknown = orders.count() - joined.count()
        print(f"{joined.count():,} rows joined, {unknown:,} orders of unknown customers, {time.monotonic() - started:.3f} s")
        if options.output:
            joined.map(lambda row: f"{row[1][0][0]},{row[0]},{row[1][1][0]},{row[1][1][1]},{row[1][0][1]}").saveAsTextFile(
                options.output)


if __name__ == "__main__":
    main()
