"""Zips that a scanner reads as we do: there is one way to read them, and it is the simplest one.

We read the central directory, with zip64, and what is before the zip does not matter. Scanners go
by local headers, too, and by the file's first bytes, and do not know zip64: ClamAV reports an entry
that it cannot find as clean.
"""

import os
import struct
from pathlib import Path
from zipfile import BadZipFile

from ci_common.errors import PackageRefusedError, quoted
from ci_common.zip_directory import ZipDirectory, ZipEntry

_LOCAL = struct.Struct("<6x2H8x2I")
"""Of the local header: flags, method, packed and unpacked size."""

_ENCRYPTED = 0x1 | 0x40 | 0x2000
"""By password, strongly, and with a masked header."""

_SIZES_FOLLOW = 0x8
_IN_ZIP64 = 0xFFFFFFFF


def check_scannable(path: Path) -> None:
    """Return when a scanner misses nothing of this zip. Raises PackageRefusedError, and
    FileNotFoundError when there is no such file.
    """
    with path.open("rb") as file:
        try:
            _check_entries(ZipDirectory(file.fileno()), file.fileno())
        except (BadZipFile, UnicodeDecodeError) as error:
            raise _refused(f"it is damaged ({error})") from error


def _check_entries(directory: ZipDirectory, descriptor: int) -> None:
    first = None
    for entry in directory:
        first = entry.offset if first is None else min(first, entry.offset)
        if why := _why_misread(entry, os.pread(descriptor, _LOCAL.size, entry.offset)):
            raise _refused(f"the entry {quoted(entry.name)} {why}")
    if first != 0 or directory.prefix != 0:
        raise _refused("its first entry is not at the beginning of the file")


def _why_misread(entry: ZipEntry, header: bytes) -> str | None:
    if len(header) < _LOCAL.size:
        return "is outside of the file"
    flags, method, *sizes = _LOCAL.unpack(header)
    unknown_yet = (0, _IN_ZIP64) if flags & _SIZES_FOLLOW else ()
    pairs = zip(sizes, (entry.packed_size, entry.size), strict=True)
    if entry.has_zip64 or (_IN_ZIP64 in sizes and not unknown_yet):
        return "is in the zip64 format, which scanners do not read"
    if flags & _ENCRYPTED:
        return "is encrypted, according to its local header only"
    if method != entry.method:
        return "has another compression method in its local header than in the zip's directory"
    if any(local != size and local not in unknown_yet for local, size in pairs):
        return "has another size in its local header than in the zip's directory"
    return None


def _refused(why: str) -> PackageRefusedError:
    return PackageRefusedError(
        "the server scans packages, and a scanner could miss something in this zip: "
        f"{why}. Zip the project again, or send it with `ci submit`"
    )
