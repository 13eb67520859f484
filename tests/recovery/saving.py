"""A job that saves eight parts of a hundred lines, and executors that die meanwhile: on a local folder, and on stores
(``tests/stores``)."""

from __future__ import annotations

SAVE = """
import mpirdd.api.sinks as sinks
def slowly(partition, records):
    for place, record in enumerate(records):
        time.sleep(0.001)
        if place == 50:
            touch("half a part")
        yield record
with Context(most_losses=0) as sc:
    {before}
    sc.parallelize(range(800), 8).mapPartitionsWithIndex(slowly).mapPartitionsWithIndex({fate}).saveAsTextFile({out!r})
    print(sc.textFile({out!r}).map(int).sum())
"""
COMMIT = """
commit = sinks.outputs.commit_output
def deadly(*arguments):
    kill(1, 3)
    commit(*arguments)
    kill(2)
sinks.outputs.commit_output = deadly
"""
LOSSES = {
    "in a part": ("pass", "die_at(5, 'save')", 1),
    "in each attempt at a part": ("pass", "die_at(2, 'save', 3)", 3),
    "two from outside": ("kill_at_file('half a part', 1, 2)", "lambda partition, records: records", 2),
    "during the commit": ("exec(COMMIT)", "lambda partition, records: records", 3),
}
"""What happens before the job, what happens to its records, and how many executors are lost."""
ALL_LOST = "die_at(2, 'save', 9)"


def saving(before: str = "pass", fate: str = "lambda partition, records: records", out: str = "out") -> str:
    """The program, with an output folder or URL."""
    return f"COMMIT = {COMMIT!r}\n" + SAVE.format(before=before, fate=fate, out=out)
