"""What the stores of files share: making them durable, and finding what was left behind."""

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path


def sync_file(path: Path) -> None:
    """Return only when the file's content would survive a power cut."""
    _sync(path, os.O_RDONLY)


def sync_directory(path: Path) -> None:
    """Make renames in the directory survive a power cut."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})
"""What file systems say that have no hard links, or not so many of one file."""


def link_or_copy(source: Path, target: Path, part: Path) -> None:
    """Give a file that never changes a second name; where that cannot be, make a copy, by way of
    `part`. Raises FileNotFoundError when it is gone. The directory is for the caller to sync.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            shutil.copyfile(source, part)
            part.chmod(0o600)
            sync_file(part)
            part.rename(target)
        finally:
            part.unlink(missing_ok=True)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def untouched(directory: Path, pattern: str, seconds: float) -> Iterator[Path]:
    """The files, and directories, that nobody has written to for so long."""
    limit = time.time() - seconds
    for path in directory.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime <= limit:
                yield path
