"""Jobs over text and tables, against plain Python."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from running import JOBS, Job, lines_of, run

SPEECHES = {path.stem: path.read_bytes().decode(errors="replace") for path in (JOBS / "data" / "state_union").glob("*.txt")}


def test_every_job_says_how_to_run_it(tmp_path: Path) -> None:
    for path in JOBS.glob("*.py"):
        if path.name in ("checked.py", "resuming.py"):  # what jobs share, and no job
            continue
        shown = "\n".join(run(path.stem, "--help", ranks=1, scratch=tmp_path))
        assert f"mpirdd run -n 4 jobs/{path.name}" in shown
        assert "usage:" in shown


def test_wordcount_prints_the_commonest_words_and_writes_all(job: Job, tmp_path: Path) -> None:
    counts = Counter(word for text in SPEECHES.values() for word in text.split())
    expected = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:30]
    found = [line.split() for line in job("wordcount", "--top", 30, "--output", tmp_path / "counts")]
    assert [(word, int(count.replace(",", ""))) for count, word in found] == expected
    lines = [line for part in (tmp_path / "counts").glob("part-*") for line in part.read_text().splitlines()]
    assert sorted(lines) == sorted(f"{word}\t{count}" for word, count in counts.items())


def test_search_finds_the_pages_that_mention_a_word_most(job: Job) -> None:
    pattern = re.compile(r"\bpeace\b", re.IGNORECASE)
    times = {title: len(pattern.findall(text)) for title, text in SPEECHES.items()}
    head, *best, last = job("search", "peace", "zyzzyva", "--top", 4)
    pages = sum(1 for count in times.values() if count)
    assert head.startswith(f"peace: {sum(times.values()):,} times on {pages} of {len(SPEECHES)} pages")
    expected = sorted(((count, title) for title, count in times.items()), key=lambda hit: (-hit[0], hit[1]))[:4]
    assert [re.match(r" *(\d+)  ([^:]+):", line).groups() for line in best] == [  # type: ignore[union-attr]
        (str(count), title) for count, title in expected]
    assert last.startswith(f"zyzzyva: 0 times on 0 of {len(SPEECHES)} pages")


def test_search_takes_pages_as_lines(job: Job, tmp_path: Path) -> None:
    (tmp_path / "pages.txt").write_text("One\tSheep and sheep\nTwo\tSheepish\nSheep\tgoats\n")
    head, only = job("search", "sheep", "--lines", "--pages", tmp_path / "pages.txt")
    assert head.startswith("sheep: 2 times on 1 of 3 pages")
    assert only == "     2  One: ...Sheep and sheep..."


def test_search_finds_words_that_begin_or_end_in_punctuation(tmp_path: Path) -> None:
    (tmp_path / "pages.txt").write_text("One\tthe U.S. and c++, C++! U.S.A\nTwo\t.net (not x.net) and abc++d\n")
    shown = run("search", "u.s.", "c++", ".net", "--lines", "--pages", tmp_path / "pages.txt", ranks=1, scratch=tmp_path)
    assert [line.rpartition(",")[0] for line in shown if not line.startswith(" ")] == [
        "u.s.: 1 times on 1 of 2 pages", "c++: 2 times on 1 of 2 pages", ".net: 1 times on 1 of 2 pages"]


def test_log_mining_goes_by_the_level_and_not_by_the_text(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(
        "2026-03-01 00:00:00 ERROR mysql: timed out\n2026-03-01 00:00:01 INFO php: no ERROR found\n2026-03-01 broken\n")
    shown = run("log_mining", tmp_path / "log", ranks=1, scratch=tmp_path)
    assert [line.rpartition(" (")[0] for line in shown] == [
        "errors in 2026-03: 1", "by service: [('mysql', 1)]", "worst days: [('2026-03-01', 1)]",
        "of mysql that mention 'timed out': 1"]


def test_log_mining_answers_as_a_scan_of_the_lines_does(job: Job, tmp_path: Path) -> None:
    answers = job("log_mining", "--generate", "20k", "--seed", 5, "--month", "2026-05", "--text", "disk full")
    (folder,) = tmp_path.glob("mpirdd-jobs-*/logs-20k-seed5")
    errors = [line.split(" ", 4) for line in lines_of(folder) if line.startswith("2026-05") and line.split(" ")[2] == "ERROR"]
    assert len(errors) > 20
    services = sorted(Counter(error[3][:-1] for error in errors).items(), key=lambda pair: (-pair[1], pair[0]))
    days = sorted(Counter(error[0] for error in errors).items(), key=lambda pair: (-pair[1], pair[0]))[:3]
    full = sum(1 for error in errors if error[3] == "mysql:" and "disk full" in error[4])
    assert [answer.rpartition(" (")[0] for answer in answers] == [
        f"errors in 2026-05: {len(errors)}", f"by service: {services}", f"worst days: {days}",
        f"of mysql that mention 'disk full': {full}"]


def test_join_matches_orders_with_customers_and_adds_up_regions(job: Job, tmp_path: Path) -> None:
    shown = job("join", "--generate", "20k", "--output", tmp_path / "joined")
    orders, customers = (
        [tuple(line.split(",")) for line in lines_of(next(tmp_path.glob(f"mpirdd-jobs-*/{name}")))]
        for name in ("orders-20000-seed1", "customers-2000-seed1"))
    known = {number: (name, region) for number, name, region in customers}
    expected = sorted(f"{order},{buyer},{known[buyer][0]},{known[buyer][1]},{cents}"
                      for order, buyer, cents in orders if buyer in known)
    assert sorted(lines_of(tmp_path / "joined")) == expected
    sales: dict[str, list[int]] = defaultdict(list)
    for _, buyer, cents in orders:
        if buyer in known:
            sales[known[buyer][1]].append(int(cents))
    assert [tuple(line.split()) for line in shown[:-1]] == [
        (region, f"{len(cents):,}", "orders", f"{sum(cents) / 100:,.2f}") for region, cents in sorted(sales.items())]
    unknown = len(orders) - len(expected)
    assert unknown > 0
    assert shown[-1].startswith(f"{len(expected):,} rows joined, {unknown} orders of unknown customers")


def test_join_gives_a_row_for_each_pair_of_equal_keys(job: Job, tmp_path: Path) -> None:
    (tmp_path / "orders").write_text("1,7,100\n2,7,200\n3,8,300\n")
    (tmp_path / "customers").write_text("7,ann,north\n7,bob,south\n9,cy,east\n")
    job("join", tmp_path / "orders", tmp_path / "customers", "--output", tmp_path / "joined")
    assert sorted(lines_of(tmp_path / "joined")) == [
        "1,7,ann,north,100", "1,7,bob,south,100", "2,7,ann,north,200", "2,7,bob,south,200"]


@pytest.mark.parametrize("kind", ["points", "clusters", "graph", "logs", "pages", "customers", "orders", "records"])
def test_generated_data_depends_on_the_seed_and_not_on_the_ranks(kind: str, tmp_path: Path) -> None:
    def generate(name: str, seed: int, ranks: int) -> bytes:
        run("generate", kind, "21k", tmp_path / name, "--seed", seed, ranks=ranks, scratch=tmp_path)
        return b"".join(part.read_bytes() for part in sorted((tmp_path / name).glob("part-*")))

    alone = generate("alone", seed=1, ranks=1)
    assert alone.count(b"\n") == 21_000
    assert generate("three", seed=1, ranks=3) == alone
    assert generate("other", seed=2, ranks=1) != alone


def test_generated_sizes_in_bytes_are_about_right(tmp_path: Path) -> None:
    for kind in ("points", "clusters", "graph", "logs", "pages", "customers", "orders", "records"):
        run("generate", kind, "2MB", tmp_path / kind, ranks=1, scratch=tmp_path)
        size = sum(part.stat().st_size for part in (tmp_path / kind).glob("part-*"))
        assert 1.6e6 < size < 2.4e6, kind
