"""The files beside a database on which processes take advisory locks."""

import contextlib
import os
import stat
from pathlib import Path


def open_lock_file(path: Path, database: Path) -> int:
    """A descriptor of a lock file, made when there is none, that whoever may write the database
    may open, too: an administrator's command, or a server started as root once, may be the one
    that makes it. SQLite does the same for the files of its journal.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with contextlib.suppress(FileNotFoundError):
            _share_like(descriptor, database.stat())
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _share_like(descriptor: int, database: os.stat_result) -> None:
    own = os.fstat(descriptor)
    if os.geteuid() not in (0, own.st_uid):
        return
    if os.geteuid() == 0:
        os.fchown(descriptor, database.st_uid, database.st_gid)
    # Not for those who may only read the database: to open the file is enough to hold its lock.
    shared = stat.S_IRGRP | stat.S_IWGRP if database.st_mode & stat.S_IWGRP else 0
    if shared and own.st_gid != database.st_gid and os.geteuid() != 0:
        return  # a group that was not asked for
    os.fchmod(descriptor, stat.S_IRUSR | stat.S_IWUSR | shared)
