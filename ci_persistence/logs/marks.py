"""The marks of a log in files: where its bytes are, in which lines, and when they were received.

Beside each segment of a live log there is a file `E.marks`, E being the segment's epoch: 8 bytes
`CIMARK01`, and records that are appended, each of u64 offset, u64 line ends before it, both counted
from the segment's start, i64 milliseconds since 1970, and u32 CRC-32 of these. All numbers are
little-endian.

The marks of a finished log are one file beside its archive, in the form that backups have as well:
8 bytes `CIMARKZ1`, and a Zstandard frame of u32 count, the offsets (u64), the line ends (u64) and
the milliseconds (i64), each number as the difference from the one before, by columns.

Nothing of this is synced, and nothing depends on it: what is torn, or not what it should be, is
left out, and the log itself is read there.
"""

import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import zstandard

from ci_common.ports.logs import LogMark

HEADER = b"CIMARK01"
_STORED_HEADER = b"CIMARKZ1"

_FIELDS = struct.Struct("<QQq")
_CHECKSUM = struct.Struct("<I")
RECORD_BYTES = _FIELDS.size + _CHECKSUM.size
_COUNT = struct.Struct("<I")
_BLOCK_RECORDS = 2048
_LEVEL = 3
_LARGEST = 64 << 20
"""Bytes of marks that are decompressed at most: those of a month of output."""


class Record(NamedTuple):
    """One mark of a segment, from whose start its numbers are counted."""

    offset: int
    lines: int
    milliseconds: int


def to_record(record: Record) -> bytes:
    """The record as it is in the file of a segment."""
    fields = _FIELDS.pack(*record)
    return fields + _CHECKSUM.pack(zlib.crc32(fields))


def read_records(content: bytes) -> Iterator[Record | None]:
    """The records of a segment's file, or of a part of it that begins with one; `None` for each
    that is damaged. One that is torn at the end is left out.
    """
    whole = len(content) // RECORD_BYTES * RECORD_BYTES
    for offset in range(0, whole, RECORD_BYTES):
        fields = content[offset : offset + _FIELDS.size]
        (checksum,) = _CHECKSUM.unpack_from(content, offset + _FIELDS.size)
        yield Record(*_FIELDS.unpack(fields)) if zlib.crc32(fields) == checksum else None


def records_from(path: str, offset: int, end: int) -> list[Record]:
    """Of the records in a segment's file that count for its first `end` bytes, the last one at or
    before `offset` and all after it, as far as they are there.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    try:
        if os.pread(descriptor, len(HEADER), 0) != HEADER:
            return []
        first = (os.fstat(descriptor).st_size - len(HEADER)) // RECORD_BYTES
        found: list[Record | None] = []
        while first > 0:
            count = min(first, _BLOCK_RECORDS)
            first -= count
            place = len(HEADER) + first * RECORD_BYTES
            block = list(read_records(os.pread(descriptor, count * RECORD_BYTES, place)))
            found = block + found
            if any(record is not None and record.offset <= offset for record in block):
                break
    finally:
        os.close(descriptor)
    return in_order(found, end)


def in_order(records: Iterable[Record | None], end: int) -> list[Record]:
    """Those of the records that count for a segment of which `end` bytes do. A later record
    replaces those that are not before it: they spoke of bytes that could not be written.
    """
    kept: list[Record] = []
    for record in records:
        if record is None or record.offset >= end:
            continue
        while kept and kept[-1].offset >= record.offset:
            kept.pop()
        if not kept or kept[-1].lines <= record.lines:
            kept.append(record)
    return kept


def to_stored(marks: Sequence[LogMark]) -> bytes:
    """Marks in the form beside archives and in backups: those whose time is known; nothing when
    there are none.
    """
    known = [mark for mark in marks if mark.received_at is not None]
    if not known:
        return b""
    columns = (
        [mark.offset for mark in known],
        [mark.lines for mark in known],
        [round((mark.received_at or 0) * 1000) for mark in known],
    )
    offsets, lines, times = (_differences(column) for column in columns)
    count = len(known)
    numbers = struct.pack(_columns(count), *offsets, *lines, *times)
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    return _STORED_HEADER + compressor.compress(_COUNT.pack(count) + numbers)


def from_stored(content: bytes) -> list[Record]:
    """Marks in that form as records of one segment; none when it cannot be read."""
    frame = content.removeprefix(_STORED_HEADER)
    if len(frame) == len(content):
        return []
    try:
        if zstandard.get_frame_parameters(frame).content_size > _LARGEST:
            return []
        columns = zstandard.ZstdDecompressor().decompress(frame)
        (count,) = _COUNT.unpack_from(columns)
        numbers = struct.unpack_from(_columns(count), columns, _COUNT.size)
    except (zstandard.ZstdError, struct.error):
        return []
    summed = (accumulate(numbers[at * count : (at + 1) * count]) for at in range(3))
    return [Record(*fields) for fields in zip(*summed, strict=True)]


def _columns(count: int) -> str:
    return f"<{count}Q{count}Q{count}q"


def _differences(numbers: list[int]) -> list[int]:
    return [later - earlier for earlier, later in pairwise([0, *numbers])]
