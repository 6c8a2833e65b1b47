"""What the stores of files share: making them durable, and finding what was left behind."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path


def sync_file(path: Path) -> None:
    """Return only when the file's content would survive a power cut."""
    _sync(path, os.O_RDONLY)


def sync_directory(path: Path) -> None:
    """Make renames in the directory survive a power cut."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


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
