"""A backup holds everything that its rows speak of, and comes back as it was."""

import asyncio
import gzip
import hashlib
import io
import os
import random
import sqlite3
import tarfile
import threading
import uuid
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest

from ci_common.errors import BackupError, DatabaseError
from ci_common.job import JobStatus, format_time, utc_now
from ci_persistence import backup as backup_module
from ci_persistence.backup import Backup
from ci_persistence.backup_archive import ArchiveReader
from ci_persistence.database_location import restoring_mark
from ci_persistence.database_lock import DatabaseLock
from ci_persistence.lease import ProcessLock
from ci_persistence.restore import Restore, RestorePlan
from support.instances import ROOT, Instance

SOME_ID = str(uuid.UUID(int=7))
ROOT_FIXTURES = ROOT / "tests" / "fixtures" / "databases"
LIVE_LOG = b"still writing\n" * 1000
BIG_LOG = random.Random(1).randbytes(700_000) + b"the end\n"
ARTIFACTS = {
    "output/a.txt": b"a",
    "output/b c\n.bin": bytes(range(256)) * 5000,
    "output/a2.txt": b"a",
}


@pytest.fixture
def source(tmp_path):
    return Instance(tmp_path / "source")


@pytest.fixture
def target(tmp_path):
    return Instance(tmp_path / "target")


def back_up(instance, file, **options):
    return Backup(instance.database, instance.stores, file).make(**options)


def restore(instance, file, **options):
    return Restore(RestorePlan(file, instance.database, instance.data, **options)).run()


def names_in(file):
    with tarfile.open(file) as tar:
        return tar.getnames()


def filled(instance):
    """A job of every kind; their ids."""
    return {
        "queued": instance.add(JobStatus.QUEUED, package=b"zip of the queued one"),
        "running": instance.add(JobStatus.RUNNING, log=LIVE_LOG, package=b"zip of the running one"),
        "finished": instance.add(log=BIG_LOG, artifacts=ARTIFACTS),
        "silent": instance.add(log=b""),
    }


def check_filled(instance, jobs):
    assert instance.statuses() == {
        jobs["queued"]: "queued",
        jobs["running"]: "running",
        jobs["finished"]: "completed",
        jobs["silent"]: "completed",
    }
    assert instance.package(jobs["queued"]) == b"zip of the queued one"
    assert instance.package(jobs["running"]) == b"zip of the running one"
    assert instance.log(jobs["running"]) == LIVE_LOG
    assert instance.log(jobs["finished"]) == BIG_LOG
    assert instance.artifacts(jobs["finished"]) == ARTIFACTS


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
    with pytest.raises(DatabaseError):
        back_up(source, tmp_path / "b.tar")  # what is left of the rows is no database ...
    back_up(source, tmp_path / "b.tar")  # ... and is gone now
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


def check_consistent(instance):
    """No row speaks of bytes that are not there."""
    for job, status, log_size in instance.execute("SELECT job_id, status, log_size FROM jobs"):
        if status == "completed":
            assert len(instance.log(job)) == log_size
            instance.artifacts(job)
            assert instance.package(job) is None
        elif status != "failed":
            assert instance.package(job) is not None


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
    import fcntl

    filled(source)
    with (tmp_path / "b.tar.part").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BackupError, match="another backup"):
            back_up(source, tmp_path / "b.tar")
        assert (tmp_path / "b.tar.part").exists()


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


# ---------------------------------------------------------------------- refusals of restore


@pytest.fixture
def archive(source, tmp_path):
    source.jobs = filled(source)
    back_up(source, tmp_path / "b.tar")
    return tmp_path / "b.tar"


def nothing_changed(instance):
    return not instance.directory.exists() or instance.files() == []


def test_a_place_that_is_taken(source, target, archive):
    kept = target.add(log=b"mine")
    with pytest.raises(BackupError, match="--force"):
        restore(target, archive)
    assert target.log(kept) == b"mine"
    summary = restore(target, archive, force=True)
    check_filled(target, source.jobs)
    assert summary.kept
    assert all(path.exists() for path in summary.kept)
    # What was put aside is whole: with its own directory it is an instance again.
    old = Instance(target.directory)
    old.database, old.data = summary.kept[0], summary.kept[-1].parent
    assert old.statuses() == {kept: "completed"}
    assert old.log(kept) == b"mine"


def test_files_without_a_database_are_in_the_way_too(target, archive):
    target.write_log(str(uuid.uuid4()), b"whose?")
    with pytest.raises(BackupError, match="is there already"):
        restore(target, archive)


