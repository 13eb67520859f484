"""Checkpoints, resumable state, added files and reading ahead on each store; and errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from clouds import Azure
from servers import S3, MiniHdfs

from mpirdd import Context, SparkFiles
from mpirdd.formats.filesystems import Options, filesystem_of, join
from mpirdd.protocol.errors import InputError, UsageError

pytestmark = pytest.mark.timeout(150)
BIG = b"".join(b"%09d\n" % number for number in range(2_000_000))
"""20 MB: several pieces for each split."""


@pytest.fixture(params=["hdfs", "s3", "az", "gs"])
def place(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The URL of a new folder, and the options that reach it."""
    server = request.getfixturevalue(request.param)
    return f"{server.url}/{uuid4().hex}", dict(getattr(server, "options", {}))


@pytest.fixture(scope="module")
def sc() -> Iterator[Context]:
    with Context() as sc:
        yield sc


def test_state_checkpoints_and_files(sc: Context, place: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    url, options = place
    files = filesystem_of(url, Options(options))
    sc.setCheckpointDir(join(url, "checkpoints"), storage_options=options)
    rdd = sc.parallelize(range(1000), 4).map(lambda x: (x % 7, x))
    rdd.checkpoint()
    assert rdd.count() == 1000 and rdd.isCheckpointed() and sorted(rdd.collect())[0] == (0, 0)
    where = rdd.getCheckpointFile()
    assert where is not None and files.info(join(where, "manifest.json"))
    state_url = join(url, "state")
    for begin, end in ((0, 3), (3, 4)):
        with sc.resumable(state_url, storage_options=options) as state:
            assert state.iteration == begin
            for i in range(begin, end):
                state.save(i + 1, pairs=rdd, number=i)
    assert [each.path.rpartition("/")[2] for each in files.entries(state_url)] == [
        "generation-00000003", "generation-00000004"]
    with sc.resumable(state_url, storage_options=options) as state, sc.resumable(state_url, storage_options=options) as other:
        assert state.get("number") == 3 and state.get("pairs").count() == 1000
        other.save(5, number=0)
        with pytest.raises(UsageError, match="another run has saved there"):
            state.save(5, number=1)
    with files.create(join(url, "factor.txt")) as file:
        file.write(b"7")
    sc.addFile(join(url, "factor.txt"), storage_options=options)
    assert sc.parallelize([6]).map(lambda x: x * int(Path(SparkFiles.get("factor.txt")).read_text())).first() == 42


def test_a_large_file_is_read_whole_wherever_it_is_cut(sc: Context, place: tuple[str, dict[str, Any]]) -> None:
    url, options = place
    path = join(url, "big.txt")
    files = filesystem_of(url, Options(options))
    with files.create(path) as file:
        file.write(BIG)
    assert files.read_range(path, 19_999_990, 100) == BIG[-10:]
    with files.open(path) as reader:
        assert reader.readall() == BIG
    for least in (1, 3):
        lines = sc.textFile(path, least, storage_options=options)
        assert lines.count() == 2_000_000
        assert lines.map(int).sum() == sum(range(2_000_000))
    assert sc.textFile(path, storage_options=options).first() == "000000000"


def test_a_wrong_key_a_missing_bucket_and_a_forbidden_file_are_told(
    sc: Context, s3: S3, hdfs: MiniHdfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="does not know the access key"):
        sc.textFile("s3://test/x", storage_options={**s3.options, "access_key_id": "wrong"})
    with pytest.raises(InputError, match="the secret key is wrong"):
        sc.textFile("s3://test/x", storage_options={**s3.options, "secret_access_key": "wrong"})
    with pytest.raises(InputError, match="there is no bucket nosuch"):
        sc.textFile("s3://nosuch/x", storage_options=s3.options)
    with pytest.raises(InputError, match=r"input path s3://test/absent does not exist"):
        sc.textFile("s3://test/absent", storage_options=s3.options)
    folder = f"{hdfs.url}/{uuid4().hex}"
    files = filesystem_of(folder)
    with files.create(join(folder, "private")) as file:
        file.write(b"x\n")
    files._client.set_permission("/" + folder.rpartition("/")[2], 0o700)  # type: ignore[attr-defined]
    monkeypatch.setenv("HADOOP_USER_NAME", "somebody-else")
    with pytest.raises(InputError, match="Permission denied: user=somebody-else"):
        sc.textFile(join(folder, "private"), storage_options={"dfs.client.of": "another user"})


def test_azures_refusals_are_told_in_its_words(sc: Context, az: Azure) -> None:
    with pytest.raises(InputError, match=r"the account's key is wrong\. Keys come from storage_options="):
        sc.textFile("az://test/x", storage_options={**az.options, "account_key": "AAAA"})
    with pytest.raises(InputError, match=r"there is no container nosuch \(The specified container does not exist.\); check"):
        sc.textFile("az://nosuch/x", storage_options=az.options)
    with pytest.raises(InputError, match=r"input path az://test/absent does not exist"):
        sc.textFile("az://test/absent", storage_options=az.options)
