"""What a controller that lost the lease still writes is in no log."""

import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_common.errors import LeaseLostError, LogCorruptError
from ci_persistence.logs.segments import LiveLog, Segment, chain
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.in_process import ProcessJobSignals

JOB = "4be0643f-1d98-473b-97cd-ca98a65347dd"


@pytest.fixture
def store(tmp_path: Path) -> FileLogStore:
    return FileLogStore(tmp_path, ProcessJobSignals())


def content(store: FileLogStore) -> bytes:
    found = store.read(JOB, 0, 1 << 20)
    assert store.size(JOB) == len(found)
    return found


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.rglob(f"{JOB}.live/*"))


def test_what_the_old_one_writes_after_the_new_one_opened_is_in_no_log(
    store: FileLogStore,
) -> None:
    old = store.open(JOB, 4)
    old.append(b"before ")
    new = store.open(JOB, 5)
    old.append(b"LATE")
    assert (new.size, content(store)) == (7, b"before ")
    new.append(b"after ")
    old.append(b"LATER")
    with pytest.raises(LeaseLostError):  # what it appended may be in no log
        old.sync()
    new.sync()
    new.append(b"and on")
    assert content(store) == b"before after and on"
    assert new.size == 19
    assert store.read(JOB, 5, 4) == b"e af"


def test_nor_when_the_log_was_empty_or_not_there(store: FileLogStore) -> None:
    old = store.open(JOB, 1)
    new = store.open(JOB, 2)
    old.append(b"LATE")
    assert content(store) == b""
    new.append(b"here")
    assert content(store) == b"here"


def test_a_stale_controller_cannot_open(store: FileLogStore) -> None:
    store.open(JOB, 5).append(b"mine")
    with pytest.raises(LeaseLostError):
        store.open(JOB, 4)
    assert content(store) == b"mine"


def test_one_that_was_paused_while_it_opened_takes_nothing_away(
    store: FileLogStore, tmp_path: Path
) -> None:
    first = store.open(JOB, 4)
    first.append(b"0123456789")
    new = store.open(JOB, 7)
    new.append(b"new")
    # It had looked when there were 6 bytes, and goes on now.
    stale = tmp_path / "logs" / JOB[:2] / f"{JOB}.live" / Segment(5, 6, 4).name
    stale.write_bytes(b"STALE")
    assert content(store) == b"0123456789new"
    third = store.open(JOB, 8)
    third.append(b"er")
    assert content(store) == b"0123456789newer"


def test_bytes_that_readers_saw_while_the_new_one_opened_stay(store: FileLogStore) -> None:
    old = store.open(JOB, 1)
    old.append(b"one ")
    real = LiveLog._begin

    def begin(live: LiveLog, segment: Segment) -> tuple[Segment, int]:
        old.append(b"two ")
        assert content(store) == b"one two "
        return real(live, segment)

    with mock.patch.object(LiveLog, "_begin", begin):
        new = store.open(JOB, 2)
    old.append(b"LATE")
    new.append(b"three")
    assert content(store) == b"one two three"


def test_the_same_controller_goes_on_in_the_same_file(store: FileLogStore, tmp_path: Path) -> None:
    for piece in (b"a", b"b", b"c"):
        log = store.open(JOB, 3)
        log.append(piece)
        log.close()
    assert content(store) == b"abc"
    assert names(tmp_path) == ["3-0-none.log", "3.marks"]


def test_a_log_of_the_first_version_is_continued(store: FileLogStore, tmp_path: Path) -> None:
    single = tmp_path / "logs" / JOB[:2] / f"{JOB}.log"
    single.parent.mkdir()
    single.write_bytes(b"old ")
    log = store.open(JOB, 1)
    log.append(b"new")
    assert content(store) == b"old new"
    assert not single.exists()


@settings(max_examples=100, deadline=None)
@given(
    parts=st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), min_size=1),
    reads=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=10),
)
def test_any_read_across_any_number_of_controllers(
    tmp_path_factory: pytest.TempPathFactory,
    parts: list[tuple[bytes, bytes]],
    reads: list[tuple[int, int]],
) -> None:
    store = FileLogStore(tmp_path_factory.mktemp("data"), ProcessJobSignals())
    logs = []
    for epoch, (piece, _) in enumerate(parts):
        logs.append(store.open(JOB, epoch))
        logs[-1].append(piece)
    for log, (_, late) in zip(logs[:-1], parts, strict=False):
        log.append(late)
    expected = b"".join(piece for piece, _ in parts)
    assert content(store) == expected
    for offset, limit in reads:
        assert store.read(JOB, offset, limit) == expected[offset : offset + limit]
    store.compress(JOB, len(expected))
    assert content(store) == expected
    for log in logs:
        log.close()


