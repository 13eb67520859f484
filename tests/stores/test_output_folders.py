"""Output on stores, by the functions that driver and tasks call: what is there at each moment, and at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from urllib.request import Request, urlopen

import pytest
from store import Store

from mpirdd.formats.filesystems.s3uploads import S3Uploads
from mpirdd.formats.outputs import Part, Token, abandon_output, commit_output, start_output, write_part, write_text_part
from mpirdd.formats.paths import find_inputs
from mpirdd.protocol.errors import ClusterError, UsageError

pytestmark = pytest.mark.timeout(300)


def start(store: Store, overwrite: bool = False) -> Token:
    return start_output(store.path("out"), overwrite=overwrite, options=store.options)


def write(store: Store, token: Token, index: int, *lines: str, attempt: int = 0) -> Part:
    return write_text_part(store.path("out"), token, index, attempt, lines)


def save(store: Store, *texts: str, overwrite: bool = False) -> None:
    token = start(store, overwrite)
    commit_output(store.path("out"), token, [write(store, token, index, text) for index, text in enumerate(texts)])


def visible(store: Store) -> list[str]:
    """What a reader of the output meets."""
    return [name for name in store.names("out") if not name.startswith(("_t", "."))]


def nothing_is_left(store: Store) -> bool:
    return store.unfinished() == 0 and not [name for name in [*store.names(), *store.names("out")] if name.startswith("_t")]


def test_an_output_appears_whole_and_leaves_nothing_else(store: Store) -> None:
    token = start(store)
    parts = [write(store, token, index, str(index)) for index in range(20)]
    assert visible(store) == []
    commit_output(store.path("out"), token, parts)
    assert visible(store) == ["_SUCCESS", *(f"part-{index:05d}" for index in range(20))]
    assert [store.text("out", f"part-{index:05d}") for index in (0, 19)] == ["0\n", "19\n"] and nothing_is_left(store)
    abandon_output(store.path("out"), token)
    assert len(visible(store)) == 21


def test_two_attempts_at_a_part_leave_one(store: Store) -> None:
    token = start(store)
    first = write(store, token, 0, "a", "b", attempt=0)
    write(store, token, 0, "a", "b", attempt=1)  # it was slow, and does not count
    commit_output(store.path("out"), token, [first])
    assert (visible(store), store.text("out", "part-00000")) == (["_SUCCESS", "part-00000"], "a\nb\n")
    assert nothing_is_left(store)


def test_a_late_attempt_changes_nothing(store: Store) -> None:
    token = start(store)
    first = write(store, token, 0, "right")

    def late() -> Iterator[bytes]:
        yield b"wrong"
        commit_output(store.path("out"), token, [first])
        yield b"wrong" * 1_000_000

    try:
        write_part(store.path("out"), token, 0, 1, late())
    except ClusterError:
        pass
    except UsageError as error:
        assert "part-00000" in str(error)
    assert (visible(store), store.text("out", "part-00000")) == (["_SUCCESS", "part-00000"], "right\n")


def test_a_failed_task_and_a_failed_job_leave_nothing(store: Store) -> None:
    token = start(store)

    def failing() -> Iterator[bytes]:
        yield b"x" * 9_000_000
        raise ValueError("in the task")

    with pytest.raises(ValueError, match="in the task"):
        write_part(store.path("out"), token, 0, 0, failing())
    assert store.unfinished() == 0
    write(store, token, 1, "whole")
    abandon_output(store.path("out"), token)
    assert (visible(store), nothing_is_left(store)) == ([], True)
    save(store, "a")
    assert visible(store) == ["_SUCCESS", "part-00000"]


def test_what_a_killed_job_has_left_goes_with_the_next_commit(store: Store) -> None:
    write(store, start(store), 0, "of a killed job")
    assert not nothing_is_left(store)
    save(store, "a")
    assert (visible(store), store.text("out", "part-00000")) == (["_SUCCESS", "part-00000"], "a\n")
    assert nothing_is_left(store)


def test_an_existing_folder_is_refused_and_overwrite_replaces_it_at_the_end(store: Store) -> None:
    save(store, "a", "b")
    with pytest.raises(UsageError, match=r"out exists already; choose another.*overwrite=True replaces .* nothing is ever app"):
        start(store)
    token = start(store, overwrite=True)
    part = write(store, token, 0, "new")
    assert store.text("out", "part-00000") == "a\n"
    commit_output(store.path("out"), token, [part])
    assert (visible(store), store.text("out", "part-00000")) == (["_SUCCESS", "part-00000"], "new\n")
    assert nothing_is_left(store)
    token = start(store, overwrite=True)
    write(store, token, 0, "newer")
    abandon_output(store.path("out"), token)
    assert store.text("out", "part-00000") == "new\n" and nothing_is_left(store)
    store.write("mine", "out", "mine.txt")
    with pytest.raises(UsageError, match=r"holds mine\.txt, which is no file of an output"):
        start(store, overwrite=True)


def test_an_empty_folder_is_refused_in_the_same_words_everywhere(store: Store, tmp_path: Path) -> None:
    make_empty_folder(store, "out")
    local = tmp_path / "out"
    local.mkdir()
    said = []
    for start_it, path in ((lambda: start(store), store.path("out")), (lambda: start_output(str(local)), str(local))):
        with pytest.raises(UsageError) as error:
            start_it()
        said.append(str(error.value).replace(path, "OUT"))
    assert said[0] == said[1] and "OUT exists already (without a _SUCCESS file" in said[0]
    token = start(store, overwrite=True)
    commit_output(store.path("out"), token, [write(store, token, 0, "a")])
    assert store.text("out", "part-00000") == "a\n"


def make_empty_folder(store: Store, name: str) -> None:
    if store.url.startswith("hdfs:"):
        store.fs.make_folders(store.path(name))
    elif store.url.startswith("gs:"):
        put_at_google(store, f"{name}/", b"")
    elif isinstance(store.fs.uploads, S3Uploads):
        store.fs.uploads._request("PUT", store.path(name) + "/", {}, headers_only=True)
    else:
        pytest.skip("nothing here makes the marker of a folder")


def put_at_google(store: Store, name: str, data: bytes) -> None:
    """As it is: obstore takes slashes off the end of a name."""
    address = json.loads(store.given["service_account_key"])["gcs_base_url"]
    request = Request(f"{address}/test/{store.url.removeprefix('gs://test/')}/{name}", data, method="PUT")
    urlopen(request).close()


def test_a_file_beside_a_folder_of_its_name_is_read(store: Store) -> None:
    if store.url.startswith(("hdfs:", "s3:")):
        pytest.skip("it has folders, which no file has the name of")
    store.write("one\n", "in", "a")
    store.write("two\n", "in", "a", "b")
    found = find_inputs(store.path("in"), recursive=True, options=store.options)
    assert [(file.path, file.size) for file in found] == [(store.path("in", "a"), 4), (store.path("in", "a", "b"), 4)]
    store.write("", "in", "empty")
    store.write("three\n", "in", "empty", "c")
    for path in (store.path("in", "empty"), store.path("in", "e*")):
        assert [file.path for file in find_inputs(path, options=store.options)] == [store.path("in", "empty", "c")]


def test_of_two_jobs_with_one_output_the_first_wins(store: Store) -> None:
    first, second = start(store), start(store)
    parts = [write(store, first, 0, "first")]
    others = [write(store, second, 0, "second"), write(store, second, 1, "second")]
    commit_output(store.path("out"), first, parts)
    with pytest.raises(UsageError, match="was written by someone else while the job ran"):
        commit_output(store.path("out"), second, others)
    abandon_output(store.path("out"), second)
    assert (visible(store), store.text("out", "part-00000")) == (["_SUCCESS", "part-00000"], "first\n")
    assert nothing_is_left(store)


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_two_jobs_that_commit_at_the_same_moment_one_wins_whole(store: Store, overwrite: bool) -> None:
    parts = 12
    if overwrite:
        save(store, *["old"] * parts)
    for turn in range(4):
        if turn and not overwrite:
            store.fs.remove(store.path("out"), recursive=True)
        tokens = {name: start(store, overwrite) for name in ("a", "b")}
        written = {name: [write(store, token, index, name) for index in range(parts)] for name, token in tokens.items()}
        together = Barrier(2)

        def commit(
            name: str, tokens: dict[str, Token] = tokens, written: dict[str, list[Part]] = written, together: Barrier = together
        ) -> str | None:
            together.wait()
            try:
                commit_output(store.path("out"), tokens[name], written[name])
            except UsageError as error:
                abandon_output(store.path("out"), tokens[name])
                assert "exists already" in str(error) or "was written by someone else while the job ran" in str(error)
                return None
            return name

        with ThreadPoolExecutor(2) as pool:
            winners = [name for name in pool.map(commit, ("a", "b")) if name]
        found = {store.text("out", name).strip() for name in visible(store) if name != "_SUCCESS"}
        assert visible(store) == ["_SUCCESS", *(f"part-{index:05d}" for index in range(parts))], (turn, winners)
        assert len(winners) == 1 or (overwrite and winners), (turn, winners)  # one may replace the output of the other
        assert len(found) == 1 and found <= set(winners), (turn, winners)
        assert nothing_is_left(store), (store.names(), store.names("out"), store.unfinished())


def test_the_claim_of_a_killed_commit_holds_nobody_up(store: Store) -> None:
    where = ["_temporary-out-commit-"] if store.fs.can_rename else ["out", "_temporary-commit-"]
    claim = store.path(*where) + "0123456789abcdef"
    for overwrite in (False, True):
        store.fs.create(claim).close()
        save(store, "a", overwrite=overwrite)
        assert visible(store) == ["_SUCCESS", "part-00000"] and nothing_is_left(store)
    token = start(store, overwrite=True)
    part = write(store, token, 0, "b")
    store.fs.create(claim).close()  # of a commit that is going on
    with pytest.raises(UsageError, match=r"out exists already: another job is writing its output there at this moment"):
        commit_output(store.path("out"), token, [part])
    assert store.text("out", "part-00000") == "a\n"


def test_a_part_larger_than_a_piece(store: Store) -> None:
    token = start(store)
    part = write_part(store.path("out"), token, 0, 0, (b"%07d\n" % index * 1000 for index in range(2500)))
    commit_output(store.path("out"), token, [part])
    found = store.fs.info(store.path("out", "part-00000"))
    assert found is not None and found.size == 20_000_000
    assert store.fs.read_range(found.path, 16_000_000, 8) == b"0002000\n"