def test_empty_directories_and_an_empty_file_are_not(source, target, archive):
    assert target.stores
    target.database.touch()
    restore(target, archive)
    check_filled(target, source.jobs)


def test_a_running_server(target, archive):
    target.add()
    lock = DatabaseLock(target.database)
    assert lock.try_share()
    with pytest.raises(BackupError, match="stop the server first"):
        restore(target, archive, force=True)
    lock.release()
    restore(target, archive, force=True)


def test_a_fresh_lease_of_a_server_that_takes_no_lock(target, archive):
    target.add()
    until = format_time(utc_now() + timedelta(seconds=60))
    target.execute("UPDATE controller_lease SET holder = 'x', expires_at = ?", until)
    with pytest.raises(BackupError, match="its lease holds until"):
        restore(target, archive, force=True)
    target.execute("UPDATE controller_lease SET expires_at = '2020-01-01T00:00:00.000Z'")
    restore(target, archive, force=True)
    lease = target.execute("SELECT holder, expires_at, heartbeat_at FROM controller_lease")
    assert lease == [(None, None, None)]


def test_a_fresh_lease_of_a_controller_that_was_killed(target, archive):
    """Its lock says at once what the lease says in some seconds."""
    target.add()
    until = format_time(utc_now() + timedelta(seconds=60))
    target.execute("UPDATE controller_lease SET holder = 'x', expires_at = ?", until)
    lock = ProcessLock(target.database)
    lock.try_take()
    lock.sign("x")
    with pytest.raises(BackupError, match="its lease holds until"):
        restore(target, archive, force=True)
    lock.release()
    restore(target, archive, force=True)


def test_over_a_database_that_is_damaged(source, target, archive):
    target.directory.mkdir()
    target.database.write_text("no database at all\n" * 500)
    restore(target, archive, force=True)
    check_filled(target, source.jobs)


def test_beside_the_running_original(source, target, archive):
    lock = DatabaseLock(source.database)
    assert lock.try_share()
    with pytest.raises(BackupError, match="--new-instance"):
        restore(target, archive)
    assert nothing_changed(target)
    summary = restore(target, archive, new_instance=True)
    lock.release()
    assert target.instance_id() != source.instance_id()
    assert summary.live_jobs == 0
    jobs = source.jobs
    assert target.statuses()[jobs["queued"]] == target.statuses()[jobs["running"]] == "failed"
    assert target.log(jobs["running"]) == LIVE_LOG
    assert target.package(jobs["queued"]) is None
    check_consistent(target)


def test_later_epochs_than_any_container_has(source, target, archive):
    before = source.execute("SELECT epoch FROM controller_lease")[0][0]
    restore(target, archive)
    first = target.execute("SELECT epoch FROM controller_lease")[0][0]
    assert first > before + 1_000_000
    restore(target, archive, force=True)
    assert target.execute("SELECT epoch FROM controller_lease")[0][0] >= first


def test_a_network_file_system(target, archive, monkeypatch):
    def refuse(path):
        raise DatabaseError(f"{path} is on a network file system")

    monkeypatch.setattr("ci_persistence.restore.check_place", refuse)
    with pytest.raises(DatabaseError, match="network"):
        restore(target, archive)
    assert nothing_changed(target)


# ---------------------------------------------------------------------- archives that are not whole


def test_no_file(target, tmp_path):
    with pytest.raises(BackupError, match="there is no file"):
        restore(target, tmp_path / "missing.tar")


@pytest.mark.parametrize("content", [b"", b"hello\n" * 1000, gzip.compress(b"hello", mtime=0)])
def test_no_archive(target, tmp_path, content):
    (tmp_path / "b.tar").write_bytes(content)
    with pytest.raises(BackupError):
        restore(target, tmp_path / "b.tar")
    assert nothing_changed(target)


