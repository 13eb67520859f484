#!/usr/bin/env python3
"""Hadoop Streaming's mapper of a word count: a line for each word."""

import sys

for line in sys.stdin:
    for word in line.split():
        print(word, 1, sep="\t")
