"""Where a backup is restored, and where that is refused."""

import uuid
from datetime import timedelta

import pytest

from ci_common.errors import BackupError, DatabaseError
from ci_common.job import format_time, utc_now
from ci_persistence.database.open_lock import DatabaseLock
from ci_persistence.sqlite.lease import ProcessLock
from support.backups import LIVE_LOG, check_consistent, check_filled, nothing_changed, restore
from support.instances import Instance


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
    with pytest.raises(BackupError, match="its lease is valid until"):
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
    with pytest.raises(BackupError, match="its lease is valid until"):
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
    log = target.log(jobs["running"])
    assert log.startswith(LIVE_LOG)
    assert log.removeprefix(LIVE_LOG).lstrip(b"\n").startswith(b"ci: the job failed: lost: ")
    assert target.log(jobs["queued"]).startswith(b"ci: the job failed: lost: ")
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

    monkeypatch.setattr("ci_persistence.backup.restore.check_place", refuse)
    with pytest.raises(DatabaseError, match="network"):
        restore(target, archive)
    assert nothing_changed(target)
