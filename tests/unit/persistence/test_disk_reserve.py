"""What jobs' files leave of the disk."""

import errno
import shutil
from collections import namedtuple

import pytest

from ci_persistence.files.artifacts import FileArtifactStore
from ci_persistence.files.disk_reserve import DiskReserve
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.in_process import ProcessJobSignals

MIB = 1 << 20
JOB = "4be0643f-1d98-473b-97cd-ca98a65347dd"

Usage = namedtuple("Usage", "total used free")


class Disk:
    """One of which a test says how much is free."""

    def __init__(self, monkeypatch):
        self.free, self.looks = 100 * MIB, 0
        monkeypatch.setattr(shutil, "disk_usage", self._usage)

    def _usage(self, path):
        self.looks += 1
        return Usage(1 << 40, 0, self.free)


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


def test_the_disk_is_asked_once_a_mebibyte(disk, tmp_path):
    reserve = DiskReserve(tmp_path, 16 * MIB)
    for _ in range(4 * 1024):
        reserve.take(1024)
    assert disk.looks == 4


def test_what_is_left_is_never_less_than_the_reserve_and_a_grant(disk, tmp_path):
    reserve = DiskReserve(tmp_path, 16 * MIB)

    def fill():
        while disk.free > 0:
            reserve.take(300_000)
            disk.free -= 300_000

    with pytest.raises(OSError, match="16 MiB") as raised:
        fill()
    assert raised.value.errno == errno.ENOSPC
    assert 15 * MIB <= disk.free <= 16 * MIB + 300_000


def test_a_refusal_holds_for_small_pieces_too_and_ends_with_room(disk, tmp_path):
    reserve = DiskReserve(tmp_path, 16 * MIB)
    reserve.take(1)
    disk.free = 15 * MIB
    reserve.take(MIB)  # granted before
    for size in (MIB, 1, 1):
        with pytest.raises(OSError, match="CI_DISK_RESERVE_MB"):
            reserve.take(size)
    disk.free = 20 * MIB
    reserve.take(1)


def test_no_reserve_asks_nothing(disk, tmp_path):
    disk.free = 0
    DiskReserve(tmp_path, 0).take(1 << 40)
    assert disk.looks == 0


def test_a_log_keeps_what_it_had_and_goes_on_later(disk, tmp_path):
    store = FileLogStore(tmp_path, ProcessJobSignals(), DiskReserve(tmp_path, 16 * MIB))
    log = store.open(JOB, 1)
    log.append(b"before ")
    disk.free = 16 * MIB
    with pytest.raises(OSError, match="kept for the database"):
        log.append(b"x" * 2 * MIB)
    assert (log.size, store.read(JOB, 0, 100)) == (7, b"before ")
    log.sync()
    disk.free = 100 * MIB
    log.append(b"after")
    assert store.read(JOB, 0, 100) == b"before after"
    log.close()


def test_artifacts_leave_it_too(disk, tmp_path):
    store = FileArtifactStore(tmp_path, DiskReserve(tmp_path, 16 * MIB))
    disk.free = 16 * MIB
    batch = store.begin(JOB)
    with pytest.raises(OSError, match="kept for the database"):
        batch.add("a", iter([b"content"]))
    batch.discard()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
