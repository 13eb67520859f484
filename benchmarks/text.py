"""Text with the word frequencies of real text, from a seed, and the right answer to counting its words.

Words follow Zipf's law with exponent 1.1 over 100,000 words, 5 to 15 to a line. The generator knows how often
it drew each word, so a word count is checked against something that never counted words. The file lives in
the user's scratch folder and is kept between runs; it is never committed.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VOCABULARY = 100_000
EXPONENT = 1.1
CHUNK_WORDS = 1 << 20
FORMAT = 1
"""Part of the file's name; raise it when the generator changes."""


@dataclass(frozen=True)
class Text:
    """A generated file and what counting its words must give."""

    path: str
    size_bytes: int
    words: int
    distinct: int
    digest: str
    """``digest`` of the (word, count) pairs."""


def zipf_text(mb: float, seed: int, folder: Path | None = None) -> Text:
    """About ``mb`` million bytes of text; generated once for each size and seed, about 10 s for 250 MB."""
    folder = folder or _scratch_folder()
    path = folder / f"zipf-{FORMAT}-{mb:g}mb-seed{seed}.txt"
    truth = path.with_suffix(".json")
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        counted = _write(unfinished, int(mb * 1e6), seed)
        truth.write_text(json.dumps(asdict(Text(str(path), unfinished.stat().st_size, *counted))))
        unfinished.rename(path)  # last: a file under its final name is whole and has its answer beside it
    return Text(**json.loads(truth.read_text()))


def noise(mb: float, seed: int, folder: Path | None = None) -> str:
    """The path of a file of about ``mb`` million bytes: lines of 68 characters, each printable one as likely as any other, so
    that a store that packs what can be packed leaves them as they are. Generated once for each size and seed."""
    folder = folder or _scratch_folder()
    path = folder / f"noise-{FORMAT}-{mb:g}mb-seed{seed}.txt"
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        random = np.random.default_rng(seed)
        with unfinished.open("wb") as file:
            for lines in _shares(int(mb * 1e6 / 69), 1 << 16):
                characters = random.integers(ord(" "), ord("~") + 1, size=(lines, 69), dtype=np.uint8)
                characters[:, -1] = ord("\n")
                file.write(characters.data)
        unfinished.rename(path)
    return str(path)


def warm(path: str) -> None:
    """Read the file once, so that the first program does not pay for the disk alone."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def digest(counts: Iterable[tuple[str, int]]) -> str:
    """A fingerprint of (word, count) pairs, whatever their order."""
    lines = sorted(f"{word} {count}\n" for word, count in counts)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _write(path: Path, size_bytes: int, seed: int) -> tuple[int, int, str]:
    """Write the text; return its words, its distinct words and the digest of their counts."""
    random = np.random.default_rng(seed)
    words = _vocabulary(random)
    # Every word twice, before a space and before a line's end: a chunk of text is one join over one lookup.
    pieces = np.array([f"{word}{end}".encode() for end in " \n" for word in words], dtype=object)
    weights = np.cumsum(np.arange(1, VOCABULARY + 1, dtype=np.float64) ** -EXPONENT)
    counts = np.zeros(VOCABULARY, np.int64)
    written = 0
    with path.open("wb") as file:
        while written < size_bytes:
            drawn = random.random(_chunk(size_bytes - written)) * weights[-1]
            ids = np.searchsorted(weights, drawn, side="right")
            written += file.write(b"".join(pieces[ids + VOCABULARY * _line_ends(random, len(ids))]))
            counts += np.bincount(ids, minlength=VOCABULARY)
    pairs = [(word, count) for word, count in zip(words, counts.tolist(), strict=True) if count]
    return int(counts.sum()), len(pairs), digest(pairs)


def _shares(total: int, most: int) -> Iterator[int]:
    """Numbers of at most ``most``, ``total`` in all."""
    for begun in range(0, total, most):
        yield min(most, total - begun)


def _chunk(missing_bytes: int) -> int:
    """Words to draw next; a word and its separator take about 6 bytes."""
    return min(CHUNK_WORDS, missing_bytes // 6 + 16)


def _line_ends(random: np.random.Generator, words: int) -> NDArray[np.int64]:
    """1 where a line ends after the word, every 5 to 15 words and at the end, else 0."""
    ends = np.cumsum(random.integers(5, 16, size=words // 5 + 1))
    marks = np.zeros(words, np.int64)
    marks[ends[ends < words]] = 1
    marks[-1] = 1
    return marks


def _vocabulary(random: np.random.Generator) -> list[str]:
    """Distinct lower-case words, the commonest first; commoner words are shorter, as in real text."""
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        longest = 4 + int(np.log(len(words) + 1))
        letters = random.integers(ord("a"), ord("z") + 1, size=(1000, longest), dtype=np.uint8)
        lengths = random.integers(max(1, longest - 4), longest + 1, size=1000)
        for row, length in zip(letters, lengths, strict=True):
            words[row[:length].tobytes().decode()] = None
    return list(words)[:VOCABULARY]


def _scratch_folder() -> Path:
    return Path(tempfile.gettempdir(), f"mpirdd-benchmarks-{os.getuid()}")
