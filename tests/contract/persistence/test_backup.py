"""A backup holds everything that its rows speak of, and comes back as it was."""

import asyncio
import fcntl
import hashlib
import os
import sqlite3
import tarfile
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ci_common.errors import BackupError, DatabaseError
from ci_common.job import JobStatus
from ci_persistence.backup.archive import ArchiveReader
from ci_persistence.backup.backup import Backup
from ci_persistence.database.open_lock import DatabaseLock
from support.backups import (
    BIG_LOG,
    ROOT_FIXTURES,
    back_up,
    check_consistent,
    check_filled,
    filled,
    restore,
)
from support.instances import Instance

# ---------------------------------------------------------------------- there and back


@pytest.mark.parametrize("name", ["b.tar", "b.tar.gz", "b.tgz", "backup"])
def test_everything_comes_back(source, target, tmp_path, name):
    jobs = filled(source)
    summary = back_up(source, tmp_path / name)
    assert (summary.finished_jobs, summary.live_jobs, summary.warnings) == (2, 2, [])
    restored = restore(target, tmp_path / name)
    assert (restored.jobs, restored.live_jobs, restored.warnings) == (4, 2, [])
    check_filled(target, jobs)
    check_filled(source, jobs)
    assert target.instance_id() == source.instance_id()
    is_gzip = (tmp_path / name).read_bytes()[:2] == b"\x1f\x8b"
    assert is_gzip is name.endswith("gz")


def test_a_name_that_leads_elsewhere_is_not_followed(source, tmp_path):
    filled(source)
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    for suffix in (".part", ".rows.part"):
        (tmp_path / f"b.tar{suffix}").symlink_to(other)
    with pytest.raises(BackupError, match=r"b\.tar"):
        back_up(source, tmp_path / "b.tar")
    (tmp_path / "b.tar.part").unlink()
    back_up(source, tmp_path / "b.tar")
    assert other.read_bytes() == b"precious"


def test_compressed_logs_come_back_as_bytes_and_are_compressed_again(source, target, tmp_path):
    job = source.add(log=BIG_LOG * 3)
    stored = source.stores.logs.compress(job, len(BIG_LOG) * 3)
    source.execute("UPDATE jobs SET log_stored = ?", stored)
    back_up(source, tmp_path / "b.tar")
    with tarfile.open(tmp_path / "b.tar") as tar:
        content = tar.extractfile(f"logs/{job}.log")
        assert content is not None
        assert content.read() == BIG_LOG * 3
    restore(target, tmp_path / "b.tar")
    assert target.log(job) == BIG_LOG * 3
    on_disk = target.stores.logs.stored_bytes(job)
    assert target.execute("SELECT log_stored FROM jobs") == [(on_disk,)]
    counted = "SELECT sum(coalesce(log_stored, log_size, 0) + artifacts_size) FROM jobs"
    assert target.execute("SELECT stored_bytes FROM finished_totals") == target.execute(counted)


def test_time_stamps_come_back_with_their_logs(source, target, tmp_path):
    ended, live = source.add(log=BIG_LOG), source.add(JobStatus.RUNNING, log=b"so far\n")
    unmarked = source.add(log=b"of an older version\n")
    source.stores.logs.compress(ended, len(BIG_LOG))
    for path in source.data.rglob("*.marks"):
        if unmarked in str(path):
            path.unlink()
    marks = {job: source.stores.logs.marks(job) for job in (ended, live, unmarked)}
    assert all(mark.received_at for job in (ended, live) for mark in marks[job])
    back_up(source, tmp_path / "b.tar")
    restore(target, tmp_path / "b.tar")
    assert {job: target.stores.logs.marks(job) for job in marks} == marks
    assert marks[unmarked][0].received_at is None


def test_the_manifest_is_for_sha256sum(source, tmp_path):
    filled(source)
    back_up(source, tmp_path / "b.tar")
    with tarfile.open(tmp_path / "b.tar") as tar:
        names = tar.getnames()
        manifest = tar.extractfile("MANIFEST.sha256")
        assert manifest is not None
        lines = manifest.read().decode().splitlines()
        assert [line.partition("  ")[2] for line in lines] == names[:-1]
        for line in lines:
            digest, _, name = line.partition("  ")
            content = tar.extractfile(name)
            assert content is not None
            assert hashlib.sha256(content.read()).hexdigest() == digest


