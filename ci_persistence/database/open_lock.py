"""The lock beside a database: who has it open shares it, a restore wants it alone."""

import fcntl
import os
from pathlib import Path

from ci_common.errors import DatabaseError
from ci_persistence.database.lock_files import open_lock_file


class DatabaseLock:
    """An advisory lock that ends with the process, however that ends.

    On a file of its own: SQLite keeps its locks on the database's, and would lose them when
    somebody in the process closes that file.
    """

    def __init__(self, database: Path) -> None:
        self._database = database.resolve()
        self._path = self._database.with_name(f"{self._database.name}-lock")
        self._descriptor: int | None = None

    def try_share(self) -> bool:
        """Lock together with others; False while somebody has the lock alone."""
        return self._try(fcntl.LOCK_SH)

    def try_alone(self) -> bool:
        """Lock alone; False while anybody else has the lock. What was shared stays so then."""
        if self._try(fcntl.LOCK_EX):
            return True
        # The kernel gives up the old lock before it tries for the new one.
        if self._descriptor is not None and not self.try_share():
            raise DatabaseError("another process has taken the database for itself; try again")
        return False

    def release(self) -> None:
        """Let go; safe to repeat. The file stays: removing it would make two locks of one."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _try(self, kind: int) -> bool:
        descriptor = self._descriptor
        if descriptor is None:
            descriptor = open_lock_file(self._path, self._database)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if self._descriptor is None:
                os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True
