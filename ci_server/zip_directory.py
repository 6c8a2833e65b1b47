"""How many entries a zip has, found out before all of them are loaded.

`zipfile` loads the whole directory at once, about 500 bytes of memory for an entry that takes 47
in the file. This walks it, and stops at a limit. Layout: APPNOTE.TXT of PKWARE, 4.3.
"""

import struct
from pathlib import Path
from typing import BinaryIO

_END = b"PK\5\6"
_END_BYTES = 22
_LONGEST_COMMENT = 0xFFFF
_LOCATOR_64 = b"PK\6\7"
_LOCATOR_64_BYTES = 20
_END_64_BYTES = 56
_ENTRY = b"PK\1\2"
_ENTRY_BYTES = 46


def entry_beyond(path: Path, limit: int) -> str | None:
    """The name of the first entry too many; `None` when there are no more than `limit`, and for
    what is no zip: to say what is wrong with it is left to who opens it.
    """
    with path.open("rb") as file:
        start, end = _directory(file)
        file.seek(start)
        for number in range(limit + 1):
            header = file.read(_ENTRY_BYTES)
            if len(header) < _ENTRY_BYTES or header[:4] != _ENTRY or file.tell() > end:
                return None
            name_bytes, *others = struct.unpack_from("<3H", header, 28)
            name = file.read(name_bytes)
            if number == limit:
                return name.decode(errors="replace")
            file.seek(sum(others), 1)
    return None


def _directory(file: BinaryIO) -> tuple[int, int]:
    """Where the directory begins and ends: right before the record at the end."""
    size = file.seek(0, 2)
    tail_start = file.seek(max(size - _END_BYTES - _LONGEST_COMMENT, 0))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        return 0, 0
    end = tail_start + at
    (directory_bytes,) = struct.unpack_from("<I", tail, at + 12)
    locator = tail[max(at - _LOCATOR_64_BYTES, 0) : at]
    if locator[:4] == _LOCATOR_64:
        end -= _LOCATOR_64_BYTES + _END_64_BYTES
        file.seek(max(end, 0))
        record = file.read(_END_64_BYTES)
        if len(record) == _END_64_BYTES:
            (directory_bytes,) = struct.unpack_from("<Q", record, 40)
    return max(end - directory_bytes, 0), end
