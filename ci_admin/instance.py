"""An instance as the commands see it: its settings, stores and rows, and whether it is in use."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ci_common.errors import DatabaseError
from ci_common.settings import InstanceSettings, Settings
from ci_persistence.backup.backup import BackupStores
from ci_persistence.database.database import Database
from ci_persistence.database.errors import explain
from ci_persistence.database.open_lock import DatabaseLock
from ci_persistence.files.artifacts import FileArtifactStore
from ci_persistence.files.job_secrets import SecretFiles
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite.data_claim import adopt, check_before_open, check_belongs


@dataclass(frozen=True, slots=True)
class Instance:
    """An open instance."""

    settings: Settings
    database: Database
    stores: BackupStores
    is_alone: bool
    """Whether no other process has the database open, nor can open it until we let go."""


def stores_of(settings: InstanceSettings) -> BackupStores:
    """The files of the settings' data directory."""
    data = settings.data_path
    return BackupStores(
        packages=FilePackageStore(data, settings.min_free_disk_mb << 20),
        logs=FileLogStore(data, ProcessJobSignals()),
        artifacts=FileArtifactStore(data),
        secrets=SecretFiles(data),
    )


def check_directory(settings: InstanceSettings) -> None:
    """Raise DatabaseError when CI_DATA_DIR is not the data directory of CI_DB_PATH: a command
    would report, or repair, another instance's files.
    """
    check_belongs(settings.data_path, settings.db_path)


def require_database(settings: InstanceSettings) -> None:
    """Raise DatabaseError when there is none: looking must not make one."""
    check_before_open(settings.data_path, settings.db_path)
    if not _has_database(settings):
        raise DatabaseError(
            f"there is no database {settings.db_path.absolute()}: set CI_DB_PATH (and CI_DATA_DIR) "
            "to the same values as for the server"
        )


def _has_database(settings: InstanceSettings) -> bool:
    """An empty file is none: a database would be made of it."""
    return settings.db_path.exists() and settings.db_path.stat().st_size > 0


@asynccontextmanager
async def opened(settings: Settings, *, keep_alone: bool) -> AsyncIterator[Instance]:
    """Open an instance without migrating it; with `keep_alone`, so that no server can start
    meanwhile, if none runs. Raises DatabaseError.
    """
    require_database(settings)
    check_directory(settings)
    with contextlib.ExitStack() as stack:
        lock = DatabaseLock(settings.db_path)
        stack.callback(lock.release)
        is_alone = lock.try_alone()
        if not (is_alone and keep_alone) and not lock.try_share():
            raise DatabaseError(f"{settings.db_path} is being restored or repaired; try again")
        database = Database(settings.db_path, lock)
        await database.open(migrate=False)
        try:
            yield Instance(settings, database, stores_of(settings), is_alone)
        except sqlite3.Error as error:
            raise explain(settings.db_path, error) from error
        finally:
            await database.close()


@asynccontextmanager
async def administered(
    settings: InstanceSettings, *, create: bool = False
) -> AsyncIterator[Database]:
    """The database, beside a server that may run; with `create` it is made when missing.

    An older schema is migrated when nobody else has the database open. Raises DatabaseError.
    """
    if not create:
        require_database(settings)
    with contextlib.ExitStack() as stack:
        database = await _opened_database(settings, stack)
        try:
            yield database
        except sqlite3.Error as error:
            raise explain(settings.db_path, error) from error
        finally:
            await database.close()


async def _opened_database(settings: InstanceSettings, stack: contextlib.ExitStack) -> Database:
    check_before_open(settings.data_path, settings.db_path)
    if not _has_database(settings):
        database = Database(settings.db_path)
        await database.open()
        return database
    lock = DatabaseLock(settings.db_path)
    stack.callback(lock.release)
    is_alone = lock.try_alone()
    if not is_alone and not lock.try_share():
        raise DatabaseError(f"{settings.db_path} is being restored or repaired; try again")
    database = Database(settings.db_path, lock)
    await database.open(migrate=is_alone)
    lock.try_share()  # a server that starts now need not wait for us
    return database


async def adopt_directory(settings: InstanceSettings) -> None:
    """Make CI_DATA_DIR the data directory of CI_DB_PATH. Raises DatabaseError when another
    database uses it, or when the one that this database used is still there.
    """
    async with administered(settings) as database:
        await adopt(settings.data_path, database)
