"""Zips written field by field, so that every one of them can lie. Layout: APPNOTE.TXT, 4.3."""

import stat
import struct
import zlib
from dataclasses import dataclass

_HEADER_BYTES = 30


@dataclass(frozen=True)
class Crafted:
    """An entry, and what its headers say of it where that is not the truth."""

    name: bytes
    content: bytes = b"x"
    kind: int = stat.S_IFREG
    deflate: bool = False
    told_size: int | None = None
    """The unpacked size in both headers."""
    zip64: tuple[int, ...] | None = None
    """What an additional zip64 field says, with the size in the directory set to "look there"."""
    at: int | None = None
    """The directory leads to the local header of the entry of this number instead."""
    within: int | None = None
    """The local header is not written: it is in the content of entry 0, so many bytes in."""
    local_name: bytes | None = None
    flags: int = 0x800
    wrong_crc: bool = False


def crafted_zip(entries, *, told_count=None, comment=b""):
    """The archive; `told_count` is the number of entries in its end record."""
    locals_, offsets = bytearray(), []
    for item in entries:
        offsets.append(len(locals_))
        if item.within is not None:
            offsets[-1] = _HEADER_BYTES + len(entries[0].name) + item.within
        else:
            locals_ += local_entry(item)
    directory = b"".join(
        _central(item, offsets[number if item.at is None else item.at % len(entries)])
        for number, item in enumerate(entries)
    )
    count = (len(entries) if told_count is None else told_count) & 0xFFFF
    end = struct.pack(
        "<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), len(locals_), len(comment)
    )
    return bytes(locals_) + directory + end + comment


def _packed(item):
    if not item.deflate:
        return item.content
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(item.content) + deflater.flush()


def _fields(item):
    packed = _packed(item)
    size = len(item.content) if item.told_size is None else item.told_size
    crc = zlib.crc32(item.content) ^ (1 if item.wrong_crc else 0)
    return packed, (item.flags, 8 if item.deflate else 0, 0, 0, crc, len(packed), size)


def local_entry(item):
    """An entry's header and content."""
    packed, fields = _fields(item)
    name = item.name if item.local_name is None else item.local_name
    header = struct.pack("<4s5H3I2H", b"PK\3\4", 20, *fields, len(name), 0)
    return header + name + packed


def _central(item, offset):
    _, (*fields, size) = _fields(item)
    extra = b""
    if item.zip64 is not None:
        size = 0xFFFFFFFF
        content = b"".join(struct.pack("<Q", value) for value in item.zip64)
        extra = struct.pack("<2H", 1, len(content)) + content
    header = struct.pack(
        "<4s2H4H3I5H2I",
        b"PK\1\2",
        (3 << 8) | 20,
        20,
        *fields,
        size,
        len(item.name),
        len(extra),
        0,
        0,
        0,
        (item.kind | 0o644) << 16,
        offset,
    )
    return header + item.name + extra
