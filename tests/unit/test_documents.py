"""The documents name only files, modules and classes that exist, and keep to 100 columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name

import pytest

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 100
FOLDERS = [ROOT, ROOT / "docs", ROOT / "benchmarks", ROOT / "jobs" / "data", ROOT / ".github"]
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in folder.glob("*.md"))
MADE_WHEN_NEEDED = ("benchmarks/results/", ".venv")
"""Paths that a clone does not hold."""

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n)+")
INLINE = re.compile(r"`([^`]+)`")
PATH = re.compile(r"\.?\w[\w.*-]*(?:/[\w.*-]+)+/?|\w+/")
MODULE = re.compile(r"\b(?:mpirdd|benchmarks|tests)(?:\.[A-Za-z_]+)+")
CLASS = re.compile(r"([A-Z][a-z]+\w*)(?:\.(\w+))?")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def prose_of(document: str) -> str:
    """The document with its blocks of code empty; every line stays where it is."""
    text = FENCE.sub(lambda code: "\n" * code.group().count("\n"), text_of(document))
    return INDENTED.sub(lambda code: "\n" * code.group().count("\n"), text)


def code_of(document: str) -> str:
    text = text_of(document)
    return "\n".join([*FENCE.findall(text), *INDENTED.findall(text)])


def inline_of(document: str) -> list[str]:
    return [" ".join(code.split()) for code in INLINE.findall(prose_of(document))]


def paths_of(document: str) -> Iterator[str]:
    for code in inline_of(document):
        if PATH.fullmatch(code):
            yield code
    for word in code_of(document).split():
        if PATH.fullmatch(word) and word.endswith((".py", ".sh")):
            yield word


def exists(path: str, document: str) -> bool:
    bases = (ROOT, ROOT / "mpirdd", (ROOT / document).parent)
    return path.startswith(MADE_WHEN_NEEDED) or any(any(base.glob(path)) for base in bases)


def module_exists(name: str) -> bool:
    if name.startswith("mpirdd."):
        try:
            resolve_name(name)
        except (ImportError, AttributeError):
            return False
        return True
    return find_spec(name) is not None


def slugs_of(document: str) -> set[str]:
    """The anchors that the headings of a document have on a hosting site."""
    headings = re.findall(r"^#+ (.+)$", prose_of(document), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_prose_ends_at_column_100(document: str) -> None:
    lines = enumerate(prose_of(document).splitlines(), 1)
    assert [number for number, line in lines if len(line) > WIDTH and not line.startswith("|")] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_exists(document: str) -> None:
    named = {path for path in paths_of(document) if "NAME" not in path}
    assert sorted(path for path in named if not exists(path, document)) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_module_exists(document: str) -> None:
    code = "\n".join([code_of(document), *inline_of(document)])
    named = {name for name in MODULE.findall(code) if "NAME" not in name}
    assert sorted(name for name in named if not module_exists(name)) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_relative_link_resolves(document: str) -> None:
    broken = []
    for link in LINK.findall(prose_of(document)):
        target, _, anchor = link.partition("#")
        if re.match(r"\w+:", target):
            continue
        path = (ROOT / document).parent / target if target else ROOT / document
        found = path.exists()
        if found and anchor:
            found = anchor in slugs_of(path.resolve().relative_to(ROOT).as_posix())
        if not found:
            broken.append(link)
    assert broken == []


def test_every_class_that_the_architecture_names_exists() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "mpirdd").rglob("*.py"))
    missing = []
    for code in inline_of("ARCHITECTURE.md"):
        named = CLASS.fullmatch(code)
        if named is None:
            continue
        owner, member = named.groups()
        if not re.search(rf"^class {owner}\b|^{owner}\b.*=", source, flags=re.MULTILINE):
            missing.append(owner)
        elif member and not re.search(rf"\bdef {member}\b|^    {member}\b", source, flags=re.MULTILINE):
            missing.append(code)
    assert missing == []


def test_the_page_on_the_api_counts_its_members_right() -> None:
    page = text_of("docs/API.md")
    rows = re.findall(r"^\| `.*` \| (\*\*differs|\*\*missing|same)", page.partition("## Only in mpirdd")[0], flags=re.MULTILINE)
    counts = Counter(kind.strip("*") for kind in rows)
    said = [int(number) for number in re.findall(r"(?:compares the\s|\*\*)(\d+)", page.partition("## ")[0])]
    assert said == [len(rows), counts["same"], counts["differs"], counts["missing"]]
