"""Finished logs: while and after they are compressed, every offset has its byte."""

import contextlib
import os
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_common.errors import LeaseLostError, LogCorruptError
from ci_persistence.logs import archive as log_archive
from ci_persistence.logs import store as log_store
from ci_persistence.logs.archive import FRAME_BYTES, LogArchiveReader, write_archive
from ci_persistence.logs.cache import SharedCache
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.in_process import ProcessJobSignals

JOB = "4be0643f-1d98-473b-97cd-ca98a65347dd"
OTHER = "4bffffff-1d98-473b-97cd-ca98a65347dd"


def make_store(path: Path) -> FileLogStore:
    return FileLogStore(path, ProcessJobSignals())


def put(store: FileLogStore, content: bytes, job_id: str = JOB) -> None:
    log = store.open(job_id, 1)
    log.append(content)
    log.sync()
    log.close()


def lines(size: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(size // 6 + 1))[:size]


def files(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*"))


@contextlib.contextmanager
def frames_of(size: int) -> Iterator[None]:
    with mock.patch.object(log_archive, "FRAME_BYTES", size):
        yield


# ------------------------------------------------------------------- what is read


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_read_of_an_archive_is_that_of_the_log(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = data.draw(st.binary(max_size=300) | st.integers(0, 600).map(lines))
    frame = data.draw(st.integers(1, 200))
    store = make_store(tmp_path_factory.mktemp("data"))
    put(store, content)
    with frames_of(frame):
        store.compress(JOB, len(content))
    assert store.size(JOB) == len(content)
    for offset, limit in data.draw(
        st.lists(st.tuples(st.integers(0, 700), st.integers(0, 700)), min_size=1, max_size=20)
    ):
        assert store.read(JOB, offset, limit) == content[offset : offset + limit]


@pytest.mark.parametrize(
    "size", [0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES]
)
def test_sizes_around_a_frame(tmp_path: Path, size: int) -> None:
    store, content = make_store(tmp_path), os.urandom(size)
    put(store, content)
    stored = store.compress(JOB, size)
    assert stored == store.stored_bytes(JOB)
    assert store.size(JOB) == size
    assert store.read(JOB, 0, size + 1) == content
    assert store.read(JOB, size, 1) == b""
    assert store.read(JOB, max(size - 1, 0), 10) == content[-1:]
    assert [name for name in files(tmp_path) if JOB in name] == (
        [f"logs/{JOB[:2]}/{JOB}.log.zst", f"logs/{JOB[:2]}/{JOB}.marks"] if size else []
    )


def test_any_zstd_tool_can_read_it(tmp_path: Path) -> None:
    store, content = make_store(tmp_path), lines(3 * FRAME_BYTES + 5)
    put(store, content)
    stored = store.compress(JOB, len(content))
    assert stored < len(content) / 2
    with (tmp_path / f"logs/{JOB[:2]}/{JOB}.log.zst").open("rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        assert reader.read() == content


def test_a_large_log_costs_little_memory(tmp_path: Path) -> None:
    size, step = 24 << 20, 128 << 10
    path = tmp_path / "a.zst"
    row = lines(FRAME_BYTES)
    reader = LogArchiveReader(cached_bytes=1 << 20)
    tracemalloc.start()
    try:
        write_archive(path, size, lambda _, limit: row[:limit])
        for offset in range(0, size, step):
            assert len(reader.read(str(path), offset, step) or b"") == step
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 << 20, peak


def test_a_log_with_more_bytes_than_its_row_says_keeps_those_it_says(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    put(store, b"recorded" + b"written after the end")
    store.compress(JOB, 8)
    assert (store.size(JOB), store.read(JOB, 0, 99)) == (8, b"recorded")


def test_a_log_of_the_first_version_is_compressed_like_any(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    single = tmp_path / "logs" / JOB[:2] / f"{JOB}.log"
    single.parent.mkdir()
    single.write_bytes(b"written by the first version\n")
    assert store.size(JOB) == 29
    assert store.read(JOB, 8, 2) == b"by"
    store.compress(JOB, 29)
    assert store.read(JOB, 0, 99) == b"written by the first version\n"
    assert not single.exists()


# ------------------------------------------------------------------- who shares


def test_sequential_readers_share_each_decompressed_frame(tmp_path: Path) -> None:
    store, content = make_store(tmp_path), lines(5 * FRAME_BYTES)
    put(store, content)
    store.compress(JOB, len(content))
    numbers: list[int] = []
    real = log_archive.read_frame

    def counting(path: str, descriptor: int, index: Any, number: int) -> bytes:
        numbers.append(number)
        return real(path, descriptor, index, number)

    def replay() -> None:
        for offset in range(0, len(content), 100_000):
            assert store.read(JOB, offset, 100_000) == content[offset : offset + 100_000]

    with mock.patch.object(log_archive, "read_frame", counting):
        threads = [threading.Thread(target=replay) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(numbers) == [0, 1, 2, 3, 4]


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    cache: SharedCache[bytes] = SharedCache(10, len)
    made: list[str] = []

    def get(key: str, size: int) -> bytes:
        def make() -> bytes:
            made.append(key)
            return bytes(size)

        return cache.get(key, make)

    get("a", 4), get("b", 4), get("a", 4), get("c", 4)
    assert cache.weight == 8
    get("a", 4), get("b", 4)
    assert made == ["a", "b", "c", "b"]
    assert len(get("larger than all", 99)) == 99
    assert cache.weight == 99, "what is asked for is given, and is all that is kept"
    get("a", 4)
    assert cache.weight == 4


def test_the_cache_keeps_no_failures() -> None:
    cache: SharedCache[bytes] = SharedCache(10, len)
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: bytes(1 // 0))
    assert cache.get("a", lambda: b"now") == b"now"


# ------------------------------------------------------------------- the switch


def test_readers_see_no_gap_while_logs_are_compressed(tmp_path: Path) -> None:
    store, content = make_store(tmp_path), lines(20_000)
    jobs = [f"{number:08d}-1d98-473b-97cd-ca98a65347dd" for number in range(60)]
    for job_id in jobs:
        put(store, content, job_id)
    ended = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        while not ended.is_set():
            for job_id in jobs:
                seen = store.size(job_id), store.read(job_id, 9_990, 20)
                if seen != (len(content), content[9_990:10_010]):
                    wrong.append((job_id, seen))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        with frames_of(1000):
            for job_id in jobs:
                store.compress(job_id, len(content))
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert wrong == []


class Killed(BaseException):
    """Nothing runs after this, as after SIGKILL."""


@contextlib.contextmanager
def killed_at(step: int) -> Iterator[list[str]]:
    """Die before the step-th change of the disk."""
    taken: list[str] = []

    def guard(owner: Any, name: str) -> Any:
        real = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if len(taken) == step:
                raise Killed
            taken.append(name)
            return real(*arguments, **options)

        return mock.patch.object(owner, name, call)

    with (
        guard(os, "fsync"),
        guard(Path, "rename"),
        guard(Path, "unlink"),
        guard(Path, "rmdir"),
        guard(log_archive, "_check"),
        guard(log_store, "write_archive"),
    ):
        yield taken


def test_a_kill_between_any_two_steps_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    content, step, whole = lines(5000), 0, False
    while not whole:
        path = tmp_path / str(step)
        store = make_store(path)
        put(store, content)
        with frames_of(1000), killed_at(step) as taken, contextlib.suppress(Killed):
            store.compress(JOB, len(content))
            whole = True
        survivor = make_store(path)
        assert survivor.size(JOB) == len(content), taken
        assert survivor.read(JOB, 0, 9999) == content, taken
        survivor.compress(JOB, len(content))
        assert survivor.read(JOB, 1234, 99) == content[1234:1333], taken
        assert files(path) == [
            "logs",
            "logs/4b",
            f"logs/4b/{JOB}.log.zst",
            f"logs/4b/{JOB}.marks",
        ], taken
        step += 1
    steps = ["write_archive", "fsync", "_check", "rename", "rename", "fsync"]
    assert taken == [*steps, *taken[len(steps) :]]
    assert step > 8


def test_a_kill_in_mid_deletion_is_healed_by_repeating(tmp_path: Path) -> None:
    content, step, whole = lines(5000), 0, False
    while not whole:
        path = tmp_path / str(step)
        store = make_store(path)
        put(store, content)
        with frames_of(1000), killed_at(6), contextlib.suppress(Killed):
            store.compress(JOB, len(content))  # both forms are there
        with killed_at(step) as taken, contextlib.suppress(Killed):
            store.delete(JOB)
            whole = True
        make_store(path).delete(JOB)
        assert files(path) == ["logs", "logs/4b"], taken
        step += 1
    store.delete(OTHER)  # never existed
    assert (store.size(JOB), store.read(JOB, 0, 9)) == (0, b"")


@pytest.mark.parametrize("first", [1, -1])
def test_a_log_of_several_controllers_is_whole_until_it_is_gone(tmp_path: Path, first: int) -> None:
    """Without one of its files it would be shorter, or damaged: to readers who look at it just
    before they find the archive, and to a backup.
    """
    store = make_store(tmp_path)
    for epoch, piece in enumerate((b"one ", b"two ", b"three"), 1):
        log = store.open(JOB, epoch)
        log.append(piece)
        log.close()
    live = store._live(JOB)
    iterdir, unlink = Path.iterdir, Path.unlink
    seen = []

    def in_order(path: Path) -> Iterator[Path]:
        return iter(sorted(iterdir(path))[::first])  # as any file system may list them

    def noted(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        seen.append((live.size(), live.read(0, 99)))

    with mock.patch.multiple(Path, iterdir=in_order, unlink=noted):
        store.compress(JOB, 13)
    assert set(seen) == {(13, b"one two three"), (None, None)}
    assert store.read(JOB, 0, 99) == b"one two three"


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    put(store, b"precious")
    with (
        mock.patch.object(os, "fsync", side_effect=OSError(28, "no space")),
        pytest.raises(OSError, match="no space"),
    ):
        store.compress(JOB, 8)
    assert store.read(JOB, 0, 99) == b"precious"
    assert not list(tmp_path.rglob("*.part"))
    store.compress(JOB, 8)
    assert store.read(JOB, 0, 99) == b"precious"


def test_a_compressed_log_is_not_opened_again(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    put(store, b"the end")
    store.compress(JOB, 7)
    with pytest.raises(LeaseLostError):
        store.open(JOB, 9)
    # One that looked just before the switch begins a log that nobody reads.
    with mock.patch.object(Path, "exists", return_value=False):
        late = store.open(JOB, 9)
    late.append(b"too late")
    late.close()
    assert (store.size(JOB), store.read(JOB, 0, 99)) == (7, b"the end")
    store.compress(JOB, 7)
    assert files(tmp_path) == ["logs", "logs/4b", f"logs/4b/{JOB}.log.zst", f"logs/4b/{JOB}.marks"]


def test_a_process_that_was_paused_while_compressing_spoils_nothing(tmp_path: Path) -> None:
    store, content = make_store(tmp_path), lines(5000)
    put(store, content)
    real = write_archive
    paused = threading.Event()
    resume = threading.Event()

    def pausing(path: Path, size: int, read: Any) -> None:
        real(path, size, read)
        paused.set()
        assert resume.wait(60)

    def compress_late() -> None:
        with contextlib.suppress(FileNotFoundError):
            make_store(tmp_path).compress(JOB, len(content))

    with mock.patch.object(log_store, "write_archive", pausing):
        old = threading.Thread(target=compress_late)
        old.start()
        assert paused.wait(60)
    try:
        store.compress(JOB, len(content))
    finally:
        resume.set()
        old.join()
    assert store.read(JOB, 0, 9999) == content
    assert files(tmp_path) == ["logs", "logs/4b", f"logs/4b/{JOB}.log.zst", f"logs/4b/{JOB}.marks"]


# ------------------------------------------------------------------- damage


def archived(tmp_path: Path, content: bytes) -> Path:
    store = make_store(tmp_path)
    put(store, content)
    with frames_of(100):
        store.compress(JOB, len(content))
    return tmp_path / "logs" / JOB[:2] / f"{JOB}.log.zst"


def test_a_changed_byte_is_told_or_does_not_matter(tmp_path: Path) -> None:
    content = lines(250)
    path = archived(tmp_path, content)
    whole, told = path.read_bytes(), 0
    for position in range(len(whole)):
        for flip in (0x01, 0x80):
            damaged = bytearray(whole)
            damaged[position] ^= flip
            path.write_bytes(damaged)
            try:
                found = LogArchiveReader().read(str(path), 0, 999)
            except LogCorruptError:
                told += 1
            else:
                assert found == content, position
    # What does not matter: the skippable frame's own header, a few unused bits of frame headers.
    assert told > 2 * (len(whole) - 8 - 3 * 4)


def test_a_shortened_file_is_told(tmp_path: Path) -> None:
    path = archived(tmp_path, lines(250))
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(LogCorruptError, match="damaged"):
            LogArchiveReader().size(str(path))


def test_frames_around_a_damaged_one_can_be_read(tmp_path: Path) -> None:
    content = os.urandom(250)
    path = archived(tmp_path, content)
    damaged = bytearray(path.read_bytes())
    damaged[150] ^= 1
    path.write_bytes(damaged)
    store = make_store(tmp_path)
    assert store.size(JOB) == 250
    assert store.read(JOB, 0, 100) == content[:100]
    assert store.read(JOB, 200, 100) == content[200:]
    with pytest.raises(LogCorruptError, match="from 100 on, 100 of them"):
        store.read(JOB, 0, 101)


def test_a_log_that_lacks_bytes_is_not_compressed(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    put(store, b"short")
    for job_id, size in ((JOB, 6), (OTHER, 1)):
        with pytest.raises(LogCorruptError, match=f"has not {size} bytes"):
            store.compress(job_id, size)
    assert store.read(JOB, 0, 99) == b"short"


def test_an_archive_of_another_size_than_the_rows_is_told(tmp_path: Path) -> None:
    archived(tmp_path, b"seven b")
    with pytest.raises(LogCorruptError, match="expected 8 bytes of log, found 7"):
        make_store(tmp_path).compress(JOB, 8)


def test_what_was_written_wrongly_replaces_nothing(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    put(store, lines(250))
    real = zstandard.ZstdCompressor

    class Broken:
        def __init__(self, **options: Any) -> None:
            self._real = real(**options)

        def compress(self, content: bytes) -> bytes:
            return self._real.compress(content.replace(b"line 7", b"lime 7"))

    with (
        mock.patch.object(zstandard, "ZstdCompressor", Broken),
        pytest.raises(LogCorruptError, match="does not read back"),
    ):
        store.compress(JOB, 250)
    assert store.read(JOB, 0, 999) == lines(250)
    assert not (tmp_path / "logs" / JOB[:2] / f"{JOB}.log.zst").exists()


def test_the_store_lists_the_jobs_it_has_anything_of(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    put(store, b"live")
    put(store, b"compressed", OTHER)
    store.compress(OTHER, 10)
    assert sorted(set(store.job_ids())) == [JOB, OTHER]
