"""Locks beside a database: whoever may write it may take them, whoever made their files."""

import os
import stat
import subprocess
import sys

import pytest

from ci_persistence.database.open_lock import DatabaseLock
from ci_persistence.sqlite.lease import ProcessLock, is_dead
from support.instances import ROOT

SOMEBODY = 65534

TAKE = """
import sys
from pathlib import Path
from ci_persistence.sqlite.lease import ProcessLock
lock = ProcessLock(Path(sys.argv[1]))
lock.try_take()
lock.sign("somebody")
print(lock.former is not None)
"""


@pytest.fixture(params=[DatabaseLock, ProcessLock], ids=["database", "controller"])
def take(request):
    """A function that makes one of the lock files, and tells its owner, group and mode."""

    def make(database):
        lock = request.param(database)
        (lock.try_share if request.param is DatabaseLock else lock.try_take)()
        facts = lock._path.stat()
        lock.release()
        return facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)

    return make


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "ci.db"
    path.touch(0o600)
    return path


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(0o600, 0o600), (0o644, 0o600), (0o640, 0o600), (0o660, 0o660), (0o666, 0o660)],
)
def test_who_may_write_the_database_may_lock_it(take, database, mode, expected):
    database.chmod(mode)
    assert take(database) == (os.geteuid(), database.stat().st_gid, expected)


def test_before_there_is_a_database(take, tmp_path):
    assert take(tmp_path / "ci.db")[2] == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file for somebody else")
def test_a_file_that_root_makes_belongs_to_the_owner_of_the_database(take, database):
    os.chown(database, SOMEBODY, SOMEBODY)
    assert take(database) == (SOMEBODY, SOMEBODY, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file for somebody else")
def test_a_file_that_root_made_earlier_is_given_away(take, tmp_path, database):
    take(database)
    os.chown(database, SOMEBODY, SOMEBODY)
    assert take(database) == (SOMEBODY, SOMEBODY, 0o600)


def test_through_a_link(take, tmp_path, database):
    database.chmod(0o660)
    (tmp_path / "link.db").symlink_to(database)
    assert take(tmp_path / "link.db")[2] == 0o660


def test_a_holder_is_dead_once_its_process_has_ended(database):
    assert not is_dead("me", database), "nothing is known"
    assert list(database.parent.iterdir()) == [database], "and nothing is left by the question"
    lock = ProcessLock(database)
    lock.try_take()
    lock.sign("me")
    assert not is_dead("me", database)
    lock.release()
    assert is_dead("me", database)
    assert not is_dead("somebody else", database), "who holds the lease without the lock"
    again = ProcessLock(database)
    again.try_take()
    assert again.former == "me", "to ask leaves the name"
    again.release()


def test_a_process_that_was_killed(database):
    command = [sys.executable, "-c", TAKE, str(database)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    assert is_dead("somebody", database)