def test_a_backup_is_private_and_leaves_nothing_beside_it(source, tmp_path):
    filled(source)
    before = source.files()
    (tmp_path / "out").mkdir()
    back_up(source, tmp_path / "out" / "b.tar")
    assert os.listdir(tmp_path / "out") == ["b.tar"]
    assert (tmp_path / "out" / "b.tar").stat().st_mode & 0o777 == 0o600
    assert source.files() == before


def test_a_backup_that_was_killed_is_in_nobodys_way(source, tmp_path):
    filled(source)
    (tmp_path / "b.tar.part").write_bytes(b"x" * 10_000_000)
    (tmp_path / "b.tar.rows.part").write_bytes(b"x" * 5000)
    back_up(source, tmp_path / "b.tar")
    ArchiveReader(tmp_path / "b.tar").verify()


def test_an_older_schema_is_backed_up_and_migrated_by_the_restore(tmp_path, target):
    dump = (ROOT_FIXTURES / "schema_1.sql").read_text()
    old = Instance(tmp_path / "old")
    old.directory.mkdir()
    with closing(sqlite3.connect(old.database)) as connection:
        connection.executescript(dump)
    summary = back_up(old, tmp_path / "b.tar")
    # The dump has no files: whatever there should be is missing, and told.
    assert len(summary.warnings) == 5 + 3
    with closing(sqlite3.connect(old.database)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    restored = restore(target, tmp_path / "b.tar")
    assert restored.jobs == 9
    assert len(restored.warnings) == 5


# ---------------------------------------------------------------------- while the server writes


@contextmanager
def a_busy_server(instance):
    """Somebody who submits jobs, runs them, ends them and deletes old ones, all the time."""
    stop = threading.Event()
    errors = []
    counts = {"jobs": 0}

    async def work():
        async with instance.opened() as database:
            kept = []
            while not stop.is_set():
                number = counts["jobs"]
                status = (JobStatus.COMPLETED, JobStatus.QUEUED, JobStatus.RUNNING)[number % 3]
                log = f"job {number}\n".encode() * 200
                job = await instance.add_to(database, status, log, {"output/x": log})
                counts["jobs"] += 1
                kept.append(job)
                if len(kept) > 30:
                    old = kept.pop(0)
                    await database.write("DELETE FROM jobs WHERE job_id = ?", (old,))
                    instance.stores.logs.delete(old)
                    instance.stores.artifacts.delete(old)
                    instance.stores.packages.delete(old)

    def run():
        try:
            asyncio.run(work())
        except Exception as error:  # noqa: BLE001 - told below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield counts
    finally:
        stop.set()
        thread.join()
    assert not errors


def test_a_backup_under_load_is_consistent(source, target, tmp_path):
    filled(source)
    files = [tmp_path / f"{number}.tar" for number in range(5)]
    before = []
    with a_busy_server(source) as counts:
        for file in files:
            before.append(min(counts["jobs"], 30))
            assert back_up(source, file).warnings == []
    for file, jobs in zip(files, before, strict=True):
        restored = restore(target, file, force=True)
        assert restored.warnings == []
        assert restored.jobs >= jobs
        check_consistent(target)
    assert before[-1] > before[0]


def test_a_job_that_comes_and_goes_around_the_snapshot(source, target, tmp_path, monkeypatch):
    """Its package is in neither listing: another snapshot is taken."""
    filled(source)
    fleeting = []
    copy_rows = Backup._copy_rows

    def copy_while_a_job_passes(self, connection):
        if not fleeting:
            fleeting.append(source.add(JobStatus.QUEUED))
            rows = copy_rows(self, connection)
            source.stores.packages.delete(fleeting[0])
            source.execute(
                "UPDATE jobs SET status = 'cancelled', ended_at = created_at, "
                "log_size = 0, reason = 'cancelled' WHERE job_id = ?",
                fleeting[0],
            )
            return rows
        return copy_rows(self, connection)

    monkeypatch.setattr(Backup, "_copy_rows", copy_while_a_job_passes)
    assert back_up(source, tmp_path / "b.tar").warnings == []
    restore(target, tmp_path / "b.tar")
    assert target.statuses()[fleeting[0]] == "cancelled"


def test_retention_may_delete_jobs_meanwhile(source, target, tmp_path, monkeypatch):
    jobs = filled(source)
    doomed = source.add(log=b"soon gone", artifacts={"output/x": b"x"})
    faded = source.add(log=b"stays", artifacts={"output/y": b"y"})
    snapshot = Backup._snapshot

    def delete_after(self, connection, writer):
        rows = snapshot(self, connection, writer)
        source.execute("PRAGMA foreign_keys=ON")
        source.execute("DELETE FROM artifacts WHERE job_id IN (?, ?)", doomed, faded)
        source.execute("DELETE FROM jobs WHERE job_id = ?", doomed)
        source.execute("UPDATE jobs SET artifacts_size = 0 WHERE job_id = ?", faded)
        source.stores.logs.delete(doomed)
        for job in (doomed, faded):
            source.stores.artifacts.delete(job)
        return rows

    monkeypatch.setattr(Backup, "_snapshot", delete_after)
    assert back_up(source, tmp_path / "b.tar").warnings == []
    restore(target, tmp_path / "b.tar")
    assert doomed not in target.statuses()
    assert target.log(faded) == b"stays"
    assert target.artifacts(faded) == {}
    target.execute("DELETE FROM jobs WHERE job_id = ?", faded)
    check_filled(target, jobs)


def test_what_was_damaged_before_is_told_and_kept(source, target, tmp_path):
    jobs = filled(source)
    lost = source.add(log=b"a log", artifacts={"output/x": b"x"})
    source.stores.logs.delete(lost)
    source.stores.artifacts.delete(lost)
    source.stores.packages.delete(jobs["queued"])
    warnings = back_up(source, tmp_path / "b.tar").warnings
    assert len(warnings) == 3
    assert any("has 0 bytes, not 5" in warning for warning in warnings)
    assert any("is missing" in warning for warning in warnings)
    assert any("has no package" in warning for warning in warnings)
    assert restore(target, tmp_path / "b.tar").warnings == [f"job {jobs['queued']} has no package"]
    assert target.statuses()[lost] == "completed"


def test_a_damaged_database_is_not_backed_up_as_if_it_were_sound(source, tmp_path):
    filled(source)
    source.execute("PRAGMA journal_mode=DELETE")
    with source.database.open("r+b") as file:
        file.seek(4096 * 2)
        file.write(b"\xff" * 3000)
    with pytest.raises(DatabaseError, match="damaged"):
        back_up(source, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()
    assert not (tmp_path / "b.tar.part").exists()


# ---------------------------------------------------------------------- refusals of backup


def test_an_existing_file_is_not_replaced_unasked(source, tmp_path):
    filled(source)
    (tmp_path / "b.tar").write_text("precious")
    with pytest.raises(BackupError, match="--force"):
        back_up(source, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_text() == "precious"
    back_up(source, tmp_path / "b.tar", replace=True)
    ArchiveReader(tmp_path / "b.tar").verify()


def test_no_database(source, tmp_path):
    source.directory.mkdir()
    with pytest.raises(BackupError, match="there is no database"):
        back_up(source, tmp_path / "b.tar")
    assert not source.database.exists()


def test_a_directory_that_is_not_there(source, tmp_path):
    filled(source)
    with pytest.raises(BackupError, match="the directory must exist"):
        back_up(source, tmp_path / "nowhere" / "b.tar")


def test_two_backups_into_one_file(source, tmp_path):
    filled(source)
    with (tmp_path / "b.tar.part").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BackupError, match="another backup"):
            back_up(source, tmp_path / "b.tar")
        assert (tmp_path / "b.tar.part").exists()


def test_one_that_begins_while_another_ends_does_not_touch_it(source, tmp_path, monkeypatch):
    """It has opened the file that is the other one's backup by the time it has the lock."""
    filled(source)
    part, lock = tmp_path / "b.tar.part", fcntl.flock
    part.write_bytes(b"complete")

    def slow_lock(file, kind):
        if not isinstance(file, int):  # that of the part, not a database's
            part.rename(tmp_path / "b.tar")
        lock(file, kind)

    monkeypatch.setattr(fcntl, "flock", slow_lock)
    with pytest.raises(BackupError, match="another backup"):
        back_up(source, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == b"complete"


def test_one_that_ends_while_another_begins_does_not_touch_it(source, tmp_path, monkeypatch):
    filled(source)
    others = [tmp_path / "b.tar.part", tmp_path / "b.tar.rows.part"]
    rename = Path.rename

    def then_begun(path, target):
        rename(path, target)
        for other in others:
            other.write_bytes(b"another one's")

    monkeypatch.setattr(Path, "rename", then_begun)
    back_up(source, tmp_path / "b.tar")
    assert [other.exists() for other in others] == [True, True]


def test_during_a_restore(source, tmp_path):
    filled(source)
    lock = DatabaseLock(source.database)
    assert lock.try_alone()
    with pytest.raises(BackupError, match="restored or repaired"):
        back_up(source, tmp_path / "b.tar")
    lock.release()


def test_a_disk_that_fills_up(source, tmp_path, monkeypatch):
    filled(source)

    def full(self, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Backup, "_add_log", full)
    with pytest.raises(BackupError, match="No space left"):
        back_up(source, tmp_path / "b.tar")
    assert sorted(os.listdir(tmp_path)) == ["source"]


# ---------------------------------------------------------------------- kept packages


def test_kept_packages_come_back_and_go_with_a_copys_rows(source, target, tmp_path):
    kept, lost = source.add(package=b"a kept zip", keep=True), source.add(keep=True)
    dropped = source.add(keep=True)
    source.execute("UPDATE jobs SET package_kept = 0 WHERE job_id = ?", dropped)
    source.stores.packages.delete(lost)
    summary = back_up(source, tmp_path / "b.tar")
    assert summary.warnings == [f"the kept package of job {lost} is missing"]
    restore(target, tmp_path / "b.tar")
    found = dict(target.execute("SELECT job_id, package_kept FROM jobs"))
    assert found == {kept: 1, lost: 0, dropped: 0}
    assert (target.package(kept), target.package(dropped)) == (b"a kept zip", None)
    assert target.execute("SELECT * FROM package_deletions") == []
    size = len(b"a kept zip")
    totals = target.execute("SELECT package_bytes, kept_package_bytes FROM tenant_totals")
    assert totals == [(size, size)]


def test_a_kept_package_that_is_dropped_meanwhile_is_no_damage(source, target, tmp_path):
    kept = source.add(keep=True)

    class Dropping(Backup):
        def _copy_rows(self, rows):
            copied = super()._copy_rows(rows)
            source.execute("UPDATE jobs SET package_kept = 0")
            source.stores.packages.delete(kept)
            return copied

        def _add_package(self, writer, job_id):
            return False  # it went before it could be read

    summary = Dropping(source.database, source.stores, tmp_path / "b.tar").make()
    assert summary.warnings == []
    restored = restore(target, tmp_path / "b.tar")
    assert (restored.warnings, target.package(kept)) == ([], None)
    assert target.execute("SELECT package_kept FROM jobs") == [(0,)]


def test_nobody_is_signed_in_after_a_restore(source, target, tmp_path):
    """Who signed out after the backup was made would be signed in again."""
    source.add()
    source.execute(
        "INSERT INTO sessions (session_id, sha256, issuer, issued_tenant, issued_user, "
        "issued_role, begun_at, ends_at, used_at) "
        "VALUES ('s', 'h', 'i', 't', 'u', 'admin', ?, ?, ?)",
        *["2099-01-01T00:00:00.000Z"] * 3,
    )
    back_up(source, tmp_path / "b.tar")
    restore(target, tmp_path / "b.tar")
    assert len(source.execute("SELECT * FROM sessions")) == 1
    assert not target.execute("SELECT * FROM sessions")
