"""Finished logs as compressed files that can be read from any offset.

The file, all numbers little-endian:

    frame 0 | frame 1 | … | frame n-1 | index

* Each frame is a Zstandard frame (RFC 8878) of FRAME_BYTES bytes of the log, the last one of
  what is left. Frames carry their content's size and checksum.
* The index is a Zstandard skippable frame, so `zstd -dc FILE` prints the log: u32 magic
  0x184D2A5C, u32 size of what follows; n times u64, where the frame ends in the file; and last
  u64 size of the log, u32 FRAME_BYTES, u32 n, u32 CRC-32 of all this from the first end on,
  and 8 bytes `CILOG001`.

The byte at offset o of the log is in frame o // FRAME_BYTES, so a read costs the frames that it
touches, wherever it starts. Bytes that do not match the index or a checksum raise
LogCorruptError; the frames around them can still be read. Files are written once and never
changed.
"""

import os
import struct
import zlib
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import zstandard

from ci_common.errors import LogCorruptError
from ci_persistence.logs.cache import SharedCache

FRAME_BYTES = 256 << 10
"""A reader that jumps about decompresses so much for every read; larger frames are hardly
smaller on disk."""

_LEVEL = 3
_SKIPPABLE_MAGIC = 0x184D2A5C
_INDEX_MAGIC = b"CILOG001"
_HEADER = struct.Struct("<II")
_SUMMARY = struct.Struct("<QII")
_SEAL = struct.Struct("<I8s")
_CACHED_FRAME_BYTES = 32 << 20
_CACHED_INDEXES = 256


@dataclass(frozen=True, slots=True)
class ArchiveIndex:
    """Where the frames of a file are."""

    size: int
    """Bytes of the log."""
    frame_bytes: int
    ends: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """The end of the file."""
        body = struct.pack(f"<{len(self.ends)}Q", *self.ends)
        body += _SUMMARY.pack(self.size, self.frame_bytes, len(self.ends))
        body += _SEAL.pack(zlib.crc32(body), _INDEX_MAGIC)
        return _HEADER.pack(_SKIPPABLE_MAGIC, len(body)) + body

    def span(self, number: int) -> tuple[int, int, int]:
        """Where a frame begins and ends in the file, and the size of its content."""
        begin = self.ends[number - 1] if number else 0
        content = min(self.frame_bytes, self.size - number * self.frame_bytes)
        return begin, self.ends[number], content


def write_archive(path: Path, size: int, read: Callable[[int, int], bytes]) -> None:
    """Write the log that `read(offset, limit)` tells, durably, and check what was written.

    Raises LogCorruptError when the log has fewer than `size`
    bytes, or reads back differently.
    """
    checksum = 0
    ends: list[int] = []
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    with open(path, "xb", opener=_private) as file:
        for offset in range(0, size, FRAME_BYTES):
            wanted = min(FRAME_BYTES, size - offset)
            content = read(offset, wanted)
            if len(content) != wanted:
                raise LogCorruptError(
                    f"expected {size} bytes of log, found {offset + len(content)}"
                )
            checksum = zlib.crc32(content, checksum)
            file.write(compressor.compress(content))
            ends.append(file.tell())
        file.write(ArchiveIndex(size, FRAME_BYTES, tuple(ends)).to_bytes())
        file.flush()
        os.fsync(file.fileno())
    _check(path, size, checksum)


