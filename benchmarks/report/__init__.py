"""``python -m benchmarks report``: the results as one self-contained HTML page.

The code reads in this order: ``records.py`` (which lines of JSON count), ``drawing.py`` (axes, bars and lines with their
spreads), ``figures.py`` and ``iterations.py`` (a figure for each question, its title a claim computed from the data),
``page.py`` (the page). Figures are matplotlib's, as SVG inside the page: a few 10 kB each, sharp when printed, and with text
that can be searched.
"""