@pytest.mark.parametrize("name", ["b.tar", "b.tar.gz"])
def test_an_archive_that_is_cut_off_anywhere(source, target, tmp_path, name):
    filled(source)
    back_up(source, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    # The last blocks of a tar file are padding.
    whole = content.rstrip(b"\0") if name.endswith("tar") else content
    choose = random.Random(name)
    for size in [choose.randrange(len(whole)) for _ in range(25)]:
        (tmp_path / "cut.tar").write_bytes(content[:size])
        with pytest.raises(BackupError):
            restore(target, tmp_path / "cut.tar")
    assert nothing_changed(target)


@pytest.mark.parametrize("name", ["b.tar", "b.tar.gz"])
def test_an_archive_with_a_flipped_bit_anywhere(source, target, tmp_path, name):
    jobs = filled(source)
    back_up(source, tmp_path / name)
    content = bytearray((tmp_path / name).read_bytes())
    choose = random.Random(name)
    for position in [choose.randrange(len(content)) for _ in range(40)]:
        content[position] ^= 0x10
        (tmp_path / "bad.tar").write_bytes(content)
        content[position] ^= 0x10
        try:
            restore(target, tmp_path / "bad.tar", force=True)
        except BackupError:
            assert nothing_changed(target)
        else:
            check_filled(target, jobs)  # a bit that means nothing: a time, an owner, padding
            for path in [target.database, *target.data.glob("*")]:
                remove(path)


def remove(path):
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def rewritten(archive, change):
    """The archive with another list of (name, content), and a manifest that fits."""
    with tarfile.open(archive) as tar:
        members = [(entry, tar.extractfile(entry).read()) for entry in tar]  # type: ignore[union-attr]
    members = change([(entry, content) for entry, content in members[:-1]])
    manifest = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {entry.name}\n" for entry, content in members
    ).encode()
    entry = tarfile.TarInfo("MANIFEST.sha256")
    with tarfile.open(archive, "w") as tar:
        for member, content in [*members, (entry, manifest)]:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "logs/../../evil.log",
        f"packages/{SOME_ID}.log",
        f"artifacts/{SOME_ID}/../../x",
        "evil",
    ],
)
def test_names_that_are_none_of_ours(target, archive, name, tmp_path):
    rewritten(archive, lambda members: [*members, (tarfile.TarInfo(name), b"evil")])
    with pytest.raises(BackupError, match="unknown kind"):
        restore(target, archive)
    assert nothing_changed(target)
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE]
)
@pytest.mark.parametrize("place", ["first", "last"])
def test_members_that_are_no_plain_files(target, archive, kind, place):
    entry = tarfile.TarInfo(f"logs/{SOME_ID}.log")
    entry.type, entry.linkname = kind, "/etc/passwd"
    with tarfile.open(archive, "w" if place == "first" else "a") as tar:
        tar.addfile(entry)
    with pytest.raises(BackupError):
        restore(target, archive)
    assert nothing_changed(target)


def test_a_file_after_the_manifest(target, archive):
    entry = tarfile.TarInfo(f"logs/{SOME_ID}.log")
    with tarfile.open(archive, "a") as tar:
        tar.addfile(entry)
    with pytest.raises(BackupError, match="manifest lacks"):
        restore(target, archive)
    assert nothing_changed(target)


def test_no_rows(target, archive):
    rewritten(archive, lambda members: [m for m in members if m[0].name != "database.sqlite"])
    with pytest.raises(BackupError, match="it has no rows"):
        restore(target, archive)
    assert nothing_changed(target)


def test_a_newer_format(target, archive):
    def newer(members):
        text = members[0][1].replace(b'"format": 1', b'"format": 2')
        return [(members[0][0], text), *members[1:]]

    rewritten(archive, newer)
    with pytest.raises(BackupError, match="upgrade this program"):
        restore(target, archive)


def test_an_artifact_that_is_not_what_its_name_says(source, target, archive):
    """The manifest fits, so it is what was backed up: it comes back, and the doctor will tell."""

    def change(members):
        return [
            (e, b"b" if e.name.startswith("artifacts") and c == b"a" else c) for e, c in members
        ]

    rewritten(archive, change)
    restore(target, archive)
    assert target.log(source.jobs["finished"]) == BIG_LOG


# ---------------------------------------------------------------------- a restore that is cut off


class Killed(BaseException):
    """Ends a process where it stands."""


@pytest.mark.parametrize("renames", range(7))
def test_a_restore_that_is_cut_off_in_the_middle_is_noticed_and_repeated(
    source, target, archive, monkeypatch, renames
):
    target.add(log=b"mine")
    rename = backup_module.Path.rename
    count = iter(range(100))

    def die_in_the_middle(self, to):
        if restoring_mark(target.database).exists() and next(count) == renames:
            raise Killed
        return rename(self, to)

    with monkeypatch.context() as patched:
        patched.setattr(Restore, "_cleaned_up", lambda self: contextmanager(lambda: (yield))())
        patched.setattr("pathlib.Path.rename", die_in_the_middle)
        with pytest.raises(Killed):
            restore(target, archive, force=True)
    assert restoring_mark(target.database).exists()
    with pytest.raises(DatabaseError, match="restore --force FILE"):
        target.add()
    restore(target, archive, force=True)
    check_filled(target, source.jobs)
    assert not restoring_mark(target.database).exists()
    assert not list(target.data.glob("restore-*"))
    assert not list(target.directory.glob("ci.db-restore-*"))
