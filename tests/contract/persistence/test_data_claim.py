"""A data directory belongs to one database, and a database has one data directory."""

import asyncio
import errno
import shutil
import sqlite3
from contextlib import asynccontextmanager

import pytest

from ci_common.errors import DatabaseError, DatabaseUnavailableError
from ci_common.job import JobStatus
from ci_persistence.database.database import Database
from ci_persistence.files.data_directory import MARKER, read_marker
from ci_persistence.sqlite import data_claim
from ci_persistence.sqlite.data_claim import (
    adopt,
    check_before_open,
    check_belongs,
    claim,
    is_used,
)
from support.instances import Instance

pytestmark = pytest.mark.anyio


def sqlite_error(code):
    error = sqlite3.OperationalError("refused")
    error.sqlite_errorcode = code
    return error


@asynccontextmanager
async def opened(path):
    database = Database(path)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def start(instance, data=None, database=None):
    """What a server does first; the directory it uses."""
    async with opened(database or instance.database) as rows:
        return await claim(data or instance.data, rows)


async def refusal(instance, data=None, database=None):
    with pytest.raises(DatabaseError) as told:
        await start(instance, data, database)
    return told.value.message


@pytest.fixture
async def instance(tmp_path):
    """One that has run, with a finished job that has a log."""
    instance = Instance(tmp_path / "ci")
    await start(instance)
    await add(instance)
    return instance


async def add(instance, status=JobStatus.COMPLETED, log=b"hello\n", **options):
    async with instance.opened() as database:
        return await instance.add_to(database, status, log, **options)


async def test_the_directory_and_the_database_name_each_other(instance):
    marker = read_marker(instance.data)
    assert marker.instance_id == instance.instance_id()
    assert marker.database == str(instance.database)
    assert instance.execute("SELECT data_path FROM instance") == [(str(instance.data),)]
    assert (instance.data / MARKER).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("has_jobs", [True, False])
async def test_another_directory_is_refused_with_both_paths(tmp_path, has_jobs):
    instance = Instance(tmp_path / "ci")
    await start(instance)
    if has_jobs:
        await add(instance)
    other = tmp_path / "other"
    for make in (lambda: None, other.mkdir):  # missing, and empty
        make()
        told = await refusal(instance, other)
        assert str(instance.data) in told
        assert str(other) in told
        assert not (other / MARKER).exists()
    (await start(instance)).check()


async def test_the_directory_of_another_database_is_refused_with_both_paths(instance, tmp_path):
    other = Instance(tmp_path / "second")
    told = await refusal(other, instance.data)
    for path in (instance.database, other.database, instance.data):
        assert str(path) in told
    assert read_marker(instance.data).instance_id == instance.instance_id()
    (await start(other)).check()


async def test_of_two_that_start_at_once_with_other_directories_one_is_refused(tmp_path):
    instance = Instance(tmp_path / "ci")
    places = [tmp_path / "one", tmp_path / "two"]
    async with opened(instance.database) as first, opened(instance.database) as second:
        found = await asyncio.gather(
            claim(places[0], first), claim(places[1], second), return_exceptions=True
        )
    assert sorted(isinstance(one, DatabaseError) for one in found) == [False, True]
    assert sorted((place / MARKER).exists() for place in places) == [False, True]


async def test_of_two_databases_that_want_the_same_directory_one_is_refused(tmp_path):
    data = tmp_path / "data"
    instances = [Instance(tmp_path / name) for name in ("one", "two")]
    async with opened(instances[0].database) as one, opened(instances[1].database) as two:
        found = await asyncio.gather(claim(data, one), claim(data, two), return_exceptions=True)
    assert sorted(isinstance(each, DatabaseError) for each in found) == [False, True]


async def test_the_same_directory_by_another_path(instance, tmp_path, monkeypatch):
    link = tmp_path / "link"
    link.symlink_to(instance.data)
    (await start(instance, link)).check()
    monkeypatch.chdir(instance.directory)
    (await start(instance, type(link)("ci.db.data"))).check()
    assert instance.execute("SELECT data_path FROM instance") == [(str(instance.data),)]


async def test_a_directory_that_was_moved(instance, tmp_path):
    moved = tmp_path / "disk" / "moved"
    moved.parent.mkdir()
    instance.data.rename(moved)
    (await start(instance, moved)).check()
    assert instance.execute("SELECT data_path FROM instance") == [(str(moved),)]
    assert str(moved) in await refusal(instance)  # the old place


async def test_files_that_were_moved_without_their_directory(instance, tmp_path):
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in instance.data.iterdir():
        path.rename(moved / path.name)
    (await start(instance, moved)).check()


async def test_a_copied_directory_is_refused_until_the_original_is_given_up(instance, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(instance.data, copy)
    told = await refusal(instance, copy)
    assert str(instance.data) in told
    assert str(copy) in told
    (instance.data / MARKER).unlink()
    (await start(instance, copy)).check()


async def test_a_database_and_its_directory_that_were_moved_together(instance, tmp_path):
    moved = Instance(tmp_path / "moved")
    instance.directory.rename(moved.directory)
    (await start(moved)).check()
    assert read_marker(moved.data).database == str(moved.database)


async def test_a_database_and_its_directory_that_were_copied_together(instance, tmp_path):
    copy = Instance(tmp_path / "copy")
    shutil.copytree(instance.directory, copy.directory)
    told = await refusal(copy)
    assert "--new-instance" in told
    assert str(instance.database) in told
    assert str(instance.data) in told


async def test_a_database_that_was_moved_alone(instance, tmp_path):
    moved = tmp_path / "moved.db"
    instance.database.rename(moved)
    told = await refusal(instance, tmp_path / "moved.db.data", moved)
    assert f"CI_DATA_DIR={instance.data}" in told
    (await start(instance, instance.data, moved)).check()


@pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.QUEUED, JobStatus.RUNNING])
async def test_an_installation_of_an_earlier_version_is_claimed(tmp_path, status):
    instance = Instance(tmp_path / "ci")
    await add(instance, status)
    (await start(instance)).check()
    assert read_marker(instance.data).instance_id == instance.instance_id()


