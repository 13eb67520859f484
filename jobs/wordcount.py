"""Word count: the commonest words of some texts, by default of the State of the Union addresses, 1945-2006.

    mpirdd run -n 4 jobs/wordcount.py [PATH] [--top 20] [--output FOLDER]

Paths are local, or URLs such as hdfs://namenode:8020/speeches. With --output the job writes all counts there, as lines of a
word, a tab and its count.
"""

from __future__ import annotations

import argparse
from operator import add
from pathlib import Path

from checked import whole
from mpirdd import Context

SPEECHES = Path(__file__).parent / "data" / "state_union"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", default=str(SPEECHES), help="a file, a folder, a glob, or a comma list of these")
    parser.add_argument("--top", type=whole(1), default=20, metavar="N", help="how many words to print (20)")
    parser.add_argument("--output", metavar="FOLDER", help="a new folder for the counts of all words")
    options = parser.parse_args()
    with Context("wordcount") as sc:
        words = sc.textFile(options.path, errors="replace").flatMap(str.split)
        counts = words.map(lambda word: (word, 1)).reduceByKey(add)
        for word, count in counts.takeOrdered(options.top, key=lambda pair: (-pair[1], pair[0])):
            print(f"{count:8,}  {word}")
        if options.output:
            counts.map("{0[0]}\t{0[1]}".format).saveAsTextFile(options.output)


if __name__ == "__main__":
    main()
