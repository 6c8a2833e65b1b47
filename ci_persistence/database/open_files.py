"""Whether the files that SQLite has open are still those of the database's path, and writable.

A file that was deleted or replaced can be written to all the same, and what is committed to it is
gone with the process: nothing may be acknowledged then.
"""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from ci_common.errors import DatabaseUnavailableError
from ci_persistence.database.errors import is_full_disk, is_unreadable, is_unwritable, meaning_of
from ci_persistence.database.location import SIDE_FILES

logger = logging.getLogger(__name__)

_PUT_BACK = (
    "Move the very same file back (with its -wal file), and it is used again at once; to use "
    "another one, stop the server first, and restore a backup with `ci-admin restore --force FILE`"
)

_MAKE_WRITABLE = (
    "Its mode, an immutable flag (`lsattr`), or a disk that is mounted read-only keeps this user "
    "from it (a disk that reports errors becomes read-only: see the kernel's log). It is used "
    "again as soon as it can be written"
)

_Identity = tuple[int, int]
"""Device and inode."""


class DatabaseFiles:
    """The files of one open database. Until they are remembered nothing is checked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        place = path.resolve()
        # The path as it was given: a link that leads elsewhere now leads there after a restart.
        self._files = (path, *(place.with_name(place.name + suffix) for suffix in SIDE_FILES))
        self._opened: dict[Path, _Identity] = {}
        self._problem: str | None = None
        """What was logged of them last; `None` while they can be used."""

    def remember(self) -> None:
        """Take them as they are now for those that SQLite has open: it opened them just before."""
        found = ((file, _identity(file)) for file in self._files)
        self._opened = {file: identity for file, identity in found if identity is not None}

    def forget(self) -> None:
        """The database is closed."""
        self._opened = {}

    @contextlib.contextmanager
    def usable(self) -> Iterator[None]:
        """For one write, from before it to after its commit.

        Raises DatabaseUnavailableError when it cannot be written, or was written to files that
        are gone. The checks take a few microseconds.
        """
        self._check()
        try:
            yield
        except sqlite3.Error as error:
            if self._opened and is_unwritable(error) and not is_full_disk(self._path, error):
                self._refuse("cannot be written", f"{error}: {meaning_of(error)}", error)
            raise
        except OSError:
            self._check()  # the locks beside it may be gone along with it
            raise
        self._check()
        if self._problem is not None:
            self._problem = None
            logger.warning("the database %s can be used again", self._path)

    @contextlib.contextmanager
    def readable(self) -> Iterator[None]:
        """For one query. Raises DatabaseUnavailableError when SQLite cannot read the files."""
        try:
            yield
        except sqlite3.Error as error:
            if self._opened and is_unreadable(error) and not is_full_disk(self._path, error):
                self._refuse("cannot be read", f"{error}: {meaning_of(error)}", error)
            raise

    def _check(self) -> None:
        for file, opened in self._opened.items():
            identity = _identity(file)
            if identity is None:
                self._refuse("was deleted or moved", f"{file} is missing. {_PUT_BACK}")
            if identity != opened:
                self._refuse(
                    "was replaced by another file",
                    f"{file} is not the file that was opened. {_PUT_BACK}",
                )
            if not os.access(file, os.R_OK | os.W_OK):
                self._refuse("is read-only", f"{file} cannot be written. {_MAKE_WRITABLE}")

    def _refuse(self, what: str, why: str, cause: BaseException | None = None) -> NoReturn:
        """Clients are told what, operators also why, once."""
        if why != self._problem:
            self._problem = why
            logger.error(
                "the database %s %s, so no job is accepted, started or finished: %s",
                self._path,
                what,
                why,
            )
        raise DatabaseUnavailableError(
            f"the server's database {what}, so no job can be accepted or recorded; the "
            "server's log says what to do"
        ) from cause


def _identity(file: Path) -> _Identity | None:
    try:
        facts = os.stat(file)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
