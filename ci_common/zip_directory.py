"""A zip's central directory, read record by record in constant memory.

`zipfile` loads the whole directory: a kilobyte of memory for an entry that takes a hundred bytes
in the file. Layout: APPNOTE.TXT of PKWARE, 4.3. What `zipfile` refuses is refused here, too.
"""

import calendar
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple
from zipfile import BadZipFile

_END = b"PK\5\6"
_END_BYTES = 22
_LONGEST_COMMENT = 0xFFFF
_LOCATOR_64 = struct.Struct("<4sLQL")
_LOCATOR_64_SIGNATURE = b"PK\6\7"
_END_64 = b"PK\6\6"
_END_64_BYTES = 56

_RECORD = struct.Struct("<4s2x3H4I3H4x2I")
_RECORD_SIGNATURE = b"PK\1\2"
_LONGEST_RECORD = _RECORD.size + 3 * 0xFFFF
_WINDOW_BYTES = 1 << 19
"""Of the directory in memory at a time; at least one record."""

_NEWEST_FORMAT = 63
"""Version 6.3, which is the last that `zipfile` knows."""

_UTF8 = 0x800
_ZIP64 = 1
_EXTENDED_TIME = 0x5455
"""Info-ZIP's field of times in UTC: a byte of flags, then seconds since 1970."""
_UNIX_TIMES = 0x5855
"""Info-ZIP's older field: the times of access and of change."""
_NTFS_TIMES = 0x000A
_NTFS_EPOCH = 11_644_473_600
"""Seconds from 1601 to 1970."""
_IN_ZIP64 = 0xFFFFFFFF
"""What a 32-bit field says when the zip64 field has the value."""


class ZipEntry(NamedTuple):
    """What the central directory says of an entry."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    dos_time: int
    """When it was changed: the DOS date in the upper, the DOS time in the lower 16 bits."""
    crc: int
    packed_size: int
    size: int
    mode: int
    """Kind and permissions as in `st_mode`; 0 where the zip was not made on Unix."""
    offset: int
    """Of the local header in the file."""
    extra: bytes
    """Fields of id and length; one of them may have the time of change in UTC."""
    position: int
    """Of its record in the file; see `ZipDirectory.entry_at`."""

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory, by its name, as every zip program decides."""
        return self.name.endswith("/")

    @property
    def path(self) -> str:
        """The name in its shortest form: some programs write `./a`, or `d//a`; `` is the top."""
        return shortest_path(self.name)

    @property
    def has_zip64(self) -> bool:
        """Whether some of it may be said in 64 bits, which old programs do not read."""
        return any(kind == _ZIP64 for kind, _ in _fields(self.extra))

    @property
    def modified(self) -> int | None:
        """When it was changed, in seconds since 1970, UTC; `None` when the zip does not say. DOS
        times are taken for UTC, as nothing tells where they were written.
        """
        if self.extra and (exact := _exact_time(self.extra)) is not None:
            return exact
        return _dos_seconds(self.dos_time)

    @property
    def is_utf8(self) -> bool:
        """Whether the name is UTF-8, and not in the code page 437."""
        return bool(self.flags & _UTF8)


class ZipDirectory:
    """The entries of an opened file. Raises BadZipFile when it is no zip."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.start, self._end, self.prefix = _located(descriptor)
        """Offsets in the zip count from after the prefix, such as a program that unpacks it."""

    def __iter__(self) -> Iterator[ZipEntry]:
        """All entries, in the order of the directory. Raises BadZipFile on the way."""
        return self._entries_from(self.start)

    def entry_at(self, position: int) -> ZipEntry:
        """The entry of this position once more."""
        return next(self._entries_from(position))

    def _entries_from(self, position: int) -> Iterator[ZipEntry]:
        window, base = b"", position
        while position < self._end:
            at = position - base
            if len(window) - at < _LONGEST_RECORD and base + len(window) < self._end:
                size = min(_WINDOW_BYTES, self._end - position)
                window, base, at = os.pread(self._descriptor, size, position), position, 0
            entry, length = self._parsed(window, at, position)
            yield entry
            position += length

    def _parsed(self, window: bytes, at: int, position: int) -> tuple[ZipEntry, int]:
        """The entry of the record at this place of the window, and the record's length."""
        try:
            fields = _RECORD.unpack_from(window, at)
        except struct.error:
            raise BadZipFile("the central directory is truncated") from None
        signature, version, flags, method, dos_time, crc, packed_size, size = fields[:8]
        name_bytes, extra_bytes, comment_bytes, attributes, offset = fields[8:]
        if signature != _RECORD_SIGNATURE:
            raise BadZipFile("the central directory is damaged")
        if version & 0xFF > _NEWEST_FORMAT:
            raise BadZipFile(f"unknown version {version & 0xFF} of the zip format")
        name_end = at + _RECORD.size + name_bytes
        extra_end = name_end + extra_bytes
        if extra_end + comment_bytes > len(window):
            raise BadZipFile("the central directory is truncated")
        raw_name, extra = window[at + _RECORD.size : name_end], window[name_end:extra_end]
        if extra:
            size, packed_size, offset = _with_zip64(extra, size, packed_size, offset)
        entry = ZipEntry(
            raw_name.decode("utf-8" if flags & _UTF8 else "cp437"),
            *(raw_name, flags, method, dos_time, crc, packed_size, size, attributes >> 16),
            *(offset + self.prefix, extra, position),
        )
        return entry, extra_end + comment_bytes - at


