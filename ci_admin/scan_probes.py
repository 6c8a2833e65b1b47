"""Packages with the EICAR test file, which every malware scanner finds: does this one look inside?

https://www.eicar.org/download-anti-malware-testfile/ - 68 harmless characters.
"""

from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

_EICAR = b"".join((b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$", b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"))
"""In two parts, also when this is compiled, so that scanners leave this program alone."""

_PIECE = bytes(1 << 20)
_DIRECTORY_BYTES = 64
"""Of the zip's directory for each file, at most."""


def write_nothing(file: BinaryIO) -> None:
    """An empty file."""


def write_small(file: BinaryIO) -> None:
    """A zip of the test file, compressed."""
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        archive.writestr(ZipInfo("eicar.com"), _EICAR, ZIP_DEFLATED)


def write_large(file: BinaryIO, megabytes: int, entries: int) -> None:
    """A zip of nearly this size, with this number of files, the last of which is the test file."""
    with ZipFile(file, "w", ZIP_STORED) as archive:
        for number in range(entries - 2):
            archive.writestr(ZipInfo(f"{number}.txt"), b"x")
        used = file.tell() + entries * _DIRECTORY_BYTES
        with archive.open(ZipInfo("zeros.bin"), "w") as zeros:
            for _ in range(megabytes - 1 - used // len(_PIECE)):
                zeros.write(_PIECE)
        archive.writestr(ZipInfo("eicar.com"), _EICAR, ZIP_DEFLATED)
