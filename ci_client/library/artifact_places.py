"""Where artifacts are put: under their own names, or under others that this file system can hold.

A job's names are those of Linux: anything but a slash and NUL. Other systems refuse some of them,
take two for the same (`A` and `a`, `é` in two spellings), or give one a meaning (`CON`).
"""

import errno
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ci_client.errors import DownloadError

_WINDOWS_FORBIDS = re.compile(r'[\x00-\x1f<>:"|?*\\]|[. ]$')
_WINDOWS_RESERVES = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.I
)
_PLAIN = re.compile(r"[^A-Za-z0-9_-]+")
_STEM, _SUFFIX, _DIGEST = 60, 16, 10

_NO_SUCH_NAME = frozenset(
    {
        errno.ENAMETOOLONG,
        errno.EINVAL,  # also what Windows says of a name that it forbids
        errno.EILSEQ,
        errno.ENOTDIR,  # a file is where a directory should be
        errno.EEXIST,
        errno.EISDIR,  # and the other way round
    }
)


class Places:
    """The places of the artifacts of one download, in and below a directory."""

    def __init__(self, directory: Path, windows: bool = os.name == "nt") -> None:
        """`windows` tells whether its rules hold, which it does not always enforce."""
        self._directory = directory
        self._windows = windows
        self._part_name = f".{uuid.uuid4().hex}.part"
        self._taken: dict[tuple[int, int], str] = {}
        """The paths of artifacts by the identity of the files they are in."""

    def of(self, path: str) -> Path:
        """Where the artifact is to be, with the directories above it.

        Raises:
            DownloadError: a link leads elsewhere, or no name can be had.
            OSError: the directory cannot be written.
        """
        for place in self._candidates(path):
            try:
                self._make_directories(place, path)
                if self._is_free(place, path):
                    return place
            except OSError as error:
                if error.errno not in _NO_SUCH_NAME:
                    raise
        raise DownloadError(
            f"{path!r} cannot be saved in {self._directory}: its name and all fallback names are "
            "taken. Choose another directory."
        )

    def part(self, place: Path) -> Path:
        """Where the artifact is written until it is whole."""
        return place.with_name(self._part_name)

    def take(self, place: Path, path: str) -> None:
        """The artifact is there now: no other one may be put into the same file."""
        self._taken[_identity(place)] = path

    def is_own(self, place: Path, path: str) -> bool:
        """Whether the place has the name that the job gave."""
        return place == self._directory.joinpath(*path.split("/"))

    def _candidates(self, path: str) -> Iterator[Path]:
        *above, name = path.split("/")
        directories = [each if self._is_possible(each) else _other(each, each) for each in above]
        # With a NUL, so that it is no directory's.
        other = _other(name, f"\0{path}")
        if self._is_possible(name):
            yield self._directory.joinpath(*directories, name)
        yield self._directory.joinpath(*directories, other)
        yield self._directory / other

    def _is_possible(self, name: str) -> bool:
        if not self._windows:
            return True
        return not (_WINDOWS_FORBIDS.search(name) or _WINDOWS_RESERVES.match(name))

    def _make_directories(self, place: Path, path: str) -> None:
        directory = self._directory
        for name in place.relative_to(self._directory).parts[:-1]:
            directory /= name
            if directory.is_symlink():
                raise DownloadError(
                    f"{directory} is a symbolic link, so {path!r} would be written somewhere "
                    "else. Remove the link, or choose another directory."
                )
            directory.mkdir(exist_ok=True)

    def _is_free(self, place: Path, path: str) -> bool:
        """Whether nothing is there, or what may be replaced. Raises OSError for a name that cannot
        be.
        """
        with suppress(FileNotFoundError):
            self.part(place).lstat()  # which may be longer
        try:
            identity = _identity(place)
        except FileNotFoundError:
            return True
        if place.is_dir() and not place.is_symlink():
            return False
        return self._taken.get(identity, path) == path


def _identity(place: Path) -> tuple[int, int]:
    facts = place.lstat()
    return facts.st_dev, facts.st_ino


def _other(name: str, whole: str) -> str:
    """A name that every file system can hold, and that no two artifacts have in common."""
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        stem, dot, suffix = name, "", ""
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_DIGEST]
    ending = f".{_PLAIN.sub('_', suffix)[:_SUFFIX]}" if dot and suffix else ""
    return f"{_PLAIN.sub('_', stem)[:_STEM]}~{digest}{ending}"
