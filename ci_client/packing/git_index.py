"""git's index file, written: which files a commit to come would have, and which are unchanged."""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass

_HEADER = struct.Struct(">4sII")
_FACTS = struct.Struct(">10I")
"""Change time, modification time (each with nanoseconds), device, inode, mode, user, group, size.
Of these only the modification time, in seconds, and mode and size are looked at where
`core.checkStat` is `minimal` and `core.trustCtime` is off.
"""

_EXTENDED = 0x4000
_SKIP_WORKTREE = 0x4000
_INTENT_TO_ADD = 0x2000
_LONGEST_NAME = 0xFFF
_ALIGNED = 8


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A tracked file, as `git ls-files --stage` tells it."""

    path: bytes
    mode: int
    object_id: bytes
    """In hex."""
    stage: int = 0
    """1 to 3 for a file whose merge is not resolved."""
    modified: int = 0
    """In seconds since 1970, of a file that is as in the index: as long as time and size are these,
    git does not read it. 0 and 0: git compares the content.
    """
    size: int = 0
    skip: bool = False
    """The file is not in the work tree, and not missed there."""
    intent: bool = False
    """It is to be added, its content is not in the index yet."""


def encode_index(entries: Iterable[IndexEntry], algorithm: str) -> bytes:
    """The file; `algorithm` is `sha1` or `sha256`, as that of the object ids."""
    ordered = sorted(entries, key=lambda entry: (entry.path, entry.stage))
    version = 3 if any(entry.skip or entry.intent for entry in ordered) else 2
    parts = [_HEADER.pack(b"DIRC", version, len(ordered)), *map(_encode, ordered)]
    content = b"".join(parts)
    return content + hashlib.new(algorithm, content, usedforsecurity=False).digest()


def _encode(entry: IndexEntry) -> bytes:
    extended = entry.skip * _SKIP_WORKTREE | entry.intent * _INTENT_TO_ADD
    flags = entry.stage << 12 | min(len(entry.path), _LONGEST_NAME)
    modified, size = entry.modified & 0xFFFFFFFF, entry.size & 0xFFFFFFFF
    packed = _FACTS.pack(0, 0, modified, 0, 0, 0, entry.mode, 0, 0, size)
    packed += bytes.fromhex(entry.object_id.decode())
    if extended:
        packed += struct.pack(">HH", flags | _EXTENDED, extended)
    else:
        packed += struct.pack(">H", flags)
    packed += entry.path
    return packed + b"\0" * (_ALIGNED - len(packed) % _ALIGNED)
