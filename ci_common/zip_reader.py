"""A zip read in constant memory, one entry at a time; the server checks with it what it accepts,
and the controller unpacks with it, so that both see the same.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Self
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile

from ci_common.zip_directory import ZipDirectory, ZipEntry

PIECE_BYTES = 1 << 18
"""The most that is in memory of an entry at a time, packed, and unpacked."""

_LOCAL = struct.Struct("<4s2xH18x2H")
_LOCAL_SIGNATURE = b"PK\3\4"
_USUAL_EXTRA_BYTES = 64
"""The local header's extra fields are read together with it where they have no more."""

_UTF8 = 0x800
_UNREADABLE = 0x1 | 0x20 | 0x40
"""Encrypted, patch data, strongly encrypted."""


class ZipReader:
    """An opened zip. Not for more than one thread at a time."""

    def __init__(self, file: BinaryIO) -> None:
        """The regular file is the reader's from now on, which closes it, also when this raises.

        Raises BadZipFile, OSError.
        """
        self._file = file
        self._descriptor = file.fileno()
        try:
            self._directory = ZipDirectory(self._descriptor)
        except BaseException:
            file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; safe to repeat."""
        self._file.close()

    def entries(self) -> Iterator[ZipEntry]:
        """Every entry, in the order of the directory.

        Raises BadZipFile on the way, and UnicodeDecodeError for a name that is not UTF-8.
        """
        return iter(self._directory)

    def entry_at(self, position: int) -> ZipEntry:
        """The entry whose `position` this is."""
        return self._directory.entry_at(position)

    def is_inside(self, entry: ZipEntry) -> bool:
        """Whether the entry's local header is where entries are: before the directory."""
        return 0 <= entry.offset < self._directory.start

    def content(self, entry: ZipEntry) -> Iterator[bytes]:
        """What an entry holds, in pieces; never more than the size that the directory declares.

        Raises BadZipFile when it is not exactly that: size, checksum, and local header.
        """
        if entry.flags & _UNREADABLE:
            raise BadZipFile("it is encrypted")
        pieces = self._packed(entry)
        if entry.method == ZIP_DEFLATED:
            pieces = _inflated(pieces)
        elif entry.method != ZIP_STORED:
            raise BadZipFile(f"the compression method {entry.method} is not supported")
        size = crc = 0
        for piece in pieces:
            size += len(piece)
            if size > entry.size:
                raise BadZipFile(f"it has more than the {entry.size} bytes that it declares")
            crc = zlib.crc32(piece, crc)
            yield piece
        if size != entry.size:
            raise BadZipFile(f"it declares {entry.size} bytes, and has {size}")
        if crc != entry.crc:
            raise BadZipFile("its checksum is wrong")

    def read(self, entry: ZipEntry) -> bytes:
        """The whole content, which the caller knows to be small. Raises BadZipFile."""
        return b"".join(self.content(entry))

    def _packed(self, entry: ZipEntry) -> Iterator[bytes]:
        """The bytes in the file, in pieces; of a small entry they come with its header."""
        if not self.is_inside(entry):
            raise BadZipFile("it is outside of the file")
        head_bytes = _LOCAL.size + len(entry.raw_name) + _USUAL_EXTRA_BYTES
        ahead = entry.packed_size if entry.packed_size <= PIECE_BYTES else 0
        head = os.pread(self._descriptor, head_bytes + ahead, entry.offset)
        begin = _content_start(head, entry)
        left, at = entry.packed_size, entry.offset + begin
        if ahead and len(head) - begin >= left:
            yield head[begin : begin + left]
            return
        while left:
            piece = os.pread(self._descriptor, min(left, PIECE_BYTES), at)
            if not piece:
                raise BadZipFile("it is truncated")
            left, at = left - len(piece), at + len(piece)
            yield piece


def _content_start(head: bytes, entry: ZipEntry) -> int:
    """Bytes from the begin of the local header to the content; the header must be the entry's."""
    if len(head) < _LOCAL.size:
        raise BadZipFile("it is truncated")
    signature, flags, name_bytes, extra_bytes = _LOCAL.unpack_from(head)
    if signature != _LOCAL_SIGNATURE:
        raise BadZipFile("its local header is damaged")
    name = head[_LOCAL.size : _LOCAL.size + name_bytes]
    same_characters = (flags & _UTF8 != 0) == entry.is_utf8 or name.isascii()
    if name != entry.raw_name or not same_characters:
        raise BadZipFile("its local header has another name")
    return int(_LOCAL.size + name_bytes + extra_bytes)


def _inflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for piece in pieces:
        packed = piece
        while True:
            try:
                unpacked = inflater.decompress(packed, PIECE_BYTES)
            except zlib.error as error:
                raise BadZipFile(str(error)) from None
            if unpacked:
                yield unpacked
            if len(unpacked) < PIECE_BYTES:
                break  # not cut short, so nothing is left of the packed piece
            packed = inflater.unconsumed_tail
        if inflater.eof:
            return
