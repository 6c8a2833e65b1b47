"""The id of a cache of installed requirements that instances share: its images are named by it."""

import os
import secrets
from pathlib import Path

from ci_common.errors import SettingsError

_NAME = "cache-id"
_BYTES = 16


def shared_cache_id(directory: Path) -> str:
    """The id in this directory, made at the first call; whoever calls at the same time gets the
    same one.

    Raises SettingsError when the directory cannot be used, or when others may write to it: they
    could have jobs run in images of theirs.
    """
    path = directory / _NAME
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(directory)
        if not path.exists():
            _make(path)
        found = path.read_text().strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"CI_DEPS_CACHE_DIR: {directory} cannot be used: {error}") from error
    if len(found) != 2 * _BYTES:
        raise SettingsError(f"CI_DEPS_CACHE_DIR: {path} is damaged: delete it")
    return found


def _check_owner(directory: Path) -> None:
    status = directory.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise SettingsError(
            f"CI_DEPS_CACHE_DIR: {directory} must be this user's own, and writable by nobody else"
        )


def _make(path: Path) -> None:
    own = path.with_name(f"{_NAME}.{secrets.token_hex(8)}")
    try:
        own.write_text(secrets.token_hex(_BYTES))
        os.link(own, path)
    except FileExistsError:
        return  # another instance was quicker
    finally:
        own.unlink(missing_ok=True)