class LogArchiveReader:
    """Reads archives; keeps the frames that were used last, for all readers of this process."""

    def __init__(self, cached_bytes: int = _CACHED_FRAME_BYTES) -> None:
        self._frames: SharedCache[bytes] = SharedCache(cached_bytes, len)
        self._indexes: SharedCache[ArchiveIndex] = SharedCache(_CACHED_INDEXES, lambda _: 1)

    def size(self, path: str) -> int | None:
        """Bytes of the log; `None` when there is no such file."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return self._index(path, descriptor)[1].size
        finally:
            os.close(descriptor)

    def identity(self, path: str) -> Hashable | None:
        """What names this file and no later one at its place; `None` when there is none."""
        try:
            return _identity(path, os.stat(path))
        except FileNotFoundError:
            return None

    def read(self, path: str, offset: int, limit: int) -> bytes | None:
        """`limit` bytes from `offset`, fewer at the end; `None` when there is no such file."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return b"".join(self._pieces(path, descriptor, offset, limit))
        finally:
            os.close(descriptor)

    def _pieces(self, path: str, descriptor: int, offset: int, limit: int) -> Iterator[bytes]:
        identity, index = self._index(path, descriptor)
        end = min(offset + limit, index.size)
        while offset < end:
            number, skip = divmod(offset, index.frame_bytes)
            make = partial(read_frame, path, descriptor, index, number)
            content = self._frames.get((identity, number), make)
            piece = content[skip : skip + end - offset]
            yield piece
            offset += len(piece)

    def _index(self, path: str, descriptor: int) -> tuple[Hashable, ArchiveIndex]:
        facts = os.fstat(descriptor)
        identity = _identity(path, facts)
        index = self._indexes.get(identity, lambda: read_index(path, descriptor, facts.st_size))
        return identity, index


def read_index(path: str, descriptor: int, file_size: int) -> ArchiveIndex:
    """The index of an archive, checked. Raises LogCorruptError."""
    last = os.pread(descriptor, _SUMMARY.size + _SEAL.size, max(_before_seal(file_size), 0))
    if _before_seal(file_size) < 0 or not last.endswith(_INDEX_MAGIC):
        raise LogCorruptError(f"{path} is damaged: it does not end with an index")
    size, frame_bytes, count = _SUMMARY.unpack_from(last)
    checksum, _ = _SEAL.unpack_from(last, _SUMMARY.size)
    begin = _before_seal(file_size) - 8 * count
    body = os.pread(descriptor, 8 * count + _SUMMARY.size, begin) if begin >= 0 else b""
    if not body or zlib.crc32(body) != checksum or not frame_bytes:
        raise LogCorruptError(f"{path} is damaged: its index does not match its checksum")
    index = ArchiveIndex(size, frame_bytes, struct.unpack_from(f"<{count}Q", body))
    frames_end = index.ends[-1] if count else 0
    if count != -(-size // frame_bytes) or frames_end + _HEADER.size != begin:
        raise LogCorruptError(f"{path} is damaged: its index does not fit its size")
    return index


def read_frame(path: str, descriptor: int, index: ArchiveIndex, number: int) -> bytes:
    """The content of one frame. Raises LogCorruptError."""
    begin, end, size = index.span(number)
    try:
        frame = os.pread(descriptor, end - begin, begin)
        # Looked at first: a damaged header might ask for any amount of memory.
        if zstandard.get_frame_parameters(frame).content_size == size:
            # A decompressor is for one thread, and costs next to nothing.
            decompressor = zstandard.ZstdDecompressor()
            content: bytes = decompressor.decompress(frame, allow_extra_data=False)
            if len(content) == size:
                return content
        problem = "its size is not what the index says"
    except zstandard.ZstdError as error:
        problem = str(error)
    raise LogCorruptError(
        f"{path} is damaged: the log's bytes from {number * index.frame_bytes} on, "
        f"{size} of them, cannot be read ({problem})"
    )


def _check(path: Path, size: int, checksum: int) -> None:
    found = 0
    with path.open("rb") as file:
        descriptor = file.fileno()
        index = read_index(str(path), descriptor, os.fstat(descriptor).st_size)
        for number in range(len(index.ends)):
            found = zlib.crc32(read_frame(str(path), descriptor, index, number), found)
    if (index.size, found) != (size, checksum):
        raise LogCorruptError(f"{path} does not read back as it was written")


def _identity(path: str, facts: os.stat_result) -> Hashable:
    return path, facts.st_ino, facts.st_mtime_ns, facts.st_size


def _before_seal(file_size: int) -> int:
    return file_size - _SUMMARY.size - _SEAL.size


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
