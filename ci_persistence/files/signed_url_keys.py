"""The keys that signed URLs are made with: the newest signs, and the one before still verifies."""

import secrets
from pathlib import Path

from ci_common.errors import DatabaseError
from ci_persistence.files.key_files import make_key_file, read_key_file

NAME = "signed-url.key"
_BYTES = 32
_MOST_KEYS = 2


class SignedUrlKeys:
    """In one file of the data directory, for all who serve it. It is read anew when it changes, so
    that a rotation needs no restart. It is in no backup: URLs live for hours.
    """

    def __init__(self, data_path: Path) -> None:
        self._path = data_path / NAME
        self._known: tuple[tuple[int, int], tuple[bytes, ...]] | None = None

    def keys(self) -> tuple[bytes, ...]:
        """The newest first, made at the first call; at most two.

        Raises DatabaseError when the file cannot be used.
        """
        try:
            if not self._path.exists():
                make_key_file(self._path, secrets.token_bytes(_BYTES))
            facts = self._path.stat()
            version = (facts.st_mtime_ns, facts.st_ino)
            if self._known is None or self._known[0] != version:
                self._known = (version, self._read())
        except OSError as error:
            raise DatabaseError(
                f"the key of signed URLs cannot be used: {error}; the server must own {self._path}"
            ) from error
        return self._known[1]

    def rotate(self) -> None:
        """Sign with a new key from now on. What the last one signed stays valid, what the one
        before that signed does not: after two rotations no URL that was given is of use any more.

        Raises DatabaseError.
        """
        kept = self.keys()[: _MOST_KEYS - 1]
        try:
            make_key_file(self._path, secrets.token_bytes(_BYTES) + b"".join(kept), replace=True)
        except OSError as error:
            raise DatabaseError(f"the key of signed URLs cannot be replaced: {error}") from error

    def _read(self) -> tuple[bytes, ...]:
        found = read_key_file(self._path)
        if not found.is_private:
            raise DatabaseError(
                f"{self._path} can be read by other users, who could sign URLs with it: delete "
                "it, and the server makes another"
            )
        count, rest = divmod(len(found.content), _BYTES)
        if rest or not 1 <= count <= _MOST_KEYS:
            raise DatabaseError(f"{self._path} is damaged: delete it, and the server makes another")
        return tuple(found.content[at : at + _BYTES] for at in range(0, count * _BYTES, _BYTES))