async def test_jobs_that_never_had_files_need_none(tmp_path):
    instance = Instance(tmp_path / "ci")
    await add(instance, log=b"")
    await add(instance, JobStatus.QUEUED, package=None)
    shutil.rmtree(instance.data)
    (await start(instance)).check()


async def test_a_job_without_a_package_that_has_begun_needs_its_log(tmp_path):
    instance = Instance(tmp_path / "ci")
    await add(instance, JobStatus.RUNNING, package=None)
    shutil.rmtree(instance.data)
    assert "has 1 jobs with files" in await refusal(instance)


@pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.QUEUED, JobStatus.RUNNING])
@pytest.mark.parametrize("has_run", [True, False])
async def test_an_empty_directory_is_refused_until_it_is_adopted(tmp_path, status, has_run):
    """The mount point of a disk that is not mounted looks like that."""
    instance = Instance(tmp_path / "ci")
    if has_run:
        await start(instance)
    await add(instance, status)
    shutil.rmtree(instance.data)
    for make in (lambda: None, instance.data.mkdir):
        make()
        told = await refusal(instance)
        assert str(instance.data) in told
        assert str(instance.database) in told
        assert "ci-admin adopt" in told
    async with opened(instance.database) as database:
        await adopt(instance.data, database)
    (await start(instance)).check()


async def test_files_of_unknown_jobs_without_a_name_are_refused(tmp_path):
    former, instance = Instance(tmp_path / "former"), Instance(tmp_path / "ci")
    await add(former)
    await add(instance, log=b"")
    assert "does not know" in await refusal(instance, former.data)
    assert not (former.data / MARKER).exists()


async def test_a_directory_of_a_database_that_exists_cannot_be_adopted(instance, tmp_path):
    other = Instance(tmp_path / "other")
    async with opened(other.database) as database:
        with pytest.raises(DatabaseError, match="belongs to the database"):
            await adopt(instance.data, database)
        instance.database.unlink()
        await adopt(instance.data, database)
    (await start(other, instance.data)).check()


async def test_no_other_directory_can_be_adopted_while_the_former_is_there(instance, tmp_path):
    async with opened(instance.database) as database:
        with pytest.raises(DatabaseError, match="are in the data directory"):
            await adopt(tmp_path / "other", database)


async def test_no_new_database_takes_the_place_of_one_that_is_missing(instance):
    content = instance.database.read_bytes()
    for lose in (instance.database.unlink, instance.database.touch):  # missing, and empty
        lose()
        with pytest.raises(DatabaseError, match="there is no database") as told:
            check_before_open(instance.data, instance.database)
        assert str(instance.data) in told.value.message
    instance.database.write_bytes(content)
    check_before_open(instance.data, instance.database)


async def test_a_command_checks_and_claims_nothing(instance, tmp_path):
    other = tmp_path / "other"
    check_belongs(instance.data, instance.database)
    with pytest.raises(DatabaseError, match="are in the data directory"):
        check_belongs(other, instance.database)
    assert not other.exists()
    check_belongs(other, tmp_path / "no.db")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"{}", b"[]", b"\xff"])
async def test_a_damaged_marker_is_told_with_its_path(instance, content):
    (instance.data / MARKER).write_bytes(content)
    assert str(instance.data / MARKER) in await refusal(instance)


# ---------------------------------------------------------------------- commands, and doubt


@pytest.mark.parametrize("is_there", [True, False])
async def test_commands_refuse_a_directory_that_is_gone_or_empty(instance, is_there):
    instance.data.rename(instance.data.with_name("away"))
    if is_there:
        instance.data.mkdir()
    with pytest.raises(DatabaseError, match="is gone, or was replaced"):
        check_belongs(instance.data, instance.database)
    assert instance.data.exists() is is_there


@pytest.mark.parametrize(
    "error",
    [
        PermissionError("another user's directory"),
        OSError(errno.EIO, "the disk"),
        DatabaseUnavailableError(),
        sqlite_error(sqlite3.SQLITE_CANTOPEN),
        sqlite_error(sqlite3.SQLITE_BUSY),
    ],
    ids=repr,
)
async def test_a_database_that_cannot_be_read_is_in_use(instance, tmp_path, error, monkeypatch):
    def refuse(database):
        raise error

    monkeypatch.setattr(data_claim, "read_claimant", refuse)
    marker = read_marker(instance.data)
    assert is_used(marker, tmp_path / "other.db")


@pytest.mark.parametrize("code", [sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT])
async def test_a_file_that_is_no_sound_database_is_not_in_use(
    instance, tmp_path, code, monkeypatch
):
    def refuse(database):
        raise sqlite_error(code)

    monkeypatch.setattr(data_claim, "read_claimant", refuse)
    assert not is_used(read_marker(instance.data), tmp_path / "other.db")


async def test_a_directory_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    instance = Instance(tmp_path / "ci")
    assert "cannot be written" in await refusal(instance, data=tmp_path / "file" / "data")