# ------------------------------------------------------------------- truncate


@pytest.mark.parametrize("size", range(10))
def test_truncate_across_controllers(store: FileLogStore, size: int) -> None:
    store.open(JOB, 1).append(b"012")
    store.open(JOB, 2).append(b"345")
    log = store.open(JOB, 3)
    log.append(b"678")
    log.truncate(size)
    assert (log.size, content(store)) == (size, b"012345678"[:size])
    log.append(b"new")
    assert content(store) == b"012345678"[:size] + b"new"
    log.sync()
    log.close()
    assert store.open(JOB, 3).size == size + 3
    assert store.open(JOB, 4).size == size + 3
    assert content(store) == b"012345678"[:size] + b"new"


@pytest.mark.parametrize("size", [-1, 4])
def test_truncate_only_shortens(store: FileLogStore, size: int) -> None:
    log = store.open(JOB, 1)
    log.append(b"012")
    with pytest.raises(ValueError, match="cannot be cut"):
        log.truncate(size)
    assert content(store) == b"012"


# ------------------------------------------------------------------- power cuts


def test_what_is_continued_is_on_disk_before_its_continuation(store: FileLogStore) -> None:
    old = store.open(JOB, 1)
    old.append(b"unsynced")
    steps: list[str] = []
    real_sync, real_begin = os.fsync, LiveLog._begin

    def sync(descriptor: int) -> None:
        steps.append("sync " + os.readlink(f"/proc/self/fd/{descriptor}").rpartition("/")[2])
        real_sync(descriptor)

    def begin(live: LiveLog, segment: Segment) -> tuple[Segment, int]:
        steps.append("begin " + segment.name)
        return real_begin(live, segment)

    with mock.patch.object(os, "fsync", sync), mock.patch.object(LiveLog, "_begin", begin):
        store.open(JOB, 2)
    assert steps[:2] == ["sync 1-0-none.log", "begin 2-8-1.log"]


def test_sync_covers_the_names_once(store: FileLogStore, tmp_path: Path) -> None:
    synced: list[str] = []
    real = os.fsync

    def sync(descriptor: int) -> Any:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        synced.append(str(Path(path).relative_to(tmp_path)))
        return real(descriptor)

    log = store.open(JOB, 1)
    log.append(b"x")
    with mock.patch.object(os, "fsync", sync):
        log.sync()
        log.sync()
    live = f"logs/{JOB[:2]}/{JOB}.live"
    assert synced == [f"{live}/1-0-none.log", live, f"logs/{JOB[:2]}", "logs", synced[0]]


def test_a_hole_is_told(store: FileLogStore, tmp_path: Path) -> None:
    store.open(JOB, 1).append(b"0123456789")
    store.open(JOB, 2).append(b"on")
    (first,) = tmp_path.rglob("1-0-none.log")
    os.truncate(first, 4)
    assert store.read(JOB, 0, 4) == b"0123"
    assert store.read(JOB, 10, 9) == b"on"
    with pytest.raises(LogCorruptError, match="ends before byte 10"):
        store.read(JOB, 0, 5)
    first.unlink()
    with pytest.raises(LogCorruptError, match="continues one that is missing"):
        store.read(JOB, 0, 1)


def test_the_chain_is_what_the_newest_continues() -> None:
    names = ("9-8-7.log", "4-0-none.log", "7-5-4.log", "5-3-4.log", "6-0-none.log", "note.txt")
    assert chain(names) == (Segment(4, 0, None), Segment(7, 5, 4), Segment(9, 8, 7))
    assert chain(()) == ()
    with pytest.raises(LogCorruptError):
        chain(("4-1-4.log",))


def test_a_closed_log_takes_nothing(store: FileLogStore) -> None:
    log = store.open(JOB, 1)
    log.close()
    log.close()
    with pytest.raises(ValueError, match="closed"):
        log.append(b"x")
