"""The key that stream tokens are signed with: one for all who serve a data directory."""

import os
import secrets
import tempfile
from pathlib import Path

from ci_common.errors import DatabaseError
from ci_persistence.durable_files import sync_directory

NAME = "stream-token.key"
_BYTES = 32


def load_token_key(data_path: Path) -> bytes:
    """The key, made at the first call; whoever calls at the same time gets the same one.

    It is in no backup: a restored server makes another, and tokens live for minutes at most.
    Raises DatabaseError when the file cannot be used.
    """
    path = data_path / NAME
    data_path.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        if not path.exists():
            _make(path)
        return _read(path)
    except OSError as error:
        raise DatabaseError(
            f"the key of stream tokens cannot be used: {error}; the server must own {path}"
        ) from error


def _make(path: Path) -> None:
    """Whole or not at all: written beside, synced, and linked to its name by the first."""
    descriptor, part = tempfile.mkstemp(prefix=f"{NAME}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)
        except FileExistsError:
            return  # another process was first
        sync_directory(path.parent)
    finally:
        Path(part).unlink()


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        others = os.fstat(file.fileno()).st_mode & 0o077
        key = file.read(_BYTES + 1)
    if others:
        raise DatabaseError(
            f"{path} can be read by other users, who could make tokens with it: delete it, and "
            "the server makes another"
        )
    if len(key) != _BYTES:
        raise DatabaseError(f"{path} is damaged: delete it, and the server makes another")
    return key
