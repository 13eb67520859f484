"""Search: the pages of an encyclopedia that mention a word, and how often, case ignored.

    mpirdd run -n 4 jobs/search.py [WORD...] [--pages PATH | --generate 20MB] [--top 5]

The pages are a folder of texts (by default the State of the Union addresses), or with --lines a
file with a title, a tab and a text on each line. The job reads them once and caches them, so it
looks up each further word in memory: the interactive use of the RDD paper (Zaharia et al., NSDI
2012, section 6.6: pages of Wikipedia).
"""

from __future__ import annotations

import argparse
import re
import time
from functools import partial
from pathlib import Path

from checked import whole
from generate import add_generate, source
from mpirdd import Context

SPEECHES = Path(__file__).parent / "data" / "state_union"
Page = tuple[str, str]


def named(page: Page) -> Page:
    """The page under its file's name instead of its address."""
    address, text = page
    return Path(address).stem, text


def not_empty(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty word is everywhere")
    return text


def pattern_of(word: str) -> re.Pattern[str]:
    """A pattern for the word alone. Two \\b around it would not do: at the end of c++ there is one only before a letter."""
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)


def titled(line: str) -> Page:
    title, _, text = line.partition("\t")
    return title, text


def mentions(pattern: re.Pattern[str], page: Page) -> tuple[int, str, str]:
    """(number of mentions, title, the words around the first)"""
    title, text = page
    found = list(pattern.finditer(text))
    start = max(0, found[0].start() - 30) if found else 0
    return len(found), title, " ".join(text[start:start + 70].split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", type=not_empty, default=["freedom", "computer"], metavar="WORD",
                        help="freedom, computer")
    parser.add_argument("--pages", metavar="PATH", default=str(SPEECHES), help="a folder of texts, or see --lines")
    parser.add_argument("--lines", action="store_true", help="a page is a line: a title, a tab, a text")
    parser.add_argument("--top", type=whole(1), default=5, metavar="N", help="how many pages to show for a word (5)")
    add_generate(parser, "pages as lines", None)
    options = parser.parse_args()
    with Context("search") as sc:
        if options.generate:
            options.pages, options.lines = source(sc, "pages", options.generate, options.seed), True
        if options.lines:
            pages = sc.textFile(options.pages, sc.defaultParallelism, errors="replace").map(titled).cache()
        else:
            pages = sc.wholeTextFiles(options.pages, sc.defaultParallelism, errors="replace").map(named).cache()
        for word in options.words:
            started = time.monotonic()
            hits = pages.map(partial(mentions, pattern_of(word))).filter(lambda hit: hit[0] > 0)
            best = hits.takeOrdered(options.top, key=lambda hit: (-hit[0], hit[1]))
            number, total = hits.map(lambda hit: (1, hit[0])).fold((0, 0), lambda a, b: (a[0] + b[0], a[1] + b[1]))
            print(f"{word}: {total:,} times on {number:,} of {pages.count():,} pages, {time.monotonic() - started:.3f} s")
            for times, title, context in best:
                print(f"{times:6,}  {title}: ...{context}...", flush=True)


if __name__ == "__main__":
    main()
