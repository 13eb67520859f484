#!/usr/bin/env python3
"""Hadoop Streaming's reducer and combiner: the sum of each run of equal words."""

import sys
from itertools import groupby

pairs = (line.split("\t") for line in sys.stdin)
for word, group in groupby(pairs, lambda pair: pair[0]):
    print(word, sum(int(count) for _, count in group), sep="\t")