def shortest_path(name: str) -> str:
    """A relative path without empty parts and `.`."""
    return "/".join([part for part in name.split("/") if part not in ("", ".")])


def _dos_seconds(dos_time: int) -> int | None:
    date, clock = dos_time >> 16, dos_time & 0xFFFF
    year, month, day = 1980 + (date >> 9), date >> 5 & 15, date & 31
    hour, minute, second = clock >> 11, clock >> 5 & 63, (clock & 31) * 2
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60):
        return None
    return calendar.timegm((year, month, day, hour, minute, second, 0, 0, 0))


def _exact_time(extra: bytes) -> int | None:
    found: dict[int, int] = {}
    for kind, field in _fields(extra):
        if kind == _EXTENDED_TIME and len(field) >= 5 and field[0] & 1:
            found[0] = struct.unpack_from("<i", field, 1)[0]
        elif kind == _NTFS_TIMES and len(field) >= 32 and field[4:8] == b"\1\0\x18\0":
            found[1] = struct.unpack_from("<Q", field, 8)[0] // 10**7 - _NTFS_EPOCH
        elif kind == _UNIX_TIMES and len(field) >= 8:
            found[2] = struct.unpack_from("<i", field, 4)[0]
    return found[min(found)] if found else None


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each field. Raises BadZipFile."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        field = extra[at + 4 : at + 4 + length]
        if len(field) < length:
            raise BadZipFile(f"the extra field {kind:#06x} is truncated")
        at += 4 + length
        yield kind, field


def _with_zip64(extra: bytes, size: int, packed_size: int, offset: int) -> tuple[int, int, int]:
    values = [size, packed_size, offset]
    for kind, field in _fields(extra):
        if kind != _ZIP64:
            continue
        try:
            read = 0
            for number, value in enumerate(values):
                if value == _IN_ZIP64:
                    (values[number],) = struct.unpack_from("<Q", field, read)
                    read += 8
        except struct.error:
            raise BadZipFile("the zip64 field is too short") from None
    return values[0], values[1], values[2]


def _located(descriptor: int) -> tuple[int, int, int]:
    """Where the directory begins and ends, and how much is before the zip. Raises BadZipFile."""
    file_size = os.fstat(descriptor).st_size
    tail_start = max(file_size - _END_BYTES - _LONGEST_COMMENT, 0)
    tail = os.pread(descriptor, file_size - tail_start, tail_start)
    at = len(tail) - _END_BYTES
    if not (tail[at:].startswith(_END) and tail.endswith(b"\0\0")):  # it has a comment
        at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise BadZipFile("it has no end record")
    directory_bytes, directory_offset = struct.unpack_from("<2I", tail, at + 12)
    end = tail_start + at
    if (values := _zip64_values(descriptor, end)) is not None:
        end -= _LOCATOR_64.size + _END_64_BYTES
        directory_bytes, directory_offset = values
    start = end - directory_bytes
    if start < 0:
        raise BadZipFile("the end record has a wrong size for the central directory")
    return start, end, start - directory_offset


def _zip64_values(descriptor: int, end: int) -> tuple[int, int] | None:
    """The directory's size and offset of the zip64 end record, where there is one."""
    place = end - _LOCATOR_64.size
    locator = os.pread(descriptor, _LOCATOR_64.size, place) if place >= 0 else b""
    if not locator.startswith(_LOCATOR_64_SIGNATURE):
        return None
    _, disk, _, disks = _LOCATOR_64.unpack(locator)
    if disk != 0 or disks > 1:
        raise BadZipFile("it is one of several parts")
    place -= _END_64_BYTES
    record = os.pread(descriptor, _END_64_BYTES, place) if place >= 0 else b""
    if not record.startswith(_END_64):
        return None
    directory_bytes, directory_offset = struct.unpack_from("<2Q", record, 40)
    return directory_bytes, directory_offset
