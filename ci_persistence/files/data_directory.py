"""A data directory: whose it is, and whether it is still there.

A file in it, `database.id`, names the database that its files belong to. Without that file a
directory is not used, so that neither another database's files nor the empty mount point of a disk
that is not mounted are taken for ours. The file moves along when the directory is moved.
"""

import contextlib
import errno
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ci_common.errors import DatabaseError, DataDirectoryUnavailableError
from ci_persistence.files.key_files import make_key_file

logger = logging.getLogger(__name__)

MARKER = "database.id"

Check = Callable[[], None]
"""Raises DataDirectoryUnavailableError unless the data directory can be used now."""

_EXPLAINED = frozenset(
    {
        *(errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTCONN),
        *(errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    }
)
"""Errors of a file for which the whole directory may be the reason."""


@dataclass(frozen=True, slots=True)
class Marker:
    """What the file says."""

    instance_id: str
    """Of the database: `instance.instance_id`."""
    database: str
    """Where it was then, for messages."""


def read_marker(data_path: Path) -> Marker | None:
    """Whose the directory is; `None` when nobody has said so. Raises DatabaseError when the file
    cannot be read.
    """
    path = data_path / MARKER
    try:
        fields = json.loads(path.read_bytes())
        return Marker(str(fields["instance_id"]), str(fields["database"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatabaseError(
            f"{path}, which names the database of this data directory, cannot be read: {error!r}. "
            "Its owner must be the server's user; if it is damaged, delete it and run "
            "`ci-admin adopt`"
        ) from error


def write_marker(data_path: Path, marker: Marker, *, replace: bool = False) -> None:
    """Say so durably. Without `replace`, one that is there stays. Raises OSError."""
    fields = {"instance_id": marker.instance_id, "database": marker.database}
    make_key_file(data_path / MARKER, json.dumps(fields).encode() + b"\n", replace=replace)


def no_check() -> None:
    """For files that are not in a server's data directory, such as those of a restore."""


@contextlib.contextmanager
def explained(check: Check) -> Iterator[None]:
    """Raise DataDirectoryUnavailableError in place of errors that it explains."""
    try:
        yield
    except OSError as error:
        if error.errno in _EXPLAINED:
            check()
        raise


def make_below(data_path: Path, *names: str) -> Path:
    """The directory `data_path/name/…`, made when it is missing; `data_path` itself is not made:
    where it is missing, its disk may be. Raises OSError.
    """
    path = data_path
    for name in names:
        path /= name
        path.mkdir(exist_ok=True, mode=0o700)
    return path


class DataDirectory:
    """The data directory of an open database; for any thread."""

    def __init__(self, path: Path, instance_id: str) -> None:
        self.path = path
        self._instance_id = instance_id
        self._problem: str | None = None
        """What was logged of it last; `None` while it can be used."""

    def check(self) -> None:
        """Raise DataDirectoryUnavailableError unless it is there, is ours, and can be written to.

        A few system calls. Why is in the log, once; clients are not told paths.
        """
        what, why = self._look()
        if what != self._problem:
            self._tell(what, why)
        if what is not None:
            raise DataDirectoryUnavailableError(
                f"the server's data directory {what}, so jobs wait and submissions are refused; "
                "the server's log says what to do"
            )

    def _look(self) -> tuple[str | None, str]:
        """What is the matter, if anything, and more of it that clients need not know."""
        try:
            marker = read_marker(self.path)
        except DatabaseError as error:
            return "cannot be read", error.message
        if marker is None:
            if not self.path.is_dir():
                return "is gone", "it was deleted or moved, or its disk is not there"
            return "was replaced by another one", f"it has no file {MARKER}; is a disk not mounted?"
        if marker.instance_id != self._instance_id:
            return "was replaced by another one", f"it belongs to the database {marker.database}"
        if not os.access(self.path, os.W_OK | os.X_OK):
            return "is read-only", "a disk that reports errors becomes so: see the kernel's log"
        return None, ""

    def _tell(self, what: str | None, why: str) -> None:
        self._problem = what
        if what is None:
            logger.warning("the data directory %s can be used again", self.path)
            return
        logger.error(
            "the data directory %s %s (%s): submissions are refused, and jobs wait. Put it back "
            "(mount its disk, or move it back) and they go on; nothing has to be restarted. If its "
            "files are lost for good, make an empty directory there and run `ci-admin adopt`",
            self.path,
            what,
            why,
        )
