from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "recovery"))  # how runs are started, and what is lost in them

from clouds import Azure, Google, why_no_azure
from jvm import NoJars
from runs import Runs
from servers import S3, MiniHdfs, why_no_hdfs, why_no_s3
from store import Store


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniHdfs]:
    if problem := why_no_hdfs():
        pytest.skip(f"no HDFS here: {problem}")
    try:
        with MiniHdfs(tmp_path_factory.mktemp("hdfs")) as up:
            yield up
    except NoJars as reason:
        pytest.skip(f"no HDFS here: {reason}")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    if problem := why_no_s3():
        pytest.skip(f"no S3 here: {problem}")
    with S3(tmp_path_factory.mktemp("s3")) as up:
        yield up


@pytest.fixture(scope="session")
def az(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    if problem := why_no_azure():
        pytest.skip(f"no Azure here: {problem}")
    with Azure(tmp_path_factory.mktemp("azure")) as up:
        yield up


@pytest.fixture(scope="session")
def gs() -> Iterator[Google]:
    pytest.importorskip("obstore")
    with Google() as up:
        yield up


@pytest.fixture(params=["hdfs", "s3", "copies", "az", "gs"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A new folder on each kind of store; ``copies`` is S3 as a client sees it that cannot use its uploads."""
    kind = request.param
    if kind == "hdfs":
        return Store(f"{request.getfixturevalue('hdfs').url}/{tmp_path.name}", {})
    server: S3 | Azure | Google = request.getfixturevalue("s3" if kind == "copies" else kind)
    found = Store(f"{server.url}/{tmp_path.name}", server.options)
    if kind == "copies":
        monkeypatch.setattr(found.fs, "uploads", None)
    return found


@pytest.fixture
def runs(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Runs]:
    """Programs under ``mpirdd run`` that reach both stores without options. No process stays behind."""
    variables = request.getfixturevalue("s3").environment if "s3" in request.fixturenames else {}
    started = Runs(tmp_path, dict(variables))
    yield started
    assert started.clean() == []
