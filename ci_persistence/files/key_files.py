"""Small files, such as keys: made once, whole or not at all, and for their owner only."""

import contextlib
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from ci_persistence.files.durable import sync_directory

PART = ".part"
"""Ends the names of files that a crash left half written."""

_MOST_BYTES = 1024


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What is in one."""

    content: bytes = field(repr=False)
    is_private: bool
    """Whether its owner alone can read it."""


def make_key_file(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Make it durably, unless it is there: of several processes the first one's content counts.
    With `replace` the last one's does.

    It belongs to the owner of its directory, although root made it: an administrator's command
    may be the first to need a key that the server has to read. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, part = tempfile.mkstemp(PART, f"{path.name}.", path.parent)  # mode 0600
    try:
        with open(descriptor, "wb") as file:
            if os.geteuid() == 0:
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            Path(part).rename(path)
        else:
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(part)
    finally:
        Path(part).unlink(missing_ok=True)
    sync_directory(path.parent)


def read_key_file(path: Path) -> KeyFile:
    """Its first bytes, more than any key has. Raises OSError."""
    with path.open("rb") as file:
        others = os.fstat(file.fileno()).st_mode & 0o077
        return KeyFile(file.read(_MOST_BYTES), is_private=not others)
