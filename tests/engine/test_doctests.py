"""The examples in the API's docstrings hold on every number of ranks."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import mpirdd
import mpirdd.api

MODULES = [
    *(f"mpirdd.api.{module.name}" for module in pkgutil.iter_modules(mpirdd.api.__path__)),
    "mpirdd",
    "mpirdd.launch.session",
]


def examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = []
    for name in MODULES:
        module = importlib.import_module(name)
        public = {key: value for key, value in vars(mpirdd.api).items() if not key.startswith("_")}
        everything = {**public, **{key: getattr(mpirdd, key) for key in mpirdd.__all__}, **vars(module)}
        found += [test for test in finder.find(module, name, extraglobs=everything) if test.examples]
    return found


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_docstring(sc, example):
    example.globs["sc"] = sc
    report: list[str] = []
    if "storageInfo" in example.name and sc.settings.mode == "mapreduce":
        pytest.skip("is about what is kept; mode mapreduce keeps nothing")
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=report.append)
    assert not result.failed, "".join(report)
