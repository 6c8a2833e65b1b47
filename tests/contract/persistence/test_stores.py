"""What the files promise (ports LogReader, LogWriter, PackageIntake, Packages), and the signals
and the doorbell (ports JobSignals, Doorbell, DoorbellListener).
"""

import asyncio
import errno
import hashlib
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from ci_common.errors import DiskFullError, PackageCorruptError
from ci_common.job import Package
from ci_controller.executors.shared.package import verify
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.doorbell import SocketDoorbell
from ci_persistence.signals.in_process import ProcessJobSignals
from support.jobs import a_job
from support.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def signals():
    return ProcessJobSignals()


@pytest.fixture
def logs(tmp_path, signals):
    return FileLogStore(tmp_path, signals)


@contextmanager
def files_of_at_most(limit):
    """The kernel refuses larger files, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


# ------------------------------------------------------------------ logs


def test_a_log_that_is_not_there_is_empty(logs):
    assert logs.size("job") == 0
    assert logs.read("job", 0, 10) == b""
    assert logs.read("job", 5, 10) == b""


def test_what_is_appended_is_read_at_its_offset(logs):
    log = logs.open("job")
    assert log.size == 0
    log.append(b"0123")
    log.append(b"")
    log.append(b"\x00\xff\r\n")
    assert log.size == logs.size("job") == 8
    assert logs.read("job", 0, 100) == b"0123\x00\xff\r\n"
    assert logs.read("job", 3, 2) == b"3\x00"
    assert logs.read("job", 8, 2) == logs.read("job", 99, 2) == b""
    log.sync()
    log.close()


def test_a_log_is_continued(logs):
    log = logs.open("job")
    log.append(b"one ")
    log.close()
    log.close()
    log = logs.open("job")
    assert log.size == 4
    log.append(b"two")
    log.close()
    assert logs.read("job", 0, 100) == b"one two"


def test_a_closed_log_takes_nothing(logs):
    log = logs.open("job")
    log.close()
    with pytest.raises(ValueError, match="closed"):
        log.append(b"x")
    assert logs.size("job") == 0


def test_logs_do_not_mix(logs):
    for job_id in ("aa-1", "aa-2", "b"):
        log = logs.open(job_id)
        log.append(job_id.encode())
        log.close()
    assert [logs.read(job_id, 0, 9) for job_id in ("aa-1", "aa-2", "b")] == [b"aa-1", b"aa-2", b"b"]


def test_a_full_disk_keeps_a_prefix(logs):
    log = logs.open("job")
    log.append(b"0123")
    with files_of_at_most(10), pytest.raises(OSError, match="File too large") as caught:
        log.append(b"456789abcdef")
    assert caught.value.errno == errno.EFBIG
    assert logs.read("job", 0, 100) == b"0123456789"
    assert log.size == 10
    log.append(b"abcdef")
    assert logs.read("job", 0, 100) == b"0123456789abcdef"
    log.close()


def test_two_writers_of_the_same_bytes_store_them_once(logs):
    """A former holder of the lease wakes up late, and copies the same output."""
    first, second = logs.open("job"), logs.open("job")
    first.append(b"one ")
    second.append(b"one two ")
    first.append(b"two three")
    second.append(b"three")
    assert logs.read("job", 0, 100) == b"one two three"
    first.close()
    second.close()


def test_logs_are_private(logs, tmp_path):
    logs.open("job").close()
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


async def test_appending_wakes_watchers(logs, signals):
    subscription = signals.subscribe("job")
    log = logs.open("job")
    await asyncio.to_thread(log.append, b"x")
    assert await subscription.wait(5)
    subscription.close()
    log.close()


# ------------------------------------------------------------------ packages


@pytest.fixture
def packages(tmp_path):
    return FilePackageStore(tmp_path, 0)


def commit(packages, content=b"content", job_id="job"):
    staged = packages.stage()
    for at in range(0, len(content), 3):
        staged.write(content[at : at + 3])
    return a_job(job_id=job_id, package=staged.commit(job_id))


def files(path):
    return sorted(found.name for found in path.rglob("*") if found.is_file())


def test_a_committed_package_is_whole(packages):
    job = commit(packages)
    assert job.package == Package(hashlib.sha256(b"content").hexdigest(), 7)
    source = packages.source(job)
    assert (source.sha256, source.size) == (job.package.sha256, 7)
    for _ in range(2):
        with source.open() as file:
            assert file.read() == b"content"
    assert packages.job_ids(0) == ["job"]


def test_a_job_without_a_package_has_no_source(packages):
    assert packages.source(a_job(job_id="job", package=None)) is None


def test_a_staged_upload_can_be_looked_at(packages):
    staged = packages.stage()
    staged.write(b"abc")
    assert (staged.size, staged.path.read_bytes()) == (3, b"abc")
    staged.discard()


def test_a_discarded_upload_leaves_nothing(packages, tmp_path):
    staged = packages.stage()
    staged.write(b"abc")
    staged.discard()
    staged.discard()
    assert files(tmp_path) == []


def test_discarding_after_the_commit_does_not_undo_it(packages, tmp_path):
    staged = packages.stage()
    staged.commit("job")
    staged.discard()
    assert files(tmp_path) == ["job.zip"]


@pytest.mark.anyio
@pytest.mark.parametrize("damage", [b"", b"conten", b"content ", b"Content"])
async def test_a_damaged_package_is_found(packages, damage):
    source = packages.source(commit(packages))
    await verify(source)
    source.path.write_bytes(damage)
    with pytest.raises(PackageCorruptError):
        await verify(source)


def test_a_package_that_is_gone(packages):
    job = commit(packages)
    packages.delete("job")
    packages.delete("job")
    with pytest.raises(PackageCorruptError, match="gone"):
        packages.source(job).open()


def test_below_the_disk_floor_nothing_is_taken(tmp_path):
    packages = FilePackageStore(tmp_path, 1 << 62)
    for refused in (packages.check_space, packages.stage):
        with pytest.raises(DiskFullError, match="MiB"):
            refused()
    assert files(tmp_path) == []
    FilePackageStore(tmp_path, 0).check_space()


def test_a_disk_that_fills_up_during_an_upload_is_told(packages, tmp_path):
    staged = packages.stage()
    with files_of_at_most(10), pytest.raises(DiskFullError):
        staged.write(b"x" * 100)
    staged.discard()
    assert files(tmp_path) == []


def test_sweeping_takes_only_what_is_old(packages, tmp_path):
    commit(packages)
    old, new = packages.stage(), packages.stage()
    hour_ago = time.time() - 3600
    os.utime(old.path, (hour_ago, hour_ago))
    packages.sweep_staging(1800)
    assert not old.path.exists()
    assert new.path.exists()
    assert packages.job_ids(1800) == []
    os.utime(tmp_path / "packages" / "job.zip", (hour_ago, hour_ago))
    assert packages.job_ids(1800) == ["job"]
    old.discard()
    new.discard()


def test_packages_are_private(packages, tmp_path):
    commit(packages)
    staged = packages.stage()
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    staged.discard()


# ------------------------------------------------------------------ signals


async def test_a_wake_up_before_the_wait_is_not_lost(signals):
    subscription = signals.subscribe("job")
    signals.notify("job")
    assert await subscription.wait(5)
    assert not await subscription.wait(0.01)
    subscription.close()


async def test_wake_ups_between_two_waits_are_one(signals):
    subscription = signals.subscribe("job")
    for _ in range(100):
        signals.notify("job")
    assert await subscription.wait(5)
    assert not await subscription.wait(0.01)
    signals.notify("job")
    assert await subscription.wait(5)
    subscription.close()


async def test_only_the_jobs_own_watchers_are_woken(signals):
    mine, other = signals.subscribe("job"), signals.subscribe("other")
    signals.notify("job")
    assert await mine.wait(5)
    assert not await other.wait(0.01)
    mine.close()
    other.close()


async def test_news_of_events_wake_those_who_follow_events_only(signals):
    of_job, of_events = signals.subscribe("job"), signals.subscribe_events()
    signals.notify("job")
    assert not await of_events.wait(0.01)
    assert await of_job.wait(5)
    signals.notify_events()
    assert await of_events.wait(5)
    assert not await of_job.wait(0.01)
    of_job.close()
    of_events.close()


async def test_wake_ups_from_threads_are_never_lost(signals):
    """The last state is always seen: a writer counts up, a watcher waits for the last number."""
    subscription = signals.subscribe("job")
    state = 0

    def write():
        nonlocal state
        for _ in range(20_000):
            state += 1
            signals.notify("job")

    thread = threading.Thread(target=write)
    thread.start()
    while state < 20_000:
        assert await subscription.wait(10), f"asleep at {state}"
    thread.join()
    subscription.close()


async def test_closed_subscriptions_are_forgotten(signals):
    subscription = signals.subscribe("job")
    subscription.close()
    subscription.close()
    signals.notify("job")
    assert not signals._subscriptions


def test_a_watcher_whose_loop_is_gone_disturbs_nobody(signals):
    async def subscribe():
        signals.subscribe("job")

    asyncio.run(subscribe())
    signals.notify("job")


# ------------------------------------------------------------------ the doorbell


@pytest.fixture
async def bell(tmp_path):
    bell = SocketDoorbell(tmp_path / "data")
    yield bell
    bell.close()


async def timed(waiting):
    loop = asyncio.get_running_loop()
    started = loop.time()
    await waiting
    return loop.time() - started


async def test_ringing_ends_the_wait(bell):
    bell.listen()
    waiting = asyncio.create_task(timed(bell.wait(30)))
    await asyncio.sleep(0)
    bell.ring()
    assert await waiting < 5


async def test_ringing_before_the_wait_counts_once(bell):
    bell.listen()
    for _ in range(5):
        bell.ring()
    await until(lambda: bell._rung.is_set(), what="the ring")
    assert await timed(bell.wait(30)) < 5
    assert await timed(bell.wait(0.05)) >= 0.04


async def test_ringing_without_anybody_listening(bell):
    bell.ring()
    for _ in range(1000):
        bell.ring()


async def test_a_full_bell_does_not_block(bell):
    bell.listen()
    for _ in range(10_000):
        bell.ring()
    assert await timed(bell.wait(30)) < 5


async def test_another_process_rings(bell, tmp_path):
    bell.listen()
    source = (
        "import pathlib, sys\nfrom ci_persistence.signals.doorbell import SocketDoorbell\n"
        "bell = SocketDoorbell(pathlib.Path(sys.argv[1]))\nbell.ring()\nbell.close()\n"
    )
    waiting = asyncio.create_task(timed(bell.wait(60)))
    await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", source, str(tmp_path / "data")], check=True
    )
    assert await waiting < 30


async def test_a_new_listener_replaces_the_old_one(bell, tmp_path):
    bell.listen()
    new = SocketDoorbell(tmp_path / "data")
    new.listen()
    bell.ring()
    assert await timed(new.wait(30)) < 5
    assert await timed(bell.wait(0.05)) >= 0.04
    new.close()


async def test_listening_again(bell):
    bell.listen()
    bell.listen()
    bell.ring()
    assert await timed(bell.wait(30)) < 5


async def test_a_data_directory_of_any_depth(tmp_path):
    path = tmp_path / ("d" * 100) / ("e" * 100)
    bell = SocketDoorbell(path)
    bell.listen()
    bell.ring()
    assert await timed(bell.wait(30)) < 5
    bell.close()


async def test_after_close_ringing_does_nothing(bell):
    bell.listen()
    bell.close()
    bell.close()
    bell.ring()
