"""The key that stream tokens are signed with: one for all who serve a data directory."""

import secrets
from pathlib import Path

from ci_common.errors import DatabaseError
from ci_persistence.files.key_files import make_key_file, read_key_file

NAME = "stream-token.key"
_BYTES = 32


def load_token_key(data_path: Path) -> bytes:
    """The key, made at the first call; whoever calls at the same time gets the same one.

    It is in no backup: a restored server makes another, and tokens live for minutes at most.
    Raises DatabaseError when the file cannot be used.
    """
    path = data_path / NAME
    try:
        if not path.exists():
            make_key_file(path, secrets.token_bytes(_BYTES))
        found = read_key_file(path)
    except OSError as error:
        raise DatabaseError(
            f"the key of stream tokens cannot be used: {error}; the server must own {path}"
        ) from error
    if not found.is_private:
        raise DatabaseError(
            f"{path} can be read by other users, who could make tokens with it: delete it, and "
            "the server makes another"
        )
    if len(found.content) != _BYTES:
        raise DatabaseError(f"{path} is damaged: delete it, and the server makes another")
    return found.content
